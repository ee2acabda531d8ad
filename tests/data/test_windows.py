"""Windows: the right targets, every token within reach, nothing across recordings, all from (seed, step)."""

import numpy as np
import pytest
from tiny import make_data

from seqgen_core.data.store import PreparedData
from seqgen_core.data.windows import Windows
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import NotesCodecSettings

BASE = 100
"""Recording r holds the tokens r·BASE, r·BASE + 1, … so that a token says where it is from."""


def make(tmp_path, monkeypatch, lengths, data_options=None, **options):
    import tiny

    started = iter(range(len(lengths)))
    monkeypatch.setattr(tiny, "melody", lambda length, levels, seed: np.arange(length) + next(started) * BASE)
    data = make_data(tmp_path / "prepared", levels=1000, lengths={"train": lengths}, **(data_options or {}))
    settings = {"window": 7, "context": 5, "batch_size": 3, "seed": 1, **options}
    return Windows(data, data.items("train"), **settings)


def epochs(windows, count):
    return [windows.batch(step) for step in range(count * windows.steps_per_epoch)]


@pytest.mark.parametrize("context", [0, 1, 5, 40])
@pytest.mark.parametrize("lengths", [(60, 33, 13, 12, 8, 2), (2,), (14,), (90,)])
def test_targets_follow_their_inputs_and_windows_stay_in_one_recording(tmp_path, monkeypatch, lengths, context):
    for batch in epochs(make(tmp_path, monkeypatch, lengths, context=context), 3):
        rows, scored = batch.targets.shape
        given = batch.inputs.shape[1] - scored
        assert given in (0, context)
        assert batch.mask.any(axis=1).all()
        assert batch.scored == batch.mask.sum()
        for row in range(rows):
            length = int(batch.mask[row].sum())
            assert batch.mask[row, :length].all()  # nothing scored after the end
            heard = batch.inputs[row, : given + length]
            assert (np.diff(heard) == 1).all()  # the true context, in order, from one recording
            assert (batch.targets[row, :length] == heard[given:] + 1).all()
            recording, place = divmod(int(heard[0]), BASE)
            assert place + given + length < lengths[recording]
            if given == 0 and context:
                assert place == 0  # a head window starts where the recording does
            else:
                assert length == 7 or place == 0
            assert (batch.inputs[row, given + length :] == 0).all()


@pytest.mark.parametrize("context", [0, 5, 30])
def test_every_token_but_the_first_is_scored_over_epochs(tmp_path, monkeypatch, context):
    lengths = (60, 33, 13, 12, 8, 2)
    windows = make(tmp_path, monkeypatch, lengths, context=context)
    seen = {int(token) for batch in epochs(windows, 60) for token in batch.targets[batch.mask]}
    assert seen == {r * BASE + place for r, length in enumerate(lengths) for place in range(1, length)}


