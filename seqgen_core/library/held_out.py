"""Real clips beside drawn ones: stretches of held-out recordings, what really followed a prime, excerpts in its place.

Axes: N tokens of a recording.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqgen_core.data.store import PreparedData, Split
from seqgen_core.errors import SeqgenError
from seqgen_core.streams import Stream

MOST_STRETCHES = 2000
FEWEST = 4
"""Real clips: two that stand in place of drawn ones, and two that both are compared with."""
SHORTEST = 0.5
"""A recording shorter than a clip stands as one of its own length, down to this share of the clip."""


@dataclass(frozen=True)
class Stretch:
    """Tokens of a real recording from `start` on."""

    origin: str
    start: int
    tokens: np.ndarray
    label: int | None = None


def recordings(data: PreparedData, splits: Sequence[Split]) -> list[Stream]:
    """The recordings of some splits; of images without the first token, which says nothing."""
    found = [data.stream(item) for split in splits for item in data.items(split)]
    if data.manifest.tokens.kind == "pixels":
        return [replace(stream, tokens=stream.tokens[1:]) for stream in found]
    return found


def stretches(streams: Sequence[Stream], length: int, seed: int, *, most: int = MOST_STRETCHES) -> list[Stretch]:
    """Stretches of `length` tokens one after another, in an order by the seed alone, `most` of them."""
    found = []
    for stream in streams:
        whole = len(stream.tokens) // length
        if not whole and len(stream.tokens) >= max(2, SHORTEST * length):
            found.append(Stretch(stream.origin, 0, stream.tokens, stream.label))
        found += [
            Stretch(stream.origin, start, stream.tokens[start : start + length], stream.label)
            for start in range(0, whole * length, length)
        ]
    order = np.random.default_rng([seed, 2]).permutation(len(found))[:most]
    return [found[place] for place in order]


def count_stretches(sizes: np.ndarray, length: int) -> int:
    """How many `stretches` finds in recordings of these sizes."""
    short = (sizes < length) & (sizes >= max(2, SHORTEST * length))
    return int((sizes // length).sum() + short.sum())


def halves(found: Sequence[Stretch], needed: int) -> tuple[list[Stretch], list[Stretch]]:
    """Two disjoint sets of real clips, `needed` or half of all in the first, the rest in the second.

    Raises SeqgenError where there are not two for each.
    """
    if len(found) < FEWEST:
        raise SeqgenError(
            f"The held-out recordings hold {len(found)} stretches of that length, too few to compare with.",
            "Four or more.",
            "Draw shorter clips by --seconds or --length, or choose another --split.",
        )
    size = min(needed, len(found) // 2)
    return list(found[:size]), list(found[size:])


class Followers:
    """What follows each place of some recordings."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = {stream.origin: stream for stream in streams}

    def truth(self, origin: str, start: int, length: int) -> Stretch | None:
        """Up to `length` tokens from `start` on; None where that recording is unknown or ends there."""
        stream = self._streams.get(origin)
        if stream is None or start >= len(stream.tokens):
            return None
        return Stretch(origin, start, np.asarray(stream.tokens[start : start + length]), stream.label)

    def elsewhere(self, truth: Stretch, rng: np.random.Generator) -> Stretch | None:
        """A real excerpt as long as the truth that shares no token with it, of the same recording if it has room.

        Else of another, of the same class where there is one; None where no recording is long enough.
        """
        size = len(truth.tokens)
        own = self._streams[truth.origin]
        before = max(0, truth.start - size + 1)  # places that end before the truth begins
        after = max(0, len(own.tokens) - truth.start - 2 * size + 1)
        if before + after:
            place = int(rng.integers(before + after))
            return self._cut(own, place if place < before else truth.start + size + place - before, size)
        others = [s for s in self._streams.values() if s is not own and len(s.tokens) >= size]
        alike = [stream for stream in others if stream.label == truth.label] or others
        if not alike:
            return None
        stream = alike[int(rng.integers(len(alike)))]
        return self._cut(stream, int(rng.integers(len(stream.tokens) - size + 1)), size)

    def _cut(self, stream: Stream, start: int, size: int) -> Stretch:
        return Stretch(stream.origin, start, np.asarray(stream.tokens[start : start + size]), stream.label)
