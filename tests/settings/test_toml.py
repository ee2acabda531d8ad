"""Settings through TOML and back are the same settings."""

import sys
import tomllib
from pathlib import Path

import pytest

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.base import Settings
from seqgen_core.settings.codec import AudioCodecSettings, TextCodecSettings
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import Project
from seqgen_core.settings.run import DataAccount, RunSettings
from seqgen_core.settings.toml import read_toml, to_toml
from seqgen_core.settings.train import TrainSettings

ODD = 'a "quoted" näme\nwith lines \\ and = signs\t\x00\x1f\x7f\u2028😀'


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize(
    "train",
    [
        {},
        {"clip_norm": None, "steps": None, "patience": 3, "learning_rate": 1.23456789e-7, "max_time": "1h"},
        {"data": Path(ODD), "context": 0},
    ],
)
def test_run_settings_come_back(tmp_path, kind, train):
    codec = AudioCodecSettings(rate=8000, kind="linear", levels=65536)
    settings = RunSettings(
        model=MODEL_KINDS[kind](),
        tokens=codec.tokens,
        data=DataAccount(path=Path("/x y/z"), codec=codec, label_names=("none", ODD), order0_bits=4.5),
        train=TrainSettings(**train),
    )
    file = tmp_path / "settings.toml"
    file.write_text(to_toml(settings), encoding="utf-8")
    assert read_toml(RunSettings, file) == settings


def test_none_beside_another_default_is_written():
    assert 'clip_norm = "none"' in to_toml(TrainSettings(clip_norm=None))
    assert "\nsteps" not in to_toml(TrainSettings(steps=None))


def test_a_whole_project_comes_back(tmp_path):
    project = Project(train=TrainSettings(clip_norm=None))
    (tmp_path / "p.toml").write_text(to_toml(project))
    assert read_toml(Project, tmp_path / "p.toml") == project


@pytest.mark.parametrize("value", [1e-08, 1e16, 0.1, -3.0, 5, -(2**40), True, [1, 2], [], {"a b": {"c": []}}, {}])
def test_values_are_toml(value):
    class Any(Settings):
        held: object = None

    assert tomllib.loads(to_toml(Any(held=value)))["held"] == value


def test_a_large_vocabulary_is_written_without_the_slow_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    words = tuple(f"wörd {number}" for number in range(30_000))
    codec = TextCodecSettings(kind="words", vocabulary=words)
    assert tomllib.loads(to_toml(codec))["vocabulary"] == list(words)


@pytest.mark.parametrize("content", [b"[model", b"\xff\xfe", b"kind = 3", b""])
def test_damage_is_named_with_the_file(tmp_path, content):
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    with pytest.raises(SeqgenError) as caught:
        read_toml(RunSettings, file)
    assert str(file) in caught.value.got + caught.value.hint
