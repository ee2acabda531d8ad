"""seqgen doctor as a person calls it: what it looks at, what it says, and its exit code."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import make_data

from seqgen_core.audio.files import write_wav


def test_data_with_a_fault(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    make_data(Path("data/prepared"))
    out = program("doctor")
    assert out.code == 1
    assert "severe   amount: 1 s of sound to train on. Find more;" in out.out
    assert "[data/prepared]" in out.out
    assert "data/prepared: " in out.out.splitlines()[-1]
    assert "healthy silence" not in out.out.replace("  ", " ")
    told = program("doctor", "data/prepared", "-v")
    assert "healthy  silence: 0% of the training sound is silence" in told.out


def test_json_lists_all_findings(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    make_data(Path("data/prepared"))
    out = program("doctor", "--json")
    assert out.code == 1
    assert (out.json["looked_at"], out.json["kind"], out.json["exit_code"]) == ("data/prepared", "data", 1)
    first = out.json["findings"][0]
    assert first.keys() == {"check", "severity", "sentence", "advice", "where", "figures"}
    severities = [finding["severity"] for finding in out.json["findings"]]
    order = ["severe", "warning", "info", "healthy"]
    assert severities == sorted(severities, key=order.index)
    assert "healthy" in severities


def test_the_newest_run_with_its_data_and_samples(trained_project, program):
    for settings in Path("runs").glob("*/settings.toml"):
        os.utime(settings, (1, 1) if settings.parent.name != "wavenet" else None)
    folder = Path("runs/wavenet/samples/one")
    folder.mkdir(parents=True)
    write_wav(folder / "a.wav", np.zeros(1000), 1000)
    (folder / "sheet.json").write_text(json.dumps({"clips": [{"bits_per_token": 0.1, "files": {"clip": "a.wav"}}]}))
    out = program("doctor", "--json")
    assert out.code == 1
    assert (out.json["looked_at"], out.json["kind"]) == ("runs/wavenet", "run")
    found = {finding["check"]: finding["severity"] for finding in out.json["findings"]}
    assert {"silence", "yardsticks", "dead-channels", "reach", "sureness"} <= found.keys()
    assert (found["silence-trap"], found["temperature"]) == ("severe", "severe")
    assert found["under-training"] == "warning"
    clips = program("doctor", folder, "--json")
    assert {finding["check"] for finding in clips.json["findings"]} == {"silence-trap", "temperature"}
    shutil.rmtree(folder)
    assert program("doctor", "--samples", folder).code == 2


def test_a_prime_and_another_checkpoint(trained_project, program):
    soundfile.write("quiet.wav", np.zeros(4000), 1000)
    out = program("doctor", "sequnet", "--prime", "quiet.wav", "--checkpoint", "last", "--no-ema", "--json")
    found = {finding["check"]: finding for finding in out.json["findings"]}
    assert found["prime-silent"]["severity"] == "severe"
    assert found["prime-silent"]["where"] == "quiet.wav"
    missing = program("doctor", "sequnet", "--checkpoint", "3")
    assert missing.code == 2
    assert "no checkpoint of step 3" in missing.err


def test_a_sound_file_and_its_exit_code(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    melody = np.concatenate([np.sin(2 * np.pi * f * np.arange(2000) / 8000) for f in rng.uniform(200, 900, 16)])
    soundfile.write("good.wav", 0.3 * melody, 8000)
    good = program("doctor", "good.wav")
    assert good.code == 0, good.out
    assert good.out.endswith("nothing serious\n")
    soundfile.write("noise.wav", rng.normal(0, 0.1, 16000), 8000)
    bad = program("doctor", "noise.wav")
    assert bad.code == 1
    assert "severe   noise-runaway: spectral flatness 0." in bad.out
    quiet = program("doctor", "noise.wav", "-q")
    assert quiet.code == 1
    assert quiet.out.splitlines() == [line for line in bad.out.splitlines() if line.startswith(("severe", "warning"))]
    soundfile.write("red.wav", np.convolve(rng.normal(0, 0.02, 16000), 0.9 ** np.arange(40)), 8000)
    assert "remark   no-pitch: " in program("doctor", "red.wav").out
    assert program("doctor", "red.wav", "-q").out == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "There is no run in runs and no prepared data in data/prepared."),
        (["nowhere"], "There is no nowhere."),
        (["a.wav", "b.wav"], "One thing at a time; got a.wav b.wav."),
        (["here", "--prime", "x.wav"], "here is no run; --prime and --samples go with one."),
        (["here", "--checkpoint", "77"], "here is no run; --checkpoint and --ema/--no-ema go with one."),
        (["here", "--no-ema"], "here is no run; --checkpoint and --ema/--no-ema go with one."),
        (["here"], "here holds no clips."),
    ],
)
def test_usage(tmp_path, monkeypatch, program, arguments, text):
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    out = program("doctor", *arguments)
    assert out.code == 2
    assert f"error: {text}" in out.err


def test_a_file_that_is_no_sound_and_a_prime_that_is_not_there(trained_project, program):
    Path("x.wav").write_text("no sound")
    out = program("doctor", "x.wav", "-q")
    assert (out.code, out.err, out.out.startswith("warning  clip-unreadable: ")) == (1, "", True)
    out = program("doctor", "sequnet", "--prime", "gone.wav")
    assert (out.code, "There is no file gone.wav." in out.err) == (2, True)


def test_a_run_whose_data_are_damaged_and_then_gone(trained_project, program):
    settings = Path("runs/sequnet/settings.toml")
    here = Path("data/prepared").resolve()
    settings.write_text(re.sub(r'(?m)^path = ".*"$', f'path = "{here}"', settings.read_text()))
    told = program("doctor", "sequnet", "-v").out
    assert " data/prepared is what it was trained on" in told
    assert str(Path.cwd()) not in told, "paths are as they are typed here"
    (manifest,) = Path("data").rglob("manifest.json")
    whole = manifest.read_text()
    manifest.write_text(whole[:100])
    out = program("doctor", "sequnet", "--json")
    (found,) = [finding for finding in out.json["findings"] if finding["check"] == "data-now"]
    assert (found["severity"], "cannot be opened: " in found["sentence"]) == ("severe", True)
    shutil.rmtree("data")
    settings.write_text(re.sub(r'(?m)^(path|data) = ".*"$', r'\1 = "gone"', settings.read_text()))
    out = program("doctor", "sequnet", "--json")
    found = {finding["check"]: finding["severity"] for finding in out.json["findings"]}
    assert found["data-now"] == "info"
    assert found["status"] == "healthy"
