"""The commands on tiny data, called as a person calls them."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny import make_data

from seqgen_core.runs import RunFolder
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.project import load_project

TINY = [
    "--device", "cpu", "--batch-size", "2", "--window", "32", "features=4", "levels=3", "threads=1",
    "validate_every=3", "log_every=1", "tensorboard=false", "sample_count=0",
]  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with data/prepared in it."""
    monkeypatch.chdir(tmp_path)
    make_data(Path("data/prepared"))
    return tmp_path


def test_init_train_generate_evaluate_in_a_row(project, program):
    assert program("init").code == 0
    assert load_project().train.max_time == 600
    trained = program("train", "--model", "sequnet", "--max-time", "none", "--steps", 6, *TINY, "--json")
    assert trained.code == 0, trained.err
    assert trained.json["status"] == "finished"
    assert trained.json["step"] == 6
    (run,) = Path("runs").iterdir()
    assert run.name.endswith("-sequnet")
    drawn = program("generate", "--conditional", "--seconds", "0.1", "--json")
    assert drawn.code == 0, drawn.err
    assert Path(drawn.json["run"]) == run
    assert Path(drawn.json["sheet"]).is_relative_to(run / "samples")
    scored = program("evaluate", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["tokens"] == 698
    assert scored.json["bits_per_sample"] == scored.json["bits_per_token"]


def test_train_writes_a_run_that_says_everything(project, program):
    out = program("train", "runs/mine", "--preset", "wavenet-small", "--steps", 2, "stacks=1", "layers=2", *TINY[:6],
                  "residual_channels=4", "dilation_channels=4", "skip_channels=4", "sample_count=0")  # fmt: skip
    assert out.code == 0, out.err
    assert "runs/mine: training a wavenet until 2 steps" in out.err
    assert "finished: its limit is reached" in out.out
    assert "seqgen generate runs/mine --conditional" in out.out
    settings = RunFolder.open(Path("runs/mine")).settings
    assert settings.data.path == project / "data" / "prepared"
    assert settings.data.order0_bits > 0
    assert settings.model.layers == 2
    assert settings.train.learning_rate == load_preset("wavenet-small")["train"]["learning_rate"]


def test_a_stop_exits_with_130_and_naming_the_run_goes_on(project, program, monkeypatch):
    from seqgen_cli.screen import Screen

    update = Screen.update

    def stop_at_4(self, done, **figures):
        if done == 4 and "now" not in figures:
            os.kill(os.getpid(), signal.SIGINT)
        update(self, done, **figures)

    monkeypatch.setattr(Screen, "update", stop_at_4)
    stopped = program("train", "runs/cut", "--steps", 8, *TINY)
    assert stopped.code == 130
    assert "interrupted: stopped by Ctrl-C" in stopped.out
    assert "seqgen train --resume runs/cut" in stopped.out
    monkeypatch.undo()
    os.chdir(project)
    assert program("train", "runs/whole", "--steps", 8, *TINY).code == 0
    again = program("train", "runs/cut")
    assert again.code == 0, again.err
    assert "going on with runs/cut from step 4" in again.err
    cut, whole = (RunFolder.open(Path(f"runs/{name}")).load("last") for name in ("cut", "whole"))
    assert all(torch.equal(cut.model[name], whole.model[name]) for name in whole.model)
    assert all(torch.equal(cut.ema[name], whole.ema[name]) for name in whole.ema)


def test_resuming_prolongs_the_newest_and_another_limit_replaces_the_old(trained_project, program):
    for settings in Path("runs").glob("*/settings.toml"):
        if settings.parent.name != "sequnet":
            os.utime(settings, (1, 1))
    longer = program("train", "--resume", "--epochs", "2.5", "--json")
    assert longer.code == 0, longer.err
    assert Path(longer.json["run"]) == Path("runs/sequnet")
    assert longer.json["step"] > 8
    limits = RunFolder.open(Path("runs/sequnet")).settings.train
    assert (limits.steps, limits.epochs) == (None, 2.5)


def test_resuming_by_the_bare_name_of_a_run(trained_project, program):
    out = program("train", "wavenet", "--resume", "--steps", 9, "--json")
    assert (out.code, out.json["step"]) == (0, 9)


def test_a_moved_project_finds_its_data(project, program, tmp_path_factory, monkeypatch):
    assert program("train", "runs/one", "--steps", 3, *TINY).code == 0
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    project.rename(moved)
    monkeypatch.chdir(moved)
    assert program("generate", "--conditional", "--length", 5).code == 0
    assert program("evaluate").code == 0
    out = program("train", "runs/one", "--resume", "--steps", 4)
    assert out.code == 0, out.err
    assert RunFolder.open(Path("runs/one")).settings.data.path == moved / "data" / "prepared"
    Path("data").rename("sounds")
    out = program("train", "--resume", "--steps", 5, "--data", "sounds/prepared")
    assert out.code == 0, out.err


def test_generate_unconditional(trained_project, program):
    out = program("generate", "runs/wavenet", "--length", 30, "--count", 3, "--seed", 4, "--out", "clips", "--json")
    assert out.code == 0, out.err
    assert sorted(path.name for path in Path("clips").iterdir()) == [
        "clip-000.wav", "clip-001.wav", "clip-002.wav", "sheet.json",
    ]  # fmt: skip
    sheet = json.loads(Path("clips/sheet.json").read_text())
    assert {key: out.json[key] for key in sheet} == sheet
    assert (sheet["checkpoint"], sheet["seed"], len(sheet["clips"])) == (8, 4, 3)
    assert sheet["model"]["kind"] == "wavenet"
    assert len(soundfile.read("clips/clip-002.wav")[0]) == 30
    one = program("generate", "runs/wavenet", "--length", 30, "--seed", 4, "--out", "one", "--batch-size", 1)
    assert one.code == 0
    assert Path("one/clip-000.wav").read_bytes() == Path("clips/clip-000.wav").read_bytes()


def test_generate_conditional_continues_the_test_split(trained_project, program):
    out = program("generate", "sequnet", "--conditional", "--prime-seconds", "0.1", "--length", 20, "--count", 2,
                  "--out", "clips", "--json", "--verify")  # fmt: skip
    assert out.code == 0, out.err
    assert "engine: cpu (fp32, 1 thread)" in out.err
    assert "verified: cpu against the plain forward over 256 tokens" in out.err
    assert len(list(Path("clips").glob("*.wav"))) == 6
    for clip in out.json["clips"]:
        assert clip["prime"]["origin"].startswith("test ")
        assert clip["prime"]["tokens"] == 100
        assert len(soundfile.read(Path("clips") / clip["files"]["joined"])[0]) == 120


def test_generate_continues_a_person_s_own_file(trained_project, program):
    soundfile.write("mine.flac", np.sin(np.arange(4410) / 20).astype(np.float32), 44100)
    out = program("generate", "sequnet", "--prime", "mine.flac", "--length", 20, "--out", "clips", "--json")
    assert out.code == 0, out.err
    (clip,) = out.json["clips"]
    assert clip["prime"] == {"origin": "mine.flac", "start": 0, "tokens": 100}


def test_verify_finds_a_fault(trained_project, program, monkeypatch):
    from seqgen_core.generation import verify

    monkeypatch.setattr(verify, "verify", lambda *arguments: verify.Verification(256, 0.5, 1.0, 2.0))
    out = program("generate", "sequnet", "--length", 5, "--verify", "--out", "clips")
    assert out.code == 1
    assert "error: cpu against the plain forward over 256 tokens: outputs differ by at most 5.0e-01" in out.err
    assert not Path("clips").exists()


def test_engines_and_weights_can_be_chosen(trained_project, program):
    drawn = {}
    for engine in ("auto", "cpu", "torch"):
        out = program("generate", "wavenet", "--length", 40, "--engine", engine, "--out", engine, "--json")
        assert out.code == 0, out.err
        drawn[engine] = Path(engine, "clip-000.wav").read_bytes()
        assert out.json["engine"].startswith("torch (cpu, step by step)" if engine == "torch" else "cpu (fp32")
    assert drawn["auto"] == drawn["cpu"] == drawn["torch"]
    out = program("generate", "wavenet", "--length", 9, "--weights", "int8", "--verify", "--threads", 2, "--json")
    assert out.code == 0, out.err
    assert out.json["engine"] == ("cpu (int8, 2 threads)" if os.cpu_count() != 1 else "cpu (int8, 1 thread)")
    assert re.search(r"int8 costs -?0\.\d{4} bits per token on what the model draws \(\d\.\d{4}, with fp32 ", out.err)
    out = program("generate", "wavenet", "--engine", "torch", "--weights", "bf16")
    assert out.code == 2
    assert "The torch engine has no bf16 weights." in out.err
    wrong = program("generate", "wavenet", "--engine", "fast")
    assert wrong.code == 2
    assert "'auto', 'cpu', 'torch' or 'cuda'" in wrong.err


def test_a_draw_that_fails_leaves_no_empty_folder(trained_project, program, monkeypatch):
    from seqgen_core.generation import clips

    def fail(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(clips, "draw_clips", fail)
    assert program("generate", "sequnet", "--length", 30, "--out", "clips").code == 130
    assert not Path("clips").exists()


def test_raw_sound_is_not_poured_into_a_terminal(trained_project, program, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = program("generate", "sequnet", "--stream", "--length", 30)
    assert out.code == 2
    assert "ffplay -nodisp -autoexit -f s16le -ar 1000 -" in out.err


def test_stream_says_how_long_blocks_took(trained_project, program):
    out = program("generate", "sequnet", "--stream", "--length", 130, "block=0.02")
    assert out.code == 0, out.err
    assert "raw sound on stdout: 1000 Hz, 16 bits" in out.err
    assert re.search(r"blocks of 20 ms: the first after \d+ ms, then p50 [\d.]+ ms, p99 [\d.]+ ms", out.err)
    assert "as fast as it plays: a player keeps playing" in out.err or "which will stutter" in out.err
    assert "p50" not in program("generate", "sequnet", "--stream", "--length", 5).err


@pytest.mark.parametrize("length", [1, 51, 130])
def test_stream_writes_pcm_and_nothing_else(trained_project, program, length):
    out = program("generate", "sequnet", "--stream", "--length", length, "--seed", 2)
    assert out.code == 0, out.err
    assert len(out.raw) == 2 * length
    assert program("generate", "sequnet", "--length", length, "--seed", 2, "--out", "clips").code == 0
    written, _ = soundfile.read("clips/clip-000.wav", dtype="int16")
    assert np.abs(written.astype(int) - np.frombuffer(out.raw, "<i2")).max() <= 1


def test_evaluate_a_split_and_files(trained_project, program):
    out = program("evaluate", "sequnet", "--split", "valid", "--json", "--checkpoint", "last", "--no-ema")
    assert out.code == 0, out.err
    assert (out.json["on"], out.json["tokens"], out.json["ema"]) == ("valid", 300, False)
    assert [r["origin"] for r in out.json["recordings"]] == ["valid 0", "valid 1"]
    soundfile.write("tone.wav", np.sin(np.arange(500) / 20).astype(np.float32), 1000)
    soundfile.write("model=x.wav", np.zeros(100, np.float32), 1000)  # a file, though it looks like an override
    out = program("evaluate", "sequnet", "tone.wav", "model=x.wav", "--json")
    assert out.code == 0, out.err
    assert (out.json["on"], out.json["tokens"]) == ("files", 499 + 99)
    newest = program("evaluate", "tone.wav", "chunk=50", "--json")
    assert newest.code == 0, newest.err
    shown = program("evaluate", "sequnet")
    assert "yardsticks in bits: uniform 4.0000, order-0" in shown.out


def test_checkpoint_and_label_are_texts_that_look_like_numbers(trained_project, program):
    out = program("generate", "sequnet", "checkpoint=8", "--length", 3, "--json")
    assert (out.code, out.json["checkpoint"]) == (0, 8)


def test_labelled_runs_ask_for_a_label(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    make_data(Path("data/prepared"), labels=2)
    tiny = ["residual_channels=4", "dilation_channels=4", "skip_channels=4", "stacks=1", "layers=2", "sample_count=0"]
    out = program("train", "--model", "wavenet", "classes=2", "--steps", 2, *TINY[:6], *tiny)
    assert out.code == 0, out.err
    for label in ("class 1", "1"):
        assert program("generate", "--length", 3, "--label", label).code == 0
    assert program("evaluate").code == 0
    missing = program("generate", "--length", 3)
    assert missing.code == 2
    assert "Choose one by --label: class 0, class 1." in missing.err
    own = program("generate", "--conditional", "--length", 3, "--count", 4, "--json")
    assert own.code == 0  # each excerpt brings the class of its recording
    wrong = program("generate", "--length", 3, "--label", "class 2")
    assert wrong.code == 2
    assert "There is no label 'class 2'" in wrong.err


@pytest.mark.parametrize(
    "command",
    [("evaluate", "sequnet"), ("generate", "sequnet", "--length", 3), ("train", "sequnet", "--resume", "--steps", 9)],
)
def test_json_is_pure_and_quiet_is_silent(trained_project, program, command):
    if command[0] != "train":
        assert isinstance(program(*command, "--json").json, dict)
        assert isinstance(program(*command, "--json", "-v").json, dict)
        quiet_json = program(*command, "--json", "-q")
        assert isinstance(quiet_json.json, dict)
        assert quiet_json.err == ""
    quiet = program(*command, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_version_and_help(program):
    assert program("--help").out.startswith("Usage:")
    assert "Bits" not in program("evaluate", "--help").err
    out = program("train", "--help")
    assert "Tokens scored in each window; models of images take whole images." in " ".join(out.out.split())
    assert "--set" in out.out


def test_clips_that_are_there_stay(trained_project, program):
    assert program("generate", "sequnet", "--length", 5, "--out", "mine").code == 0
    before = {path: path.read_bytes() for path in Path("mine").iterdir()}
    again = program("generate", "sequnet", "--length", 5, "--seed", 9, "--out", "mine")
    assert again.code == 2
    assert "mine holds clips already" in again.err
    assert {path: path.read_bytes() for path in Path("mine").iterdir()} == before
    Path("a file").write_text("x")
    refused = program("generate", "sequnet", "--length", 5, "--out", "a file")
    assert refused.code == 2
    assert "a file is a file" in refused.err
    assert "drawing" not in refused.err


def test_a_limit_on_the_command_line_stands_in_place_of_the_files(project, program):
    Path("seqgen.toml").write_text('[train]\nmax_time = "10m"\nschedule = "cosine"\n')
    out = program("train", "runs/limited", "--steps", 2, *TINY)
    assert out.code == 0, out.err
    assert "max_time" not in Path("runs/limited/settings.toml").read_text()


def test_verbose_says_where_settings_come_from(trained_project, program):
    told = program("generate", "sequnet", "generate.seed=3", "--length", 2, "-v").err
    assert "settings: defaults, generate.seed=3" in told
    assert "settings:" not in program("generate", "sequnet", "--length", 2).err


@pytest.mark.parametrize("words", [(), ("info",)])
def test_bare_names_show_their_help(program, words):
    out = program(*words)
    assert out.code == 0
    assert "Commands:\n" in out.out
    assert out.err == ""
