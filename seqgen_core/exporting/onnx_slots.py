"""What slots hold, as names of tensors in a graph in the making.

Axes: B batch, C channels, P values kept.
"""

from dataclasses import dataclass

from seqgen_core.exporting.onnx_nodes import Nodes
from seqgen_core.models.steps.program import Slot, StepProgram


@dataclass(frozen=True)
class Values:
    """Names of a slot's values (B, P C), oldest first, and of the newest (B, C) where that stands alone."""

    all: str
    newest: str | None = None


class Slots:
    """The values of all slots that have any by now, in the place of the graph that nodes are added to."""

    def __init__(self, program: StepProgram, nodes: Nodes) -> None:
        self.program, self.nodes = program, nodes
        self.values: dict[Slot, Values] = {}

    def width(self, slot: Slot) -> int:
        """Numbers of all values of a slot."""
        return self.program.slots[slot] * slot.channels

    def put(self, slot: Slot, value: str, count: int = 1) -> None:
        """Give a slot its next values (B, count C)."""
        kept, channels = self.program.slots[slot], slot.channels
        newest = value if count == 1 else None
        if count >= kept:
            last = value if count == kept else self.nodes.cut(value, (count - kept) * channels, count * channels)
            self.values[slot] = Values(last, newest)
            return
        stay = self.nodes.cut(self.values[slot].all, count * channels, kept * channels)
        self.values[slot] = Values(self.nodes.beside([stay, value]), newest)

    def clear(self, slot: Slot) -> None:
        """Make all values of a slot zero."""
        before = self.values[slot].all
        self.values[slot] = Values(self.nodes.add("Sub", before, before))

    def newest(self, slot: Slot) -> str:
        """The newest value (B, C)."""
        return self.read(slot, 0)

    def read(self, slot: Slot, lag: int, count: int = 1) -> str:
        """Values side by side, the oldest of which is `lag` behind the newest: (B, count C)."""
        values, kept, channels = self.values[slot], self.program.slots[slot], slot.channels
        if lag == 0 and values.newest is not None:
            return values.newest
        if count == kept:
            return values.all
        first = (kept - 1 - lag) * channels
        return self.nodes.cut(values.all, first, first + count * channels)
