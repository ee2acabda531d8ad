"""seqgen preprocess and seqgen info data, as typed."""

import json
import sys

import numpy as np
import pytest

from seqgen_cli.main import main
from seqgen_core.audio.files import write_wav


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with five recordings and a broken one in data/raw, as the current folder."""
    for number in range(5):
        waveform = np.random.default_rng(number).normal(0, 0.1, 8000).clip(-1, 1)
        write_wav(tmp_path / "data" / "raw" / f"{number}.wav", waveform, 16000)
    (tmp_path / "data" / "raw" / "empty.wav").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def seqgen(monkeypatch, capsys):
    """Run the program: (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqgen", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, output.out, output.err

    return run


def test_without_arguments_raw_becomes_prepared(project, seqgen):
    code, out, err = seqgen("preprocess", "--jobs", "1")
    assert code == 0, err
    assert (project / "data" / "prepared" / "manifest.json").is_file()
    for word in ("train", "valid", "test", "mu-law, 256 levels, 16000 Hz", "uniform 8.0000", "it is empty (0 bytes)"):
        assert word in out
    assert "nothing to do" not in err
    code, again, err = seqgen("preprocess", "--jobs", "1")
    assert (code, again) == (0, out)
    assert "nothing to do" in err


def test_flags_and_overrides_reach_the_work(project, seqgen):
    code, out, err = seqgen(
        *("preprocess", "data/raw/0.wav", "data/raw/1.wav", "--out", "small", "jobs=1", "codec=linear", "--json"),
        *("--rate", "8000", "--levels", "1024", "--trim-silence", "-60", "--normalise", "peak", "--seed", "3"),
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["codec"] == {"kind": "linear", "rate": 8000, "levels": 1024}
    assert sum(split["tokens"] for split in result["splits"].values()) == 8000
    assert result["gain"] > 1
    assert any("cut along time" in warning for warning in result["warnings"])
    settings = json.loads((project / "small" / "manifest.json").read_text())["settings"]
    assert (settings["trim_silence"], settings["seed"], settings["normalise"]) == (-60, 3, "peak")


def test_info_data_shows_what_preprocess_made(project, seqgen):
    _, prepared, _ = seqgen("preprocess", "--jobs", "1", "--json")
    code, out, err = seqgen("info", "data", "--json")
    assert code == 0, err
    assert json.loads(out) == {**json.loads(prepared), "fresh": False}
    code, out, err = seqgen("info", "data", "data/prepared", "--check", "--items")
    assert code == 0
    assert "all 5 items are as they were written" in err
    assert "data/raw/3.wav" in out


def test_info_data_check_finds_damage(project, seqgen):
    seqgen("preprocess", "--jobs", "1")
    (shard,) = (project / "data" / "prepared").glob("*.bin")
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert seqgen("info", "data")[0] == 0
    code, _, err = seqgen("info", "data", "--check")
    assert code == 1
    assert "are not what was written there" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("preprocess", "nowhere"), 2, "The input nowhere does not exist."),
        (("preprocess", "data/raw/empty.wav"), 1, "None of 1 files could be used: data/raw/empty.wav: it is empty"),
        (("preprocess", "--levels", "1"), 2, "levels"),
        (("preprocess", "--codec", "mu"), 2, "'mu-law', 'a-law', 'linear'"),
        (("preprocess", "--out", "data/raw"), 2, "data/raw is input and output at once."),
        (("preprocess", "valid_share=0.6", "test_share=0.6"), 2, "valid_share + test_share is 1.2"),
        (("preprocess", "levls=12"), 2, "did you mean 'levels'?"),
        (("info", "data"), 1, "There is no prepared data in data/prepared"),
        (("info", "data", "a", "b"), 2, "2 folders are named"),
    ],
)
def test_mistakes_are_one_clear_error(project, seqgen, arguments, code, words):
    got, out, err = seqgen(*arguments)
    assert got == code
    assert out == ""
    assert words in err
    assert [line[:7] for line in err.splitlines() if line.startswith("error")] == ["error: "]
    assert "hint: " in err or "wanted: " in err
    assert "Traceback" not in err
