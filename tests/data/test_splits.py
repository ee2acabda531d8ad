"""The split: given first, the rest drawn by content, never empty where that can be helped."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen_core.data.splits import Recording, assign, cut


def names(count: int, prefix: str = "recording") -> list[Recording]:
    return [Recording(f"{prefix}-{number}") for number in range(count)]


def draw(recordings, valid_share=0.05, test_share=0.05, seed=0, **options):
    return assign(recordings, valid_share=valid_share, test_share=test_share, seed=seed, **options)


@given(st.integers(3, 60), st.integers(0, 1000), st.floats(0.01, 0.45), st.floats(0.01, 0.45))
def test_three_recordings_or_more_leave_no_split_empty(count, seed, valid_share, test_share):
    found = draw(names(count), valid_share, test_share, seed)
    assert set(found.splits) == {"train", "valid", "test"}
    assert not found.notes


def test_shares_are_met_on_many_recordings():
    splits = draw(names(4000), 0.1, 0.2).splits
    assert splits.count("valid") / 4000 == pytest.approx(0.1, abs=0.015)
    assert splits.count("test") / 4000 == pytest.approx(0.2, abs=0.02)


@given(st.integers(0, 1000))
def test_new_recordings_move_none_of_many_old_ones(seed):
    old, new = names(300), names(50, "new")
    before = draw(old, seed=seed).splits
    after = draw([*new[:25], *old, *new[25:]], seed=seed).splits[25:-25]
    drawn = {split for split in before if split != "train"}
    if before.count("valid") > 1 and before.count("test") > 1:
        assert before == after
    assert drawn == {"valid", "test"}


def test_the_seed_changes_the_draw():
    assert draw(names(200), seed=0).splits != draw(names(200), seed=1).splits


def test_copies_of_one_recording_stay_together():
    recordings = [Recording(f"r{number % 40}") for number in range(200)]
    splits = draw(recordings, 0.3, 0.3).splits
    for number in range(200):
        assert splits[number] == splits[number % 40]


def test_given_splits_are_kept_and_the_missing_one_is_drawn_from_training():
    recordings = [Recording(f"a{n}", "train") for n in range(10)] + [Recording(f"b{n}", "test") for n in range(3)]
    found = draw(recordings)
    assert found.splits[10:] == ["test"] * 3
    assert set(found.splits[:10]) == {"train", "valid"}
    assert "no valid recordings were given" in found.notes[0]


def test_recordings_without_a_word_do_not_join_a_given_test():
    found = draw([Recording("t", "test"), *names(200)], 0.1, 0.5)
    assert found.splits[0] == "test"
    assert set(found.splits[1:]) == {"train", "valid"}


def test_a_copy_of_a_given_test_recording_is_for_the_test():
    found = draw([Recording("same", "test"), Recording("same"), *names(20)])
    assert found.splits[:2] == ["test", "test"]


def test_the_same_recording_given_for_two_splits_is_reported():
    found = draw([Recording("same", "test"), Recording("same", "train"), *names(20)])
    assert found.splits[:2] == ["test", "train"]
    assert "the same recording is given for test and for train" in found.notes


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_recordings_are_cut_along_time(count):
    found = draw(names(count))
    assert found.splits == [None] * count
    assert found.shares == {"train": pytest.approx(0.9), "valid": 0.05, "test": 0.05}
    assert list(found.shares) == ["train", "valid", "test"]
    assert "cut along time into 90 % train, 5 % valid, 5 % test" in found.notes[0]


@pytest.mark.parametrize("count", [1, 2])
def test_what_cannot_be_cut_is_all_for_training(count):
    found = draw(names(count), divisible=False)
    assert found.splits == ["train"] * count
    what = "one recording" if count == 1 else "2 recordings"
    assert found.notes == [f"only {what} to split: all for training, none for test or valid"]
    assert None not in draw(names(3), divisible=False).splits


def test_two_recordings_with_a_given_test_need_no_cut():
    found = draw([Recording("t", "test"), *names(2)])
    assert sorted(found.splits[1:], key=str) == ["train", "valid"]


def test_a_share_of_zero_leaves_a_split_empty():
    assert set(draw(names(50), 0.0, 0.2).splits) == {"train", "test"}
    assert draw(names(1), 0.0, 0.0).splits == ["train"]
    assert draw(names(1), 0.0, 0.1).shares == {"train": pytest.approx(0.9), "test": 0.1}


def test_nothing_for_training_is_reported():
    found = draw([Recording("a", "test"), Recording("b", "valid")])
    assert found.splits == ["test", "valid"]
    assert "nothing is left for training" in found.notes[-1]


def test_no_recordings_need_no_split():
    assert draw([]).splits == []


@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_what_is_too_short_to_cut_is_left_whole(length):
    assert cut(length, {"train": 0.9, "valid": 0.05, "test": 0.05}) == [("train", 0, length)]


@given(st.integers(6, 10**6), st.floats(0.001, 0.49), st.floats(0.001, 0.49))
def test_cuts_are_contiguous_and_close_to_their_shares(length, valid, test):
    parts = cut(length, {"train": 1 - valid - test, "valid": valid, "test": test})
    assert [split for split, _, _ in parts] == ["train", "valid", "test"]
    assert parts[0][1] == 0
    assert parts[-1][2] == length
    for (_, _, stop), (_, start, _) in itertools.pairwise(parts):
        assert stop == start
    for (_, start, stop), share in zip(parts, (1 - valid - test, valid, test), strict=True):
        assert stop - start >= 2
        assert abs(stop - start - share * length) <= 5
