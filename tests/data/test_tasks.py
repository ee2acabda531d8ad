"""Synthetic tasks: the answers are right, only they are scored, and a seed says it all."""

from collections import Counter

import numpy as np
import pytest

from seqgen_core.data.kinds.tasks import generate, sum_entropy
from seqgen_core.errors import UsageError
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.text.codec import TextCodec

TASKS = ["copy-memory", "adding"]


def made(task, **settings):
    return generate(PreprocessSettings(**{"task": task, "task_length": 7, "task_count": 40, **settings}))


def test_copy_memory_asks_for_its_digits():
    task = made("copy-memory")
    for recording in task.recordings:
        digits, blanks, sign, answer = np.split(recording.tokens, [10, 17, 18])
        assert set(digits.tolist()) <= set(range(1, 9))
        assert not blanks.any()
        assert sign.tolist() == [9]
        assert np.array_equal(answer, digits)
        assert recording.given == len(recording.tokens) - 10
    text = TextCodec(task.codec).decode(task.recordings[0].tokens)
    assert text.split()[10:18] == ["0"] * 7 + ["9"]


def test_digits_are_all_alike():
    digits = np.concatenate([r.tokens[:10] for r in made("copy-memory", task_count=4000).recordings])
    counts = np.bincount(digits, minlength=9)[1:]
    assert counts.sum() == 40_000
    assert np.abs(counts / 5000 - 1).max() < 0.07  # five standard deviations


@pytest.mark.parametrize("length", [2, 3, 50])
def test_adding_asks_for_the_sum_of_the_marked(length):
    task = made("adding", task_length=length)
    for recording in task.recordings:
        *values, sign, answer = TextCodec(task.codec).decode(recording.tokens).split()
        marked = [int(value[1:]) for value in values if value.startswith("*")]
        assert len(values) == length
        assert len(marked) == 2
        assert (sign, int(answer)) == ("=", sum(marked))
        assert all(0 <= int(value.lstrip("*")) < 100 for value in values)
        assert recording.given == len(recording.tokens) - 1


def test_every_pair_of_places_is_marked_alike():
    pairs = Counter(
        tuple(np.flatnonzero(r.tokens[:4] >= 199).tolist())
        for r in made("adding", task_length=4, task_count=6000).recordings
    )
    assert len(pairs) == 6
    assert all(abs(count / 1000 - 1) < 0.15 for count in pairs.values())  # five standard deviations


def test_the_yardstick_is_the_entropy_of_the_answers():
    sums = [int(r.tokens[-1]) for r in made("adding", task_count=100_000, task_length=2).recordings]
    shares = np.bincount(sums) / len(sums)
    seen = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum()
    assert sum_entropy() == pytest.approx(seen, abs=0.01)
    assert "7.37 bits per token without memory, 6.64 with one" in made("adding").remarks[0]
    assert "a receptive field of 8 tokens" in made("adding").remarks[0]
    assert "3 bits per token without memory, 0 with it" in made("copy-memory").remarks[0]
    assert "a receptive field of 18 tokens" in made("copy-memory").remarks[0]


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_says_it_all(task):
    one, same, other = made(task), made(task), made(task, seed=1)
    assert one.codec == same.codec == other.codec
    for a, b in zip(one.recordings, same.recordings, strict=True):
        assert np.array_equal(a.tokens, b.tokens)
        assert (a.origin, a.content, a.split) == (b.origin, b.content, b.split)
    assert not np.array_equal(one.recordings[0].tokens, other.recordings[0].tokens)
    assert len({r.content for r in (*one.recordings, *other.recordings)}) == 80


@pytest.mark.parametrize(
    ("count", "valid", "test", "splits"),
    [
        (100, 0.05, 0.1, (85, 5, 10)),
        (3, 0.05, 0.05, (1, 1, 1)),
        (10, 0.0, 0.2, (8, 0, 2)),
        (10, 0.0, 0.0, (10, 0, 0)),
        (3, 0.4, 0.59, (1, 1, 1)),
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_splits_by_the_shares(task, count, valid, test, splits):
    recordings = made(task, task_count=count, valid_share=valid, test_share=test).recordings
    found = Counter(recording.split for recording in recordings)
    assert tuple(found[split] for split in ("train", "valid", "test")) == splits


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="task_length = 1, but the adding problem marks two values"):
        made("adding", task_length=1)
    with pytest.raises(UsageError, match=r"1,000,000 sequences of task_length = 100,000 are 100,021,000,000 tokens"):
        made("copy-memory", task_length=100_000, task_count=1_000_000)
    with pytest.raises(UsageError, match="There is no task to generate"):
        made("none")
