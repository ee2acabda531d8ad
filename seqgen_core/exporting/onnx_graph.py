"""A step program as an ONNX graph: one token and the state in, outputs and the next state out.

A slot's values lie in one row, oldest first, the newest at the end. What later tokens need is an input and an output:
the state. All zeros are its start, whatever the model; numbers that a model begins with are put in where the clock is
zero. Operations that do not run at every token stand in branches that are not taken at the others.
Axes: B batch, C channels, K taps, P values kept.
"""

from dataclasses import dataclass

import numpy as np
from onnx import GraphProto

from seqgen_core.exporting.onnx_nodes import FLOAT, INT64, Nodes, value_info
from seqgen_core.exporting.onnx_operations import Operations
from seqgen_core.exporting.onnx_plan import Block, kept_slots, nest, real_reads
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
        self.block, self.kept = nest(program.operations), kept_slots(program)
        self.readers: dict[Slot, set[Operation]] = {}
        for operation in program.operations:
            for slot, _ in real_reads(operation):
                self.readers.setdefault(slot, set()).add(operation)
        self.state: list[Part] = []
        self.begun = [slot for slot in self.kept if beginning.values(slot).any()]  # else with zeros
        if beginning.waits or self.begun or any(operation.every > 1 for operation in program.operations):
            self.state.append(Part("clock", INT64, 1, each_clip=False))
        if program.taps > 1:
            self.state.append(Part("codes", INT64, program.taps - 1))
        self.names = {slot: f"state_{number}" for number, slot in enumerate(self.kept)}
        self.state += [Part(self.names[slot], FLOAT, program.slots[slot] * slot.channels) for slot in self.kept]

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

    def _at_start(self) -> str:
        return self.nodes.add("Equal", "clock", self.nodes.whole([0]))

    def _begin(self) -> list[str]:
        """What an image's first token leaves, which is heard whatever it is."""
        nodes, beginning = self.nodes, self.beginning
        found = [self._of_class(beginning.outputs)]
        slots = {name: slot for slot, name in self.names.items()}
        for part in self.state:
            if part.name == "clock":
                found.append(nodes.add("Identity", nodes.whole([beginning.clock])))
            elif part.name == "codes":
                found.append(self._of_class(beginning.codes - NOTHING))
            elif slots[part.name] in self.begun:
                found.append(self._of_class(beginning.values(slots[part.name])))
            else:
                found.append(nodes.add("Identity", part.name))
        return found

    def _of_class(self, rows: np.ndarray) -> str:
        """The row of each clip's class, or, where there is but one, that one for each clip."""
        nodes, chosen = self.nodes, "label"
        if len(rows) == 1:
            chosen = nodes.add("Expand", nodes.whole([0]), nodes.add("Shape", "token", end=1))  # (B,)
        return nodes.add("Gather", nodes.constant(rows, "rows"), chosen)

    def _step(self) -> list[str]:
        """One token: outputs, and the parts of the next state."""
        nodes, program = self.nodes, self.program
        for slot in program.slots:
            if slot in self.beginning.constant:
                self.slots.values[slot] = Values(self._of_class(self.beginning.values(slot)))
        self.slots.values |= {slot: Values(name) for slot, name in self.names.items()}
        for slot in [] if self.beginning.waits else self.begun:
            begin = nodes.constant(self.beginning.values(slot), "begin")
            self.slots.values[slot] = Values(nodes.add("Where", self._at_start(), begin, self.names[slot]))
        if program.taps > 1:
            newest = nodes.add("Unsqueeze", nodes.add("Sub", "token", nodes.whole([NOTHING])), nodes.whole([1]))
            self.operations.heard = nodes.beside(["codes", newest])
        self._block(self.block)
        following = {name: self.slots.values[slot].all for slot, name in self.names.items()}
        for part in self.state:
            if part.name == "clock":
                following[part.name] = nodes.add("Add", "clock", nodes.whole([1]))
            elif part.name == "codes":
                following[part.name] = nodes.cut(self.operations.heard, 1, program.taps)
        return [self.slots.newest(program.outputs), *(following[part.name] for part in self.state)]

    def _block(self, block: Block) -> None:
        for part in block.parts:
            if isinstance(part, Block):
                self._branch(part)
            else:
                self.operations.add(part)

    def _branch(self, block: Block) -> None:
        """Operations that are not always due: slots that others read keep what they have where they are not."""
        nodes, inside = self.nodes, set(block.operations())
        shown = [
            slot
            for slot in block.written()
            if slot in self.names or slot is self.program.outputs or not self.readers.get(slot, set()) <= inside
        ]
        before = dict(self.slots.values)

        def due() -> list[str]:
            self._block(block)
            return [self.slots.values[slot].all for slot in shown]

        def otherwise() -> list[str]:
            # What is not there yet is made by another branch before it is read.
            return [
                nodes.add("Identity", before[slot].all if slot in before else nodes.zeros(self.slots.width(slot)))
                for slot in shown
            ]

        phase = nodes.add("Mod", "clock", nodes.whole([block.every]))
        condition = nodes.add("Equal", phase, nodes.whole([block.at]))
        found = nodes.branches(condition, due, otherwise, "value")
        self.slots.values = {**before, **{slot: Values(name) for slot, name in zip(shown, found, strict=True)}}
