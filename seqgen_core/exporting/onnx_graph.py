"""A step program as an ONNX graph: one token and the state in, outputs and the next state out.

A slot's values lie in one row, oldest first, the newest at the end. What later tokens need is an input and an output:
the state. All zeros are its start, whatever the model; numbers that a model begins with are put in where the clock is
zero. Operations that do not run at every token stand in branches that are not taken at the others.
Axes: B batch, C channels, K taps, P values kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto

from seqgen_core.exporting.onnx_nodes import FLOAT, INT64, Nodes, value_info
from seqgen_core.exporting.onnx_operations import Operations
from seqgen_core.exporting.onnx_plan import Block, Layout, kept_slots, nest, real_reads
from seqgen_core.exporting.onnx_slots import Slots, Values
from seqgen_core.exporting.onnx_start import Beginning
from seqgen_core.models.steps.program import Operation, Slot, StepProgram
from seqgen_core.models.tokens import NOTHING

BATCH = "batch"
NEXT = "next_"
"""What a part of the state is called, before its name, among the outputs."""


@dataclass(frozen=True)
class Part:
    """One tensor of the state: name, type, columns, and whether it has a row for each clip."""

    name: str
    kind: int
    columns: int
    each_clip: bool = True

    @property
    def shape(self) -> list[int | str]:
        """As the graph declares it."""
        return [BATCH, self.columns] if self.each_clip else [self.columns]


class StepGraph:
    """Writes a program into an empty graph, once: `write`. state: what later tokens need."""

    def __init__(self, program: StepProgram, beginning: Beginning, graph: GraphProto) -> None:
        self.program, self.beginning, self.nodes = program, beginning, Nodes(graph)
        self.slots = Slots(program, self.nodes)
        self.operations = Operations(program, self.nodes, self.slots)
        self.block = nest(program.operations)
        self.layout = Layout(self.block, {slot: self.slots.width(slot) for slot in kept_slots(program)})
        self.readers: dict[Slot, set[Operation]] = {}
        for operation in program.operations:
            for slot, _ in real_reads(operation):
                self.readers.setdefault(slot, set()).add(operation)
        kept = [self.layout.slots] if self.layout.slots else []
        self.kept = {
            f"state_{number}": slots for number, slots in enumerate([*kept, *([s] for s in self.layout.alone)])
        }
        self.begin = {name: self._begin_of(slots) for name, slots in self.kept.items()}
        self.state: list[Part] = []
        begun = any(rows.any() for rows in self.begin.values())  # else with zeros
        if beginning.waits or begun or any(operation.every > 1 for operation in program.operations):
            self.state.append(Part("clock", INT64, 1, each_clip=False))
        if program.taps > 1:
            self.state.append(Part("codes", INT64, program.taps - 1))
        self.state += [Part(name, FLOAT, rows.shape[1]) for name, rows in self.begin.items()]

    def write(self) -> None:
        """Inputs, nodes, weights and outputs."""
        nodes, program, beginning, graph = self.nodes, self.program, self.beginning, self.nodes.graph
        graph.name = "step"
        graph.input.append(value_info("token", INT64, [BATCH, *program.tokens.shape]))
        if beginning.classes:
            graph.input.append(value_info("label", INT64, [BATCH]))
        if program.features:
            graph.input.append(value_info("features", FLOAT, [BATCH, program.features]))
        graph.input.extend(value_info(part.name, part.kind, part.shape) for part in self.state)
        waits = beginning.waits
        found = nodes.branches(self._at_start(), self._begin, self._step, "made") if waits else self._step()
        outputs = [Part("outputs", FLOAT, program.head.size)]
        outputs += [Part(NEXT + part.name, part.kind, part.columns, part.each_clip) for part in self.state]
        for part, tensor in zip(outputs, found, strict=True):
            graph.output.append(value_info(part.name, part.kind, part.shape))
            nodes.add("Identity", tensor, name=part.name)
        nodes.finish()

    def _begin_of(self, slots: Sequence[Slot]) -> np.ndarray:
        """Values of slots at the start, side by side, a row for each class or one for all."""
        found = [self.beginning.values(slot) for slot in slots]
        count = max(map(len, found))
        return np.concatenate([np.broadcast_to(rows, (count, rows.shape[1])) for rows in found], axis=1)

    def _at_start(self) -> str:
        return self.nodes.add("Equal", "clock", self.nodes.whole([0]))

    def _begin(self) -> list[str]:
        """What an image's first token leaves, which is heard whatever it is."""
        nodes, beginning = self.nodes, self.beginning
        found = [self._of_class(beginning.outputs)]
        for part in self.state:
            if part.name == "clock":
                found.append(nodes.add("Identity", nodes.whole([beginning.clock])))
            elif part.name == "codes":
                found.append(self._of_class(beginning.codes - NOTHING))
            else:
                found.append(self._of_class(self.begin[part.name]))
        return found

    def _of_class(self, rows: np.ndarray) -> str:
        """The row of each clip's class, or, where there is but one, that one for each clip."""
        nodes, chosen = self.nodes, "label"
        if len(rows) == 1:
            chosen = nodes.add("Expand", nodes.whole([0]), nodes.add("Shape", "token", end=1))  # (B,)
        return nodes.add("Gather", nodes.constant(rows, "rows"), chosen)

    def _step(self) -> list[str]:
        """One token: outputs, and the parts of the next state."""
        nodes, program, slots = self.nodes, self.program, self.slots
        for slot in program.slots:
            if slot in self.beginning.constant:
                slots.values[slot] = Values(self._of_class(self.beginning.values(slot)))
        for name, kept in self.kept.items():
            row = name
            if self.begin[name].any() and not self.beginning.waits:
                row = nodes.add("Where", self._at_start(), nodes.constant(self.begin[name], "begin"), name)
            if kept == self.layout.slots:
                slots.unpack(self.layout, row)
            else:
                slots.values[kept[0]] = Values(row)
        if program.taps > 1:
            newest = nodes.add("Unsqueeze", nodes.add("Sub", "token", nodes.whole([NOTHING])), nodes.whole([1]))
            self.operations.heard = nodes.beside(["codes", newest])
        self._parts(self.block, self.layout)
        following = [slots.newest(program.outputs)]
        for part in self.state:
            if part.name == "clock":
                following.append(nodes.add("Add", "clock", nodes.whole([1])))
            elif part.name == "codes":
                following.append(nodes.cut(self.operations.heard, 1, program.taps))
            elif self.kept[part.name] == self.layout.slots:
                following.append(slots.pack(self.layout))
            else:
                following.append(slots.values[self.kept[part.name][0]].all)
        return following

    def _parts(self, block: Block, layout: Layout) -> None:
        inside = {inner.block: inner for inner in layout.rows}
        for part in block.parts:
            if isinstance(part, Block):
                self._branch(part, inside.get(part))
            else:
                self.operations.add(part)

    def _branch(self, block: Block, layout: Layout | None) -> None:
        """Operations that are not always due: where they are not, the row of their slots stays as it is.

        So do slots that are at home elsewhere, and those that nobody keeps but others read.
        """
        nodes, slots, inside = self.nodes, self.slots, set(block.operations())
        packed = set(layout.slots) if layout else set()
        kept = {slot for parts in self.kept.values() for slot in parts}
        shown = [
            slot
            for slot in block.written()
            if slot not in packed
            and (slot in kept or slot is self.program.outputs or not self.readers.get(slot, set()) <= inside)
        ]
        before = dict(slots.values), list(slots.rows)
        row = [slots.row_of(layout)] if layout else []

        def due() -> list[str]:
            if layout:
                slots.unpack(layout, row[0])
            self._parts(block, layout or Layout(block, {}))
            return [*([slots.pack(layout)] if layout else []), *(slots.values[slot].all for slot in shown)]

        def otherwise() -> list[str]:
            slots.values, slots.rows = dict(before[0]), list(before[1])
            # What is not there yet is made by another branch before it is read.
            there = [slots.whole(slot) or nodes.zeros(slots.width(slot)) for slot in shown]
            return [nodes.add("Identity", name) for name in [*row, *there]]

        phase = nodes.add("Mod", "clock", nodes.whole([block.every]))
        condition = nodes.add("Equal", phase, nodes.whole([block.at]))
        found = nodes.branches(condition, due, otherwise, "value")
        slots.values, slots.rows = dict(before[0]), list(before[1])
        if layout:
            slots.take(layout, found[0])
        slots.values |= {slot: Values(name) for slot, name in zip(shown, found[len(row) :], strict=True)}
