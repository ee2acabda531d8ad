"""Carried windows: every token once per epoch, each row where it stood before, all from (seed, step)."""

import numpy as np
import pytest
from tiny import make_data

from seqgen_core.data.carried import CarriedWindows
from seqgen_core.errors import SeqgenError

BASE = 100
"""Recording r holds the tokens r·BASE, r·BASE + 1, … so that a token says where it is from."""
LENGTHS = (60, 33, 15, 12, 8, 2, 1, 29)


def make(tmp_path, monkeypatch, lengths=LENGTHS, data_options=None, **options):
    import tiny

    started = iter(range(len(lengths)))
    monkeypatch.setattr(tiny, "melody", lambda length, levels, seed: np.arange(length) + next(started) * BASE)
    data = make_data(tmp_path, levels=1000, lengths={"train": lengths}, **(data_options or {}))
    return CarriedWindows(data, data.items("train"), **{"window": 7, "batch_size": 3, "seed": 1, **options})


def epoch_of(windows, epoch=0):
    return [windows.batch(epoch * windows.steps_per_epoch + step) for step in range(windows.steps_per_epoch)]


@pytest.mark.parametrize("window", [1, 7, 64])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_every_token_but_the_first_is_scored_once_per_epoch(tmp_path, monkeypatch, window, batch_size):
    windows = make(tmp_path, monkeypatch, window=window, batch_size=batch_size)
    expected = sorted(r * BASE + place for r, length in enumerate(LENGTHS) for place in range(1, length))
    for epoch in range(3):
        batches = epoch_of(windows, epoch)
        scored = [int(token) for batch in batches for token in batch.targets[batch.mask]]
        assert sorted(scored) == expected
        assert sum(batch.scored for batch in batches) == len(expected)
        assert {batch.inputs.shape for batch in batches} == {batch.targets.shape for batch in batches}
        assert {batch.inputs.shape for batch in batches} == {(batch_size, window)}


@pytest.mark.parametrize("window", [1, 7, 64])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_a_row_goes_on_where_it_ended_or_is_fresh(tmp_path, monkeypatch, window, batch_size):
    windows = make(tmp_path, monkeypatch, window=window, batch_size=batch_size)
    ends = [None] * batch_size  # the last target of each row, where the recording goes on after it
    beginnings = 0
    for epoch in range(2):
        for step, batch in enumerate(epoch_of(windows, epoch)):
            assert batch.fresh is not None
            for row in range(batch_size):
                length = int(batch.mask[row].sum())
                assert batch.mask[row, :length].all()  # what is scored comes first, then padding
                heard = batch.inputs[row, :length]
                assert np.array_equal(heard + 1, batch.targets[row, :length])
                assert not batch.inputs[row, length:].any()
                if length and not batch.fresh[row]:
                    assert heard[0] == ends[row]
                if length and batch.fresh[row]:
                    begins = int(heard[0]) % BASE == 0
                    assert begins or step == 0  # a lane may begin in the middle of a recording
                    beginnings += begins
                ends[row] = int(batch.targets[row, -1]) if length == window else None
    assert beginnings == 2 * sum(length > 1 for length in LENGTHS)


def test_lanes_are_equally_long_and_only_the_last_run_out(tmp_path, monkeypatch):
    windows = make(tmp_path, monkeypatch)
    total = sum(-(-(length - 1) // 7) for length in LENGTHS)
    assert windows.steps_per_epoch == -(-total // 3)
    live = np.array([batch.mask.any(axis=1) for batch in epoch_of(windows)])  # (steps, lanes)
    order = live.T.ravel()  # lane by lane, as the windows lie end to end
    assert order[:total].all()
    assert not order[total:].any()


def test_rows_without_a_window_are_fresh(tmp_path, monkeypatch):
    """Of more lanes than windows some have none: nothing may come of them."""
    (batch,) = epoch_of(make(tmp_path, monkeypatch, lengths=(8, 8), batch_size=5))
    assert batch.fresh is not None
    assert batch.fresh.all()
    assert batch.mask.any(axis=1).tolist() == [True, True, False, False, False]
    assert not batch.inputs[2:].any()


def test_batches_follow_from_seed_and_step_alone(tmp_path, monkeypatch):
    one, other = (make(tmp_path / name, monkeypatch) for name in "ab")
    forward = [one.batch(step) for step in range(3 * one.steps_per_epoch)]
    for step in reversed(range(len(forward))):  # in any order, as after a resume
        again = other.batch(step)
        for name in ("inputs", "targets", "mask", "fresh"):
            assert np.array_equal(getattr(again, name), getattr(forward[step], name))


def test_epochs_and_seeds_differ(tmp_path, monkeypatch):
    one, other = (make(tmp_path / str(seed), monkeypatch, seed=seed) for seed in (1, 2))
    first, second, elsewhere = (
        [batch.inputs.tolist() for batch in batches] for batches in (epoch_of(one), epoch_of(one, 1), epoch_of(other))
    )
    assert first != second
    assert first != elsewhere


def test_what_is_given_is_heard_and_not_scored(tmp_path, monkeypatch):
    windows = make(tmp_path, monkeypatch, lengths=(30, 30, 19, 20), data_options={"given": 19})
    batches = epoch_of(windows)
    scored = sorted(int(token) for batch in batches for token in batch.targets[batch.mask])
    assert scored == sorted(
        r * BASE + place for r, length in ((0, 30), (1, 30), (3, 20)) for place in range(19, length)
    )
    heard = {int(token) for batch in batches for token in batch.inputs.ravel()}
    assert set(range(1, 29)) <= heard


def test_labels_and_features_come_with_their_rows(tmp_path):
    data = make_data(tmp_path, lengths={"train": (40, 25, 33)}, labels=3, bands=2)
    windows = CarriedWindows(data, data.items("train"), window=8, batch_size=2, seed=0)
    streams = {item.label: data.stream(item) for item in data.items("train")}
    for batch in epoch_of(windows):
        assert batch.labels is not None
        assert batch.features is not None
        assert batch.features.shape == (2, 8, 2)
        for row, label in enumerate(batch.labels):
            length = int(batch.mask[row].sum())
            if not length:
                continue
            stream = streams[int(label)]
            whole = stream.features[np.arange(len(stream.tokens))]
            starts = [
                start
                for start in range(0, len(whole), 8)
                if np.array_equal(stream.tokens[start : start + length], batch.inputs[row, :length])
            ]
            told = batch.features[row, :length]
            assert any(np.array_equal(told, whole[start + 1 : start + 1 + length]) for start in starts)


def test_nothing_to_score_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(SeqgenError, match="no recording to train on"):
        make(tmp_path, monkeypatch, lengths=(1, 1))
