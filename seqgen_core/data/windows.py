"""Batches of windows for teacher forcing, a pure function of (seed, step): the data position is the step number.

A recording's first tokens are trained on as a *head* window: from the very start, everything scored, so that the
model also learns what comes out of its initial state. The rest is cut into *body* windows: `context` tokens that are
not scored, so that the model hears as much as it ever will, then `window` tokens that are. Body windows start at a
random place in equal strata of the recording, anew in each epoch. No window crosses recordings.
Axes: B batch, L inputs of a window, S scored.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqgen_core.data.store import Item, PreparedData
from seqgen_core.errors import SeqgenError


@dataclass(frozen=True)
class Batch:
    """One batch: the last S outputs of `inputs` predict `targets`.

    inputs: int64 (B, L). targets: int64 (B, S). mask: bool (B, S), False where a short recording has ended.
    labels: int64 (B,) class labels, or None where the data have none.
    """

    inputs: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    labels: np.ndarray | None

    @property
    def scored(self) -> int:
        """Tokens that count in the loss."""
        return int(self.mask.sum())


@dataclass(frozen=True)
class _Window:
    item: int
    start: int  # first input
    context: int  # inputs before the first scored one
    length: int  # scored inputs


class Windows:
    """All training batches of some recordings.

    window, context: tokens scored and tokens given before them; context None where the model's reach is endless,
    and then windows stand alone. Raises SeqgenError when no recording has two tokens.
    """

    def __init__(
        self, data: PreparedData, items: Sequence[Item], *, window: int, context: int, batch_size: int, seed: int
    ) -> None:
        self.data = data
        self.items = [item for item in items if item.length >= 2]
        if not self.items:
            raise SeqgenError(
                f"{data.path} holds no recording to train on.", hint="`seqgen preprocess` with more or longer files."
            )
        self.window, self.context, self.batch_size, self.seed = window, context, batch_size, seed
        self.labelled = all(item.label is not None for item in self.items)
        bodies = sum(self._bodies(item) for item in self.items)
        self.steps_per_epoch = math.ceil(len(self.items) / batch_size) + math.ceil(bodies / batch_size)
        self._order: tuple[int, list[list[_Window]]] = (-1, [])

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._shuffled(epoch))
        return self._fill(self._order[1][place])

    def _head_length(self, item: Item) -> int:
        return min(item.length - 1, self.context + self.window)

    def _bodies(self, item: Item) -> int:
        """Body windows of a recording: those that the part after the head's context has room for."""
        beyond = item.length - 1 - self._head_length(item)
        return math.ceil(beyond / self.window)

    def _shuffled(self, epoch: int) -> list[list[_Window]]:
        rng = np.random.default_rng([self.seed, epoch])
        heads = [_Window(place, 0, 0, self._head_length(item)) for place, item in enumerate(self.items)]
        bodies = []
        for place, item in enumerate(self.items):
            count = self._bodies(item)
            room = item.length - 1 - self.window - self.context  # last start of a body window
            for stratum in range(count):
                start = int((stratum + rng.random()) * (room + 1) / count)
                bodies.append(_Window(place, min(start, room), self.context, self.window))
        batches = []
        for windows in (heads, bodies):
            order = rng.permutation(len(windows))
            for first in range(0, len(windows), self.batch_size):
                batches.append([windows[i] for i in order[first : first + self.batch_size]])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _fill(self, windows: Sequence[_Window]) -> Batch:
        context = windows[0].context
        scored = max(w.length for w in windows)
        inputs = np.zeros((len(windows), context + scored), np.int64)
        targets = np.zeros((len(windows), scored), np.int64)
        mask = np.zeros((len(windows), scored), bool)
        for row, w in enumerate(windows):
            tokens = self.data.tokens(self.items[w.item])
            piece = tokens[w.start : w.start + context + w.length + 1].astype(np.int64)
            inputs[row, : context + w.length] = piece[:-1]
            targets[row, : w.length] = piece[context + 1 :]
            mask[row, : w.length] = True
        labels = np.array([self.items[w.item].label for w in windows], np.int64) if self.labelled else None
        return Batch(inputs, targets, mask, labels)
