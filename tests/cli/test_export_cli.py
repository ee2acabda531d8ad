"""seqgen export: one file of a run, by which seqgen goes on without the run; and what is refused before any work."""

import builtins
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import make_data, make_run

from seqgen_core import models
from seqgen_core.runs import Checkpoint
from seqgen_core.settings.codec import AudioCodecSettings

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "onnx_sound.py"
ALONE = """
import importlib.abc, runpy, sys
class Refused(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("seqgen_core", "seqgen_cli", "torch", "onnx", "safetensors"):
            raise ImportError(name + " is not there")
sys.meta_path.insert(0, Refused())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script where seqgen and torch cannot be imported."""


def samples(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_generate_goes_on_from_a_file_as_from_the_run(trained_project, program):
    exported = program("export", "runs/sequnet", "--json")
    assert exported.code == 0
    assert exported.json["file"] == "sequnet.safetensors"
    assert exported.json["bytes"] == Path("sequnet.safetensors").stat().st_size
    assert (exported.json["step"], exported.json["ema"]) == (8, True)
    for source, out in (("sequnet.safetensors", "file"), ("runs/sequnet", "folder")):
        drawn = program("generate", source, "--length", "40", "--engine", "torch", "--out", out)
        assert drawn.code == 0, drawn.err
    assert samples("file/clip-000.wav")[1].tolist() == samples("folder/clip-000.wav")[1].tolist()
    assert program("evaluate", "sequnet.safetensors", "file/clip-000.wav", "--json").json["step"] == 8


def example(*arguments):
    """The example of the docs, run where neither seqgen nor torch can be imported; returns rate and samples."""
    ended = subprocess.run([sys.executable, "-c", ALONE, EXAMPLE, *arguments], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return samples(arguments[1])


def test_the_example_draws_what_seqgen_draws_without_seqgen(trained_project, program):
    assert program("export", "runs/sequnet", "--to", "onnx", "--out", "made/step.onnx").code == 0
    rate, drawn = example("made/step.onnx", "clip.wav", "0.3")
    assert (rate, len(drawn)) == (1000, 300)
    assert program("generate", "runs/sequnet", "--seconds", "0.3", "--engine", "torch", "--out", "clips").code == 0
    assert drawn.tolist() == samples("clips/clip-000.wav")[1].tolist()


def test_the_example_draws_from_a_mixture_and_by_class(tmp_path, monkeypatch, program):
    """The mixture's tokens are 16-bit samples, so that rounding of an output may move one by one step at most."""
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "run", make_data(tmp_path / "data", lengths={"train": (50,)}, labels=2), "wavenet")
    codec = AudioCodecSettings(kind="pcm16", rate=1000)
    data = run.settings.data.model_copy(update={"codec": codec})
    run.replace_settings(run.settings.model_copy(update={"data": data, "tokens": codec.tokens}))
    torch.manual_seed(0)
    built = models.build(run.settings.model, codec.tokens)
    run.save(Checkpoint(built.state_dict(), {}, {}, {"step": 1}), best=True, keep=1)
    assert program("export", "run", "--to", "onnx").code == 0
    _, drawn = example("run.onnx", "clip.wav", "0.1", "1")
    line = ("--seconds", "0.1", "--label", "class 1", "--engine", "torch", "--out", "clips")
    assert program("generate", "run", *line).code == 0
    assert len(set(drawn.tolist())) > 50
    assert np.abs(drawn.astype(int) - samples("clips/clip-000.wav")[1]).max() <= 1


def test_what_was_measured_is_told(trained_project, program):
    told = program("export", "runs/wavenet", "to=onnx")
    assert told.code == 0
    assert "wavenet.onnx: one step of runs/wavenet at step 8 (moving average of the weights)" in told.out
    assert "checked in ONNX Runtime: outputs differ from the model's by at most" in told.out
    assert "over 300 tokens" in told.out
    told = program("export", "runs/tcn", "--to", "onnx", "--no-ema", "--checkpoint", "last", "--json").json
    assert (told["to"], told["step"], told["ema"]) == ("onnx", 8, False)
    assert told["difference"] < 1e-4
    assert told["tokens_per_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "got", "hint"),
    [
        ("runs/none", "There is no run at runs/none", "seqgen train"),
        ("runs/sequnet runs/tcn", "One run at a time; got runs/sequnet runs/tcn", "seqgen export [RUN]"),
        ("runs/sequnet --to wav", "export.to = 'wav' is not right", "seqgen init"),
        ("runs/sequnet --out runs", "runs is a folder; an export is one file", "--out"),
        ("runs/sequnet --out model", "model does not end in .safetensors", "Write --out model.safetensors"),
        ("runs/sequnet --checkpoint 5", "holds no checkpoint of step 5", ""),
        ("runs/sequnet --to onnx --out there.onnx", "there.onnx is there already", "--out"),
        ("runs/fresh", "runs/fresh holds no checkpoint yet", "--resume"),
    ],
)
def test_what_cannot_be_meant_is_refused(trained_project, program, arguments, got, hint):
    Path("there.onnx").write_bytes(b"mine")
    make_run(Path("runs/fresh"), make_data(Path("other"), lengths={"train": (50,)}))
    before = sorted(Path().glob("*"))
    refused = program("export", *arguments.split())
    assert refused.code == 2
    assert got in refused.err
    assert hint in refused.err
    assert sorted(Path().glob("*")) == before
    assert Path("there.onnx").read_bytes() == b"mine"


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_before_any_work(trained_project, program, monkeypatch, missing):
    there = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=missing)
        return there(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    refused = program("export", "runs/sequnet", "--to", "onnx")
    assert refused.code == 2
    assert f"needs the Python package {missing}, which is not installed" in refused.err
    assert "pip install 'seqgen[onnx]'" in refused.err
    assert program("export", "runs/sequnet").code == 0  # which needs neither


def test_an_exported_file_becomes_onnx_too(trained_project, program):
    assert program("export", "runs/tcn", "--no-ema").code == 0
    refused = program("export", "tcn.safetensors", "--out", "other.safetensors")
    assert refused.code == 2
    assert "tcn.safetensors is an exported file already" in refused.err
    told = program("export", "tcn.safetensors", "--to", "onnx", "--json").json
    assert (told["file"], told["step"], told["ema"]) == ("tcn.onnx", 8, False)


def test_an_exported_file_says_what_it_cannot_do(trained_project, program):
    assert program("export", "runs/sequnet").code == 0
    refused = program("generate", "sequnet.safetensors", "--conditional")
    assert refused.code == 2
    assert "knows no prepared data" in refused.err
    refused = program("generate", "sequnet.safetensors", "--checkpoint", "4")
    assert "holds the weights of step 8 alone; 4 was asked for" in refused.err
    Path("sequnet.safetensors").write_bytes(Path("sequnet.safetensors").read_bytes()[:-9])
    refused = program("generate", "sequnet.safetensors")
    assert refused.code == 1
    assert "sequnet.safetensors is no whole safetensors file" in refused.err
