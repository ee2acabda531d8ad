"""Real excerpts for a page, no two of them alike: other recordings first, then other places of the same.

Axes: T tokens of a recording.
"""

from collections.abc import Iterable

import numpy as np

from seqgen_core.data.store import Item, PreparedData
from seqgen_core.settings.codec import PixelsCodecSettings

FIT = 0.5
"""A recording of at least this share of the length wanted stands as one of its own length."""


class Excerpts:
    """Takes held-out excerpts one after another; of a class that nothing held out belongs to, training data.

    shown: key, first place and end of stretches that the page has already, which are taken again only where nothing
    else is left.
    """

    def __init__(self, data: PreparedData, seed: int, shown: Iterable[tuple[str, int, int]] = ()) -> None:
        self._rng = np.random.default_rng([seed, 7])  # the 7 sets it apart from the streams of clips
        self._whole = isinstance(data.manifest.codec, PixelsCodecSettings)
        self._ordered: list[list[Item]] = []  # of a split each
        for split in ("test", "valid", "train"):
            items = [item for item in data.items(split) if item.length > item.given]
            self._ordered.append([items[place] for place in self._rng.permutation(len(items))])
        self._taken: dict[str, list[tuple[int, int]]] = {}
        self._shown: dict[str, list[tuple[int, int]]] = {}
        for key, start, stop in shown:
            self._shown.setdefault(key, []).append((start, stop))

    def take(self, label: int | None, length: int) -> tuple[Item, int, int] | None:
        """An excerpt of that class (None: any): its recording, first place, and up to `length` tokens of it.

        None where every place was taken before.
        """
        fitting = [[item for item in items if label is None or item.label == label] for items in self._ordered]
        test, valid, train = fitting
        items = test + valid or train
        fresh = [item for item in items if item.key not in self._taken and item.key not in self._shown]
        found = self._first([item for item in fresh if item.length >= FIT * length], length, {})
        found = found or self._first(items, length, {**self._joint()})
        found = found or self._first(fresh, length, {})
        found = found or self._first(items, length, self._taken)
        if found is not None:
            item, start, size = found
            self._taken.setdefault(item.key, []).append((start, start + size))
        return found

    def _joint(self) -> dict[str, list[tuple[int, int]]]:
        keys = {*self._taken, *self._shown}
        return {key: [*self._taken.get(key, []), *self._shown.get(key, [])] for key in keys}

    def _first(
        self, items: list[Item], length: int, taken: dict[str, list[tuple[int, int]]]
    ) -> tuple[Item, int, int] | None:
        for item in items:
            if self._whole or item.given > 1:
                if item.key not in taken:
                    return item, 0, item.length
                continue
            size = min(length, item.length)
            gaps, before = [], 0
            for start, stop in sorted(taken.get(item.key, [])):
                gaps.append((before, start))
                before = max(before, stop)
            gaps.append((before, item.length))
            gaps = [(low, high) for low, high in gaps if high - low >= size]
            if gaps:
                low, high = max(gaps, key=lambda gap: gap[1] - gap[0])
                return item, int(self._rng.integers(low, high - size + 1)), size
        return None
