"""The buffers that torch operations step a program on: they stay where they are, and the host asks them for nothing.

All slots lie one behind the other in one store, each as a ring with its position on the device. A slot that keeps one
value never moves, so it is read and written as it lies; for the others, the places of everything that the operations
of one token read and write are computed together before the first of them.
Axes: B clips, C channels, F features, E numbers read or written in rings at one token.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from seqgen_core.models.steps.program import Slot, Start, StepProgram, begin_slot
from seqgen_core.models.tokens import NOTHING

Compute = Callable[[Tensor], Tensor]
"""What gives values (B, C), or several behind each other, given the places (E,) of this token."""
Put = Callable[[Tensor, Tensor], object]
"""Gives a slot its next value (B, C), or several behind each other, given the places (E,) of this token."""


class Buffers:
    """What B clips of a program have in hand on a device: values of slots, newest tokens, features told of the next."""

    def __init__(self, program: StepProgram, clips: int, device: torch.device) -> None:
        self.program, self.clips, self.device = program, clips, device
        self.slots = list(program.slots)
        self.number = {slot: number for number, slot in enumerate(self.slots)}
        self.place = [0, *np.cumsum([slot.channels * kept for slot, kept in program.slots.items()]).tolist()]
        self.kept = self.whole(list(program.slots.values()))
        self.store = torch.zeros(clips, self.place[-1], device=device)
        self.positions = self.whole([0] * len(self.slots))  # of each slot's newest value in its ring
        width = max(1, int(np.prod(program.tokens.shape)))
        self.codes = torch.full((clips, program.taps, width), NOTHING, device=device)  # newest tokens, oldest first
        self.told = torch.zeros(clips, program.features, device=device)

    def whole(self, numbers: Sequence[int]) -> Tensor:
        """Whole numbers on the device: int64."""
        return torch.tensor(numbers, dtype=torch.int64).to(self.device)

    def weights(self, weight: Tensor) -> Tensor:
        """A weight on the device in float32; not copied if it is there already."""
        return weight.detach().to(self.device, torch.float32)

    def begin(self, start: Start, outputs: Tensor) -> None:
        """Fill the buffers after a prime."""
        program = self.program
        for (slot, kept), place in zip(program.slots.items(), self.place, strict=False):
            values = begin_slot(slot, kept, start, self.clips)  # (B, kept, C)
            if slot is program.outputs:
                values[:, -1] = outputs.detach().to("cpu", torch.float32)
            self.store[:, place : place + kept * slot.channels].copy_(values.flatten(1))
        self.positions.copy_(self.kept - 1)
        self.codes.fill_(NOTHING)
        if program.codes is not None:
            before = program.codes(start)[:, -program.taps :]
            self.codes[:, program.taps - before.shape[1] :].copy_(before.reshape(*before.shape[:2], -1))

    def hear(self, tokens: Tensor) -> None:
        """Note the newest token (B, *shape)."""
        newest = tokens.reshape(self.clips, 1, -1)
        self.codes.copy_(torch.cat([self.codes[:, 1:], newest], dim=1))

    def newest(self, slot: Slot) -> Tensor:
        """The newest value of a slot between tokens: (B, C)."""
        number, kept = self.number[slot], self.program.slots[slot]
        ring = self.store[:, self.place[number] : self.place[number + 1]].unflatten(1, (kept, slot.channels))
        return ring[:, 0] if kept == 1 else ring.index_select(1, self.positions[number : number + 1])[:, 0]


class Windows:
    """The values in slots that the operations of one token read and write.

    moves: values that each slot has been given by the operations so far.
    """

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers
        self.moves = dict.fromkeys(buffers.slots, 0)
        self._rings: list[tuple[int, int]] = []  # a slot's number, and by how many values after its newest
        self._ring: list[int] = []  # of every element
        self._channel: list[int] = []

    def reader(self, sources: Sequence[tuple[Slot, int]]) -> Compute:
        """The values of slots, each so many after its newest, side by side: (B, sum of the channels)."""
        buffers, kept = self._buffers, self._buffers.program.slots
        if any(kept[slot] > 1 for slot, _ in sources):
            first, stop = self._add(sources)
            return lambda found: buffers.store.index_select(1, found[first:stop])
        parts = [self._fixed(slot) for slot, _ in sources]
        if len(parts) == 1:
            view = buffers.store[:, parts[0]]
            return lambda found: view
        fixed = buffers.whole([place for part in parts for place in range(part.start, part.stop)])
        return lambda found: buffers.store.index_select(1, fixed)

    def writer(self, slot: Slot, count: int = 1) -> Put:
        """Gives a slot its next values, (B, count C)."""
        buffers = self._buffers
        if buffers.program.slots[slot] == 1:
            view = buffers.store[:, self._fixed(slot)]
            return lambda found, value: view.copy_(value)
        first, stop = self._add([(slot, 1 + number) for number in range(count)])
        return lambda found, value: buffers.store.index_copy_(1, found[first:stop], value)

    def places(self) -> Callable[[], Tensor]:
        """A function that gives the places in the store of all elements of rings: (E,)."""
        buffers, whole = self._buffers, self._buffers.whole
        if not self._rings:
            nothing = whole([])
            return lambda: nothing
        slot, after = whole([number for number, _ in self._rings]), whole([after for _, after in self._rings])
        kept = buffers.kept[slot]
        channels = whole([buffers.slots[number].channels for number, _ in self._rings])
        place = whole([buffers.place[number] for number, _ in self._rings])
        ring, channel = whole(self._ring), whole(self._channel)

        def places() -> Tensor:
            newest = buffers.positions.index_select(0, slot)
            turned = newest.add_(after).remainder_(kept)
            return torch.addcmul(place, turned, channels).index_select(0, ring).add_(channel)

        return places

    def _fixed(self, slot: Slot) -> slice:
        place = self._buffers.place[self._buffers.number[slot]]
        return slice(place, place + slot.channels)

    def _add(self, sources: Sequence[tuple[Slot, int]]) -> tuple[int, int]:
        first = len(self._ring)
        for slot, after in sources:
            self._ring += [len(self._rings)] * slot.channels
            self._channel += range(slot.channels)
            self._rings.append((self._buffers.number[slot], self.moves[slot] + after))
        return first, len(self._ring)
