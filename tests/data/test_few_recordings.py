"""Few recordings of unequal lengths: held out by length, whole, the same ones again; and a word where it is little."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from seqgen_core.data.preprocess import preprocess
from seqgen_core.data.splits import Recording, assign, little_held_out
from seqgen_core.settings.preprocess import PreprocessSettings

SECONDS = [8.5, 3.8, 9.4, 50.6, 50.6, 5.3, 56.5, 56.5, 36.6]


def draw(lengths, seed=0, **shares):
    recordings = [Recording(f"recording-{number}", length=round(100 * x)) for number, x in enumerate(lengths)]
    return assign(recordings, **{"valid_share": 0.05, "test_share": 0.05, "seed": seed, **shares}).splits


@given(st.integers(0, 300))
def test_held_out_shares_are_of_the_duration(seed):
    splits = draw(SECONDS, seed)
    held = {name: sum(x for x, split in zip(SECONDS, splits, strict=True) if split == name) for name in splits}
    assert held.keys() == {"train", "valid", "test"}
    assert 0.5 * 0.05 * sum(SECONDS) < held["test"] < 1.5 * 0.05 * sum(SECONDS)
    assert held["train"] > 0.75 * sum(SECONDS)


@given(st.lists(st.integers(1, 500), min_size=3, max_size=19), st.integers(0, 50), st.floats(0.01, 0.45))
def test_no_split_is_empty_and_the_draw_depends_on_nothing_else(lengths, seed, share):
    splits = draw(lengths, seed, test_share=share)
    assert set(splits) == {"train", "valid", "test"}
    assert splits == draw(lengths, seed, test_share=share)


def test_one_length_for_all_or_many_recordings_change_nothing():
    assert draw([7] * 9) == draw([0] * 9)
    many = list(np.random.default_rng(0).integers(1, 90, 200))
    assert draw(many) == draw([0] * 200)


def test_a_new_recording_moves_few():
    moved = [
        sum(a != b for a, b in zip(draw(SECONDS, seed), draw([*SECONDS, 20.0], seed), strict=False))
        for seed in range(100)
    ]
    assert np.mean(moved) < 2  # of nine; with many recordings none, as test_splits has it


def test_little_held_out_is_told():
    (said,) = little_held_out([("train", 250.0), ("train", 20.0), ("valid", 30.0), ("valid", 30.0), ("test", 3.8)])
    assert said.startswith("the test split is one recording of 3.8 s: figures on it say little; a larger --test-share")
    assert "give more for test" in little_held_out([("train", 250.0), ("test", 3.8)], asked_for=True)[0]
    assert "2 recordings of 8.0 s" in little_held_out([("train", 100.0), ("valid", 4.0), ("valid", 4.0)])[0]
    assert little_held_out([("train", 30.0), ("valid", 3.0), ("test", 3.0)]) == []
    assert little_held_out([("train", 900.0), ("valid", 30.0), ("valid", 30.0)]) == []


def test_preprocess_says_so(tmp_path):
    rng = np.random.default_rng(0)
    for name, seconds in (("train", 90), ("test", 3), ("valid", 22), ("valid", 23)):
        folder = tmp_path / "raw" / name
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{seconds}.wav", rng.uniform(-0.5, 0.5, 1000 * seconds), 1000)
    settings = PreprocessSettings(inputs=(tmp_path / "raw",), out=tmp_path / "out", rate=1000, jobs=1)
    warnings = preprocess(settings).manifest.warnings
    assert [line for line in warnings if "say little" in line] == [
        "the test split is one recording of 3.0 s: figures on it say little; give more for test"
    ]
    assert pytest.approx(3.0) == preprocess(settings).seconds("test")
