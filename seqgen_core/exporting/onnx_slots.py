"""What slots hold, as names of tensors in a graph in the making.

Axes: B batch, C channels, P values kept.
"""

from dataclasses import dataclass

from seqgen_core.exporting.onnx_nodes import Nodes
from seqgen_core.exporting.onnx_plan import Layout
from seqgen_core.models.steps.program import Slot, StepProgram


@dataclass(frozen=True)
class Values:
    """Names of a slot's values (B, P C), oldest first, and of the newest (B, C) where that stands alone."""

    all: str
    newest: str | None = None


class Slots:
    """The values of all slots that have any by now, in the place of the graph that nodes are added to.

    values: of those that lie alone. rows: of the others.
    """

    def __init__(self, program: StepProgram, nodes: Nodes) -> None:
        self.program, self.nodes = program, nodes
        self.values: dict[Slot, Values] = {}
        self.rows: list[tuple[Layout, str]] = []

    def take(self, layout: Layout, row: str) -> None:
        """From now on the values of a layout's slots are in a row."""
        self.values = {slot: value for slot, value in self.values.items() if slot not in layout.slots}
        self.rows = [(other, name) for other, name in self.rows if other is not layout]
        self.rows.append((layout, row))

    def unpack(self, layout: Layout, row: str) -> None:
        """Take a row apart: into the values of the slots that are at home there, and the rows inside."""
        self.rows = [(other, name) for other, name in self.rows if other is not layout]
        parts = self.nodes.apart(row, layout.sizes)
        self.values |= {slot: Values(name) for slot, name in zip(layout.own, parts, strict=False)}
        for inner, name in zip(layout.rows, parts[len(layout.own) :], strict=True):
            self.take(inner, name)

    def pack(self, layout: Layout) -> str:
        """The row of a layout, of what its slots hold now."""
        inside = {id(inner): name for inner, name in self.rows}
        return self.nodes.beside(
            [*(self.values[slot].all for slot in layout.own), *(inside[id(inner)] for inner in layout.rows)]
        )

    def row_of(self, layout: Layout) -> str:
        """The row that a layout's slots are in."""
        return next(name for other, name in self.rows if other is layout)

    def whole(self, slot: Slot) -> str | None:
        """All values of a slot, None where it has none yet."""
        if slot in self.values or any(slot in layout.slots for layout, _ in self.rows):
            return self._found(slot).all
        return None

    def _found(self, slot: Slot) -> Values:
        if slot not in self.values:
            layout, row = next((layout, row) for layout, row in self.rows if slot in layout.slots)
            first = layout.place(slot)
            return Values(self.nodes.cut(row, first, first + self.width(slot)))
        return self.values[slot]

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
        stay = self.nodes.cut(self._found(slot).all, count * channels, kept * channels)
        self.values[slot] = Values(self.nodes.beside([stay, value]), newest)

    def clear(self, slot: Slot) -> None:
        """Make all values of a slot zero."""
        before = self._found(slot).all
        self.values[slot] = Values(self.nodes.add("Sub", before, before))

    def newest(self, slot: Slot) -> str:
        """The newest value (B, C)."""
        return self.read(slot, 0)

    def read(self, slot: Slot, lag: int, count: int = 1) -> str:
        """Values side by side, the oldest of which is `lag` behind the newest: (B, count C)."""
        values, kept, channels = self._found(slot), self.program.slots[slot], slot.channels
        if lag == 0 and values.newest is not None:
            return values.newest
        if count == kept:
            return values.all
        first = (kept - 1 - lag) * channels
        return self.nodes.cut(values.all, first, first + count * channels)
