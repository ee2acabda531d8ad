"""Synthetic tasks that ask how far back a model remembers, as streams of symbols that any model of text reads.

Source: Bai et al. 2018 (arXiv:1803.01271), sections 4 and 5.2, after Hochreiter and Schmidhuber 1997. There the tasks
have inputs and targets of their own; here both lie in one stream, of which all but the answer is given, not scored.

copy-memory: ten digits from 1 to 8, `task_length` blanks (0), a sign (9), and the ten digits again. Theirs has one
blank less, and ten more signs in whose places the digits are to come out; the model does not see its answers there,
which tell nothing of each other anyway. Bits per scored token: 3 without memory, 0 with it.
adding: `task_length` values from 0 to 99, two of which are marked (*), the sign =, and the sum of these two. Theirs has
real numbers, marked by a second channel, and a squared error; with symbols it has a likelihood, like all that we do.
Bits per scored token: 7.37 without memory (the entropy of the sum), 6.64 with one of the two values, 0 with both.
"""

import hashlib
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqgen_core.data.kinds.base import Gathered, Recording
from seqgen_core.data.store import Split
from seqgen_core.errors import UsageError
from seqgen_core.settings.codec import TextCodecSettings
from seqgen_core.settings.preprocess import PreprocessSettings

COPIED = 10  # digits to remember
BLANK, SIGN = 0, 9
VALUES = 100  # of the adding problem
MOST_TOKENS = 2**30  # of all sequences together, which are made in memory

_SUMS = 2 * VALUES - 1  # 0 to 198; a value and an equal sum are one symbol
_MARKED = _SUMS  # number of the symbol *0
_EQUALS = _SUMS + VALUES


def generate(settings: PreprocessSettings) -> Gathered:
    """`task_count` sequences of the task, a function of `seed` and the sizes alone, in splits by the shares.

    Raises UsageError where no task is named, or where it would be impossible or too large.
    """
    task, length, count = settings.task, settings.task_length, settings.task_count
    if task == "none":
        raise UsageError("There is no task to generate.", "copy-memory or adding.")
    if task == "adding" and length < 2:
        raise UsageError(f"task_length = {length}, but the adding problem marks two values.", "2 or more.")
    tokens = count * (length + (2 * COPIED + 1 if task == "copy-memory" else 2))
    if tokens > MOST_TOKENS:
        raise UsageError(
            f"task_count = {count:,} sequences of task_length = {length:,} are {tokens:,} tokens.",
            f"At most {MOST_TOKENS:,} tokens.",
            "Lower one of the two.",
        )
    rng = np.random.default_rng([settings.seed, length, task == "adding"])
    streams, vocabulary, given = (_copy_memory if task == "copy-memory" else _adding)(rng, count, length)
    gathered = Gathered(TextCodecSettings(kind="words", vocabulary=vocabulary), remarks=[_yardstick(task, length)])
    splits = _splits(count, settings.valid_share, settings.test_share)
    for number, (stream, split) in enumerate(zip(streams, splits, strict=True), start=1):
        content = hashlib.sha256(f"{task} {settings.seed} {length} {number}".encode()).hexdigest()
        gathered.recordings.append(Recording(stream, f"{task} {number}", content, split, given=given))
    return gathered


def sum_entropy() -> float:
    """Bits of the answer of the adding problem, for a model that knows no more than how sums are distributed."""
    ways = np.convolve(np.ones(VALUES), np.ones(VALUES)) / VALUES**2
    return -math.fsum(float(share) * math.log2(share) for share in ways)


def _copy_memory(rng: np.random.Generator, count: int, length: int) -> tuple[NDArray[np.uint8], tuple[str, ...], int]:
    """Streams (count, N), the names of the symbols, and how many tokens are given."""
    digits = rng.integers(1, 9, (count, COPIED), np.uint8)
    blanks = np.full((count, length), BLANK, np.uint8)
    signs = np.full((count, 1), SIGN, np.uint8)
    streams = np.concatenate([digits, blanks, signs, digits], axis=1)
    return streams, tuple(str(symbol) for symbol in range(10)), streams.shape[1] - COPIED


def _adding(rng: np.random.Generator, count: int, length: int) -> tuple[NDArray[np.uint16], tuple[str, ...], int]:
    streams = np.empty((count, length + 2), np.uint16)
    streams[:, :length] = rng.integers(0, VALUES, (count, length), np.uint16)
    first = rng.integers(0, length, count)
    second = (first + rng.integers(1, length, count)) % length  # any other place, all alike
    rows = np.arange(count)
    streams[:, length] = _EQUALS
    streams[:, length + 1] = streams[rows, first] + streams[rows, second]
    for marked in (first, second):
        streams[rows, marked] += _MARKED
    names = (*map(str, range(_SUMS)), *(f"*{value}" for value in range(VALUES)), "=")
    return streams, names, length + 1


def _splits(count: int, valid_share: float, test_share: float) -> list[Split]:
    """One for each sequence: at least one for every share that is not 0, and one for training."""
    test = min(max(round(count * test_share), test_share > 0), count - 2)
    valid = min(max(round(count * valid_share), valid_share > 0), count - 1 - test)
    return ["test"] * test + ["valid"] * valid + ["train"] * (count - test - valid)


def _yardstick(task: Literal["copy-memory", "adding"], length: int) -> str:
    if task == "copy-memory":
        return (
            f"copy-memory, only the last {COPIED} tokens scored: 3 bits per token without memory, 0 with it; "
            f"that takes a receptive field of {length + COPIED + 1} tokens"
        )
    return (
        f"adding, only the sum scored: {sum_entropy():.2f} bits per token without memory, {math.log2(VALUES):.2f} with "
        f"one of the two values, 0 with both; that takes a receptive field of {length + 1} tokens"
    )
