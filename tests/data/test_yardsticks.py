"""Yardsticks: entropies that can be worked out on paper."""

import math

import numpy as np
import pytest
from tiny import make_data

from seqgen_core.data import yardsticks as module
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.data.yardsticks import order1_bits, yardsticks
from seqgen_core.settings.codec import AudioCodecSettings, NotesCodecSettings


def stored(path, recordings, codec=None):
    with PreparedWriter(path, codec or AudioCodecSettings(rate=1000, levels=16)) as writer:
        for tokens in recordings:
            writer.add(np.asarray(tokens), origin="here", split="train")
        writer.add(np.asarray(recordings[0]), origin="there", split="test")
        writer.finish()
    return PreparedData.open(path)


def test_a_cycle_is_certain_once_the_value_before_is_known(tmp_path):
    data = stored(tmp_path, [np.arange(800) % 8])
    found = yardsticks(data)
    assert found.named() == pytest.approx({"uniform": 4.0, "order-0": 3.0, "order-1": 0.0}, abs=1e-9)


def test_fair_coins_stay_fair(tmp_path):
    data = stored(tmp_path, [np.random.default_rng(0).integers(0, 2, 20_000)])
    assert order1_bits(data) == pytest.approx(1.0, abs=1e-3)


def test_a_sticky_coin_costs_the_entropy_of_its_changes(tmp_path):
    changes = np.random.default_rng(0).random(50_000) < 0.1
    data = stored(tmp_path, [np.cumsum(changes) % 2])
    wanted = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))
    assert order1_bits(data) == pytest.approx(wanted, abs=0.01)


def test_pairs_never_span_two_recordings(tmp_path):
    data = stored(tmp_path, [[0] * 50, [5] * 50])
    assert order1_bits(data) == 0.0


def test_too_few_tokens_say_nothing(tmp_path):
    data = stored(tmp_path, [np.random.default_rng(0).integers(0, 16, 300)])
    assert order1_bits(data) is None


def test_keys_of_a_roll_are_summed(tmp_path):
    codec = NotesCodecSettings()
    roll = np.zeros((400, 88), np.int64)
    roll[:, 3] = np.arange(400) % 2
    roll[:, 7] = np.random.default_rng(0).integers(0, 2, 400)
    found = order1_bits(stored(tmp_path, [roll], codec))
    assert found == pytest.approx(1.0, abs=0.02)


def test_large_tables_are_counted_by_sorting(tmp_path, monkeypatch):
    data = make_data(tmp_path, lengths={"train": (9000, 4000), "test": (50,)})
    dense = order1_bits(data)
    monkeypatch.setattr(module, "_DENSE", 10)
    assert dense is not None
    assert order1_bits(data) == pytest.approx(dense, abs=1e-12)
