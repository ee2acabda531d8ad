"""Batches of windows for teacher forcing, a pure function of (seed, step): the data position is the step number.

A recording's first tokens are trained on as a *head* window: from the very start, everything scored, so that the
model also learns what comes out of its initial state. The rest is cut into *body* windows: `context` tokens that are
not scored, so that the model hears as much as it ever will, then `window` tokens that are. Body windows start at a
random place in equal strata of the recording, anew in each epoch. No window crosses recordings, and none is drawn
of which nothing is scored because its tokens are given.
Axes: B batch, L inputs of a window, S scored.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seqgen_core.data.store import Item, PreparedData
from seqgen_core.errors import SeqgenError


@dataclass(frozen=True)
class Batch:
    """One batch: the last S outputs of `inputs` predict `targets`.

    inputs: int64 (B, L, *shape). targets: int64 (B, S, *shape). mask: bool (B, S), False where a short recording has
    ended or tokens are given. labels: int64 (B,) class labels, or None where the data have none. features: float32
    (B, L, F), features[:, t] telling of the token after inputs[:, t], or None. fresh: bool (B,), True where a row
    begins anew, False where it goes on from the same row of the batch before; None where every batch stands alone.
    total: tokens that count in the whole batch, of which these can be some rows; None: these are all.
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    labels: np.ndarray | None
    features: np.ndarray | None = None
    fresh: np.ndarray | None = None
    total: int | None = None

    @property
    def scored(self) -> int:
        """Tokens of these rows that count in the loss."""
        return int(self.mask.sum())


ALL_ROWS = slice(None)


@dataclass(frozen=True)
class Window:
    """A stretch of one item: its first input, the inputs before the first scored one, and the scored inputs."""

    item: int
    start: int
    context: int
    length: int


class WindowSource(Protocol):
    """All training batches of some recordings: a pure function of the step."""

    steps_per_epoch: int
    most: int
    """Windows that a batch can have at most, whatever its batch_size."""

    def batch(self, step: int, rows: slice = ALL_ROWS) -> Batch:
        """Some rows of the batch of a step, counted from 0 over all epochs.

        Where there are no such rows, one comes of which nothing counts.
        """
        ...

    def heaviest(self) -> list[Batch]:
        """Batches that take as much memory as any, of each sort; the last is of the sort that is the most frequent."""
        ...


class Windows:
    """All training batches of some recordings.

    window, context: tokens scored and tokens given before them; every window stands alone.
    Raises SeqgenError when no recording has a token to predict.
    """

    def __init__(
        self, data: PreparedData, items: Sequence[Item], *, window: int, context: int, batch_size: int, seed: int
    ) -> None:
        self.data, self.items = data, usable_items(data, items)
        self.window, self.context, self.batch_size, self.seed = window, context, batch_size, seed
        heads = sum(self._has_head(item) for item in self.items)
        bodies = sum(self._bodies(item) for item in self.items)
        self.steps_per_epoch = math.ceil(heads / batch_size) + math.ceil(bodies / batch_size)
        self.most = max(heads, bodies)
        self._order: tuple[int, list[list[Window]]] = (-1, [])

    def batch(self, step: int, rows: slice = ALL_ROWS) -> Batch:
        """Some rows of the batch of a step, counted from 0 over all epochs; the last batch of an epoch can have fewer.

        Where there are no such rows, one comes of which nothing counts.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._shuffled(epoch))
        windows = self._order[1][place]
        return fill_batch(self.data, self.items, windows, max(window.length for window in windows), rows)

    def heaviest(self) -> list[Batch]:
        """A batch of the longest heads and one of bodies, where there are such."""
        heads = sorted(self._all_heads(), key=lambda window: -window.length)
        sorts = [heads, self._all_bodies(np.random.default_rng(self.seed))]
        cut = [windows[: self.batch_size] for windows in sorts if windows]
        return [fill_batch(self.data, self.items, windows, windows[0].length) for windows in cut]

    def _head_length(self, item: Item) -> int:
        return min(item.length - 1, self.context + self.window)

    def _has_head(self, item: Item) -> bool:
        return item.given - 1 < self._head_length(item)

    def _bodies(self, item: Item) -> int:
        """Body windows of a recording: those that the part after the head's context has room for."""
        beyond = item.length - 1 - max(self._head_length(item), item.given - 1)
        return math.ceil(beyond / self.window)

    def _shuffled(self, epoch: int) -> list[list[Window]]:
        rng = np.random.default_rng([self.seed, epoch])
        batches = []
        for windows in (self._all_heads(), self._all_bodies(rng)):
            order = rng.permutation(len(windows))
            for first in range(0, len(windows), self.batch_size):
                batches.append([windows[i] for i in order[first : first + self.batch_size]])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _all_heads(self) -> list[Window]:
        return [
            Window(place, 0, 0, self._head_length(item))
            for place, item in enumerate(self.items)
            if self._has_head(item)
        ]

    def _all_bodies(self, rng: np.random.Generator) -> list[Window]:
        bodies = []
        for place, item in enumerate(self.items):
            count = self._bodies(item)
            last = item.length - 1 - self.window - self.context  # start of a body window
            first = min(last, max(0, item.given - 1 - self.context))
            for stratum in range(count):
                start = first + int((stratum + rng.random()) * (last - first + 1) / count)
                bodies.append(Window(place, min(start, last), self.context, self.window))
        return bodies


def usable_items(data: PreparedData, items: Sequence[Item]) -> list[Item]:
    """Items with a token to predict. Raises SeqgenError where there are none."""
    usable = [item for item in items if item.length > item.given]
    if not usable:
        raise SeqgenError(
            f"{data.path} holds no recording to train on.", hint="`seqgen preprocess` with more or longer files."
        )
    return usable


def fill_batch(
    data: PreparedData,
    items: Sequence[Item],
    windows: Sequence[Window | None],
    scored: int,
    wanted: slice = ALL_ROWS,
) -> Batch:
    """Lay windows of one context side by side, padded to `scored`; None is a row of which nothing counts.

    wanted: the rows to lay; where there are none of them, one comes of which nothing counts.
    """
    spec = data.manifest.tokens
    context = next(w.context for w in windows if w is not None)
    total = sum(w.length - _given(w, items) for w in windows if w is not None)
    labelled = all(items[w.item].label is not None for w in windows if w is not None)
    laid = windows[wanted] or [None]
    rows, length = len(laid), context + scored
    inputs = np.zeros((rows, length, *spec.shape), np.int64)
    targets = np.zeros((rows, scored, *spec.shape), np.int64)
    mask = np.zeros((rows, scored), bool)
    labels = np.zeros(rows, np.int64)
    mel = data.manifest.features
    features = None if mel is None else np.zeros((rows, length, mel.bands), np.float32)
    for row, w in enumerate(laid):
        if w is None:
            continue
        item = items[w.item]
        stop = w.start + context + w.length
        piece = data.tokens(item)[w.start : stop + 1].astype(np.int64)
        inputs[row, : context + w.length] = piece[:-1]
        targets[row, : w.length] = piece[context + 1 :]
        mask[row, _given(w, items) : w.length] = True
        labels[row] = item.label or 0
        if features is not None:
            told = data.stream(item).features
            if told is not None:
                features[row, : context + w.length] = told[np.arange(w.start + 1, stop + 1)]
    return Batch(inputs, targets, mask, labels if labelled else None, features, total=total)


def _given(window: Window, items: Sequence[Item]) -> int:
    """Scored inputs of a window that do not count, because what they predict is given."""
    return min(window.length, max(0, items[window.item].given - 1 - window.start - window.context))
