"""Batches in which each row goes on where it stood in the batch before: for truncated back-propagation through time.

All windows of an epoch are laid end to end, recording by recording in an order drawn anew, and cut into as many lanes
of equal length as a batch has rows; step by step each lane gives its next window. A row is fresh where a recording
begins and where its lane does, in the middle of a recording perhaps.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqgen_core.data.store import Item, PreparedData
from seqgen_core.data.windows import ALL_ROWS, Batch, Window, fill_batch, usable_items


class CarriedWindows:
    """All training batches of some recordings, a pure function of (seed, step). window: tokens of each.

    Raises SeqgenError when no recording has a token to predict.
    """

    def __init__(self, data: PreparedData, items: Sequence[Item], *, window: int, batch_size: int, seed: int) -> None:
        self.data, self.items = data, usable_items(data, items)
        self.window, self.batch_size, self.seed = window, batch_size, seed
        self._counts = [math.ceil((item.length - 1) / window) for item in self.items]
        self.most = sum(self._counts)
        self.steps_per_epoch = math.ceil(self.most / batch_size)
        self._order: tuple[int, np.ndarray, np.ndarray] | None = None

    def batch(self, step: int, rows: slice = ALL_ROWS) -> Batch:
        """Some rows of the batch of a step, counted from 0 over all epochs; all batches have equally many.

        Where there are no such rows, one comes of which nothing counts.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.items))
            ends = np.cumsum([self._counts[item] for item in order])  # windows up to the end of each recording
            self._order = (epoch, order, ends)
        _, order, ends = self._order
        windows: list[Window | None] = []
        fresh = np.ones(self.batch_size, bool)
        for lane in range(self.batch_size):
            number = lane * self.steps_per_epoch + place
            which = int(np.searchsorted(ends, number, side="right"))
            if which == len(order):
                windows.append(None)
                continue
            item = int(order[which])
            within = number - (int(ends[which]) - self._counts[item])  # number of the window in its recording
            start = within * self.window
            fresh[lane] = within == 0 or place == 0
            windows.append(Window(item, start, 0, min(self.window, self.items[item].length - 1 - start)))
        filled = fill_batch(self.data, self.items, windows, self.window, rows)
        return replace(filled, fresh=fresh[rows] if len(fresh[rows]) else np.ones(1, bool))

    def heaviest(self) -> list[Batch]:
        """The first two: all are of one size, but the second goes on from a state."""
        return [self.batch(0), self.batch(1)]
