"""Spreading a clocked program's work: what a slow layer hears of the past is multiplied before its tick comes.

In a Seq-U-Net all levels tick at once every so-manieth token, and that token waits for all of them. But most of what a
layer hears was known a while before. So such a layer is cut in two: what is known is multiplied at a token between,
chosen where the least is to be done; at the tick itself only what has just been made is left.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from seqgen_core.models.steps.program import Layer, Operation, Slot, Source, Start, StepProgram, begin_slot, writes

LONGEST_PERIOD = 2**20
"""Tokens; the work of one period is counted token by token."""
LONGEST_TURN = 64
"""Ticks of a layer until its sources are made in the same way again."""


def busiest(program: StepProgram) -> int:
    """Multiply-adds of the token at which a program has most to do: the one at which all clocks stand at zero."""
    return sum(layer.weight.numel() for layer in program.layers() if layer.weight is not None and layer.at == 0)


def spread(program: StepProgram) -> StepProgram:
    """The same program with its work laid out more evenly; outputs differ by rounding. Others come back as they are."""
    period = max(operation.every for operation in program.operations)
    if period == 1 or period > LONGEST_PERIOD or any(period % operation.every for operation in program.operations):
        return program
    writers: dict[Slot, list[tuple[int, int, int]]] = {}
    for place, operation in enumerate(program.operations):
        for slot in writes(operation):
            writers.setdefault(slot, []).append((place, operation.every, operation.at))
    cuts = {
        place: cut for place in range(len(program.operations)) if (cut := _cut(program, place, writers)) is not None
    }

    load = np.zeros(period)  # multiply-adds at each token
    for place, operation in enumerate(program.operations):
        if isinstance(operation, Layer) and operation.weight is not None:
            known = cuts[place].columns if place in cuts else 0
            load[operation.at :: operation.every] += operation.rows * (operation.weight.shape[1] - known)
    operations, ahead = list(program.operations), []
    for place, cut in sorted(cuts.items(), key=lambda pair: -pair[1].work):
        layer = cut.layer
        busiest = load.reshape(-1, layer.every).max(axis=0)
        at = min(((layer.at - before) % layer.every for before in range(1, cut.window + 1)), key=lambda at: busiest[at])
        load[at :: layer.every] += layer.rows * cut.columns
        early, late = cut.made(at)
        operations[place] = late
        ahead.append(early)
    return replace(program, operations=(*operations, *ahead))


class _Cut:
    """How a layer can be cut: which of its sources are known before its tick, and for how many tokens before it."""

    def __init__(self, layer: Layer, pushes: list[int], window: int) -> None:
        self.layer, self.window = layer, window
        self.known, early, late = [], [], []
        self.fresh = []
        column = 0
        for source, count in zip(layer.sources, pushes, strict=True):
            columns = range(column, column + source.slot.channels)
            column += source.slot.channels
            if source.lag >= count:
                self.known.append(Source(source.slot, source.lag - count))
                early += columns
            else:
                self.fresh.append(source)
                late += columns
        self.early, self.late = torch.tensor(early, dtype=torch.long), torch.tensor(late, dtype=torch.long)

    @property
    def columns(self) -> int:
        return len(self.early)

    @property
    def work(self) -> int:
        return self.layer.rows * self.columns

    def made(self, at: int) -> tuple[Layer, Layer]:
        """The part that is done ahead, where the clock is `at`, and the part that is left."""
        layer = self.layer
        assert layer.weight is not None
        early, late = layer.weight[:, self.early], layer.weight[:, self.late] if self.fresh else None
        part = Slot(f"{layer.out.name} ahead", layer.rows, self._begin(early))
        done = Layer(part, tuple(self.known), early, bias=layer.bias, plus=layer.plus, every=layer.every, at=at)
        return done, replace(layer, sources=tuple(self.fresh), weight=late, bias=None, plus=part)

    def _begin(self, weight: Tensor):
        def begin(start: Start) -> Tensor:
            batch = len(start.state[0])
            heard = [begin_slot(source.slot, source.lag + 1, start, batch)[:, 0] for source in self.known]
            # In double precision: the order of single sums would depend on the number of clips.
            total = torch.cat(heard, dim=1).double() @ weight.detach().cpu().double().t()  # (B, R)
            if self.layer.bias is not None:
                total = total + self.layer.bias.detach().cpu().double()
            if self.layer.plus is not None:
                total = total + begin_slot(self.layer.plus, 1, start, batch)[:, 0]
            return total[:, :, None]

        return begin


def _cut(program: StepProgram, place: int, writers: dict[Slot, list[tuple[int, int, int]]]) -> _Cut | None:
    layer: Operation = program.operations[place]
    if not isinstance(layer, Layer) or layer.weight is None or layer.every == 1:
        return None
    if layer.plus is not None and layer.plus in writers:  # it is known only at the tick
        return None

    def made_at(slot: Slot, token: int, before: int | None = None) -> int:
        """Values that a slot gets at a token, by operations before a place."""
        return sum(
            token % every == at and (before is None or writer < before) for writer, every, at in writers.get(slot, [])
        )

    heard = [source.slot for source in layer.sources]
    period = max([layer.every, *(every for slot in heard for _, every, _ in writers.get(slot, []))])
    ticks = range(layer.at, period, layer.every)
    if period > LONGEST_TURN * layer.every:
        return None
    pushes = [{made_at(slot, tick, place) for tick in ticks} for slot in heard]
    if any(len(counts) > 1 for counts in pushes):  # what is known differs from tick to tick
        return None
    counts = [count for (count,) in pushes]
    if all(source.lag < count for source, count in zip(layer.sources, counts, strict=True)):
        return None
    window = 1  # tokens before a tick at whose end nothing more is made until the tick
    while window < layer.every - 1 and not any(made_at(slot, tick - window) for slot in heard for tick in ticks):
        window += 1
    return _Cut(layer, counts, window)