def test_recordings_of_one_token_are_left_out(tmp_path, monkeypatch):
    windows = make(tmp_path, monkeypatch, (1, 20, 1))
    seen = {int(token) // BASE for batch in epochs(windows, 5) for token in batch.targets[batch.mask]}
    assert seen == {1}


def test_nothing_to_score_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(SeqgenError, match="no recording to train on"):
        make(tmp_path, monkeypatch, (1, 1))


def test_an_epoch_scores_about_every_token_once(tmp_path, monkeypatch):
    windows = make(tmp_path, monkeypatch, (95, 95, 95))
    for epoch in range(4):
        steps = range(epoch * windows.steps_per_epoch, (epoch + 1) * windows.steps_per_epoch)
        scored = sum(windows.batch(step).scored for step in steps)
        assert 3 * 94 <= scored < 3 * (94 + 7)  # the last stratum may overlap by less than a window


def test_batches_follow_from_seed_and_step_alone(tmp_path, monkeypatch):
    lengths = (60, 33, 13)
    one = make(tmp_path / "1", monkeypatch, lengths)
    other = make(tmp_path / "2", monkeypatch, lengths)
    count = 3 * one.steps_per_epoch
    forward = [one.batch(step) for step in range(count)]
    for step in reversed(range(count)):  # in any order, as after a resume
        again = other.batch(step)
        assert np.array_equal(again.inputs, forward[step].inputs)
        assert np.array_equal(again.targets, forward[step].targets)
        assert np.array_equal(again.mask, forward[step].mask)


def test_epochs_and_seeds_differ(tmp_path, monkeypatch):
    def starts(windows, epoch):
        steps = range(epoch * windows.steps_per_epoch, (epoch + 1) * windows.steps_per_epoch)
        return [windows.batch(step).inputs.tolist() for step in steps]

    one = make(tmp_path / "1", monkeypatch, (95, 95))
    other = make(tmp_path / "2", monkeypatch, (95, 95), seed=2)
    assert starts(one, 0) != starts(one, 1)
    assert starts(one, 0) != starts(other, 0)


def test_labels_are_those_of_the_recordings(tmp_path):
    data = make_data(tmp_path / "prepared", lengths={"train": (40, 40, 40)}, labels=3)
    windows = Windows(data, data.items("train"), window=8, context=4, batch_size=2, seed=0)
    tokens = {item.label: data.tokens(item).tolist() for item in data.items("train")}
    for batch in epochs(windows, 2):
        assert batch.labels is not None
        for row, label in enumerate(batch.labels):
            heard = batch.inputs[row].tolist()
            source = tokens[int(label)]
            assert any(source[start : start + len(heard)] == heard for start in range(len(source)))


def test_without_labels_there_are_none(tmp_path, monkeypatch):
    assert make(tmp_path, monkeypatch, (30,)).batch(0).labels is None


@pytest.mark.parametrize("context", [0, 5, 40])
@pytest.mark.parametrize("given", [2, 6, 13, 30, 60])
def test_what_is_given_is_heard_and_never_scored(tmp_path, monkeypatch, given, context):
    lengths = (61, 90, 20, 31, 6)
    windows = make(tmp_path, monkeypatch, lengths, data_options={"given": given}, context=context)
    scored = set()
    for batch in epochs(windows, 60):
        assert batch.mask.any(axis=1).all()  # no window is drawn of which nothing is scored
        places = batch.targets[batch.mask]
        assert (places % BASE >= given).all()
        scored |= set(places.tolist())
    assert scored == {r * BASE + place for r, length in enumerate(lengths) for place in range(given, length)}


@pytest.mark.parametrize("context", [0, 3, 90])
def test_an_answer_that_fits_into_a_window_is_scored_whole_in_every_epoch(tmp_path, monkeypatch, context):
    windows = make(tmp_path, monkeypatch, (90, 80), data_options={"given": 75}, window=15, context=context)
    expected = sorted(r * BASE + place for r, length in enumerate((90, 80)) for place in range(75, length))
    for epoch in range(3):
        steps = range(epoch * windows.steps_per_epoch, (epoch + 1) * windows.steps_per_epoch)
        batches = [windows.batch(step) for step in steps]
        assert sorted(int(token) for batch in batches for token in batch.targets[batch.mask]) == expected


def test_a_recording_of_which_all_is_given_is_left_out(tmp_path, monkeypatch):
    windows = make(tmp_path, monkeypatch, (20, 30), data_options={"given": 20})
    assert {int(token) // BASE for batch in epochs(windows, 5) for token in batch.targets[batch.mask]} == {1}
    with pytest.raises(SeqgenError, match="no recording to train on"):
        make(tmp_path / "all", monkeypatch, (20, 30), data_options={"given": 30})


@pytest.mark.parametrize("context", [0, 6])
def test_features_tell_of_the_token_after_each_input(tmp_path, monkeypatch, context):
    data_options = {"bands": 2}
    windows = make(tmp_path, monkeypatch, (60, 33, 12, 2), data_options=data_options, context=context)
    told = [windows.data.stream(item).features for item in windows.items]
    for batch in epochs(windows, 3):
        assert batch.features is not None
        assert batch.features.dtype == np.float32
        given = batch.inputs.shape[1] - batch.targets.shape[1]
        assert batch.features.shape == (*batch.inputs.shape, 2)
        for row, mask in enumerate(batch.mask):
            length = given + int(mask.sum())
            recording, first = divmod(int(batch.inputs[row, 0]), BASE)
            expected = told[recording][np.arange(first + 1, first + 1 + length)]
            assert np.array_equal(batch.features[row, :length], expected)
            assert not batch.features[row, length:].any()


def test_without_features_there_are_none(tmp_path, monkeypatch):
    batch = make(tmp_path, monkeypatch, (30,)).batch(0)
    assert batch.features is None
    assert batch.fresh is None


def test_vectors_come_in_windows_too(tmp_path):
    rolls = [np.random.default_rng(length).integers(0, 2, (length, 3)) for length in (40, 9)]
    with PreparedWriter(tmp_path, NotesCodecSettings(keys=3)) as writer:
        for number, roll in enumerate(rolls):
            writer.add(roll, origin=str(number), split="train")
        writer.finish()
    data = PreparedData.open(tmp_path)
    windows = Windows(data, data.items("train"), window=7, context=4, batch_size=2, seed=0)
    seen = set()
    for batch in epochs(windows, 40):
        context = batch.inputs.shape[1] - batch.targets.shape[1]
        assert batch.targets.shape == (*batch.mask.shape, 3)
        for row, mask in enumerate(batch.mask):
            length = context + int(mask.sum())
            heard, scored = batch.inputs[row, :length], batch.targets[row, mask]
            whole = np.concatenate([heard[: context + 1], scored])
            assert np.array_equal(whole[:-1], heard)
            places = [
                (number, start)
                for number, roll in enumerate(rolls)
                for start in range(len(roll) - length)
                if np.array_equal(roll[start : start + len(whole)], whole)
            ]
            assert places
            seen |= {
                (number, start + context + 1 + step) for number, start in places for step in range(int(mask.sum()))
            }
    assert {(0, place) for place in range(1, 40)} | {(1, place) for place in range(1, 9)} <= seen
