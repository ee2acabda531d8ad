"""How a step program lies in a graph: which operations share a condition, and which slots must outlive a token.

An operation that does not run at every token stands in a branch. Operations that follow each other and whose clocks
have a divisor in common share one, inside of which stand the branches of the slower ones: at most tokens a Seq-U-Net
then asks once or twice, not once for every layer.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqgen_core.models.steps.program import Clear, Operation, Rows, Slot, StepProgram, reads, writes

LONGEST_PERIOD = 2**20
"""Tokens after which the same operations are due again, up to which it is worked out what a token leaves unread."""

LARGEST_PACKED = 2**14
"""Numbers of a slot up to which they lie in one row with others: larger ones are not worth another copy."""


@dataclass(frozen=True, eq=False)
class Block:
    """Operations, and blocks of slower ones, that run where the tokens heard before, modulo `every`, are `at`."""

    every: int
    at: int
    parts: "tuple[Operation | Block, ...]"

    def operations(self) -> Iterator[Operation]:
        """All operations in it."""
        for part in self.parts:
            if isinstance(part, Block):
                yield from part.operations()
            else:
                yield part

    def written(self) -> list[Slot]:
        """Slots that get values in it."""
        return list(dict.fromkeys(slot for operation in self.operations() for slot in writes(operation)))


def nest(operations: Sequence[Operation], every: int = 1, at: int = 0) -> Block:
    """The operations in their order, in nested blocks. All are due only where the block is."""
    parts: list[Operation | Block] = []
    run: list[Operation] = []
    shared, place = 0, 0  # condition of the run

    def close() -> None:
        if run:
            parts.append(nest(run, shared, place % shared))
        run.clear()

    for operation in operations:
        if operation.every == every:
            close()
            parts.append(operation)
            continue
        divisor = math.gcd(shared, operation.every, operation.at - place) if run else operation.every
        if divisor == every:
            close()
            divisor = operation.every
        if not run:
            place = operation.at
        shared = divisor
        run.append(operation)
    close()
    return Block(every, at, tuple(parts))


class Layout:
    """In which block the values of every slot of a state are at home, and how they lie side by side in its row.

    A block is home to the slots that are written in it and nowhere else; its row has their values, those of the blocks
    in it last. Where it is not due, its row stays as it is. Slots with more than LARGEST_PACKED numbers lie alone.
    """

    def __init__(self, block: Block, widths: dict[Slot, int]) -> None:
        self.block, self.widths = block, widths
        self.alone = [slot for slot, width in widths.items() if width > LARGEST_PACKED]
        written = set(block.written())
        packed = [slot for slot in widths if slot in written and slot not in self.alone]
        inner = [part for part in block.parts if isinstance(part, Block)]
        inside = [Layout(part, self._within(part, packed)) for part in inner]
        self.rows = [layout for layout in inside if layout.slots]
        below = {slot for layout in self.rows for slot in layout.slots}
        self.own = [slot for slot in packed if slot not in below]
        self.slots: list[Slot] = [*self.own, *(slot for layout in self.rows for slot in layout.slots)]
        """In the order in which they lie in the row."""

    def _within(self, part: Block, packed: list[Slot]) -> dict[Slot, int]:
        """Those that no other part of the block writes."""
        others = {
            slot
            for other in self.block.parts
            if other is not part
            for slot in (other.written() if isinstance(other, Block) else writes(other))
        }
        found = set(part.written()) - others
        return {slot: self.widths[slot] for slot in packed if slot in found}

    @property
    def sizes(self) -> list[int]:
        """Numbers of each own slot, then of each row inside."""
        return [self.widths[slot] for slot in self.own] + [layout.width for layout in self.rows]

    @property
    def width(self) -> int:
        """Numbers in the row."""
        return sum(self.sizes)

    def place(self, slot: Slot) -> int:
        """Where in the row a slot begins."""
        before = self.slots[: self.slots.index(slot)]
        return sum(self.widths[other] for other in before)


def made(operation: Operation) -> int:
    """Values that the slots that an operation writes are given at a time."""
    return operation.columns if isinstance(operation, Rows) else 1


def kept_slots(program: StepProgram) -> list[Slot]:
    """Slots of which a token reads what earlier ones have made, in the order of the program: a model's state.

    The others are made before they are read, at every token. Slots that are never written are none.
    """
    period = math.lcm(*(operation.every for operation in program.operations))
    written = {slot for operation in program.operations for slot in writes(operation)}
    if period > LONGEST_PERIOD:
        return [slot for slot in program.slots if slot in written]
    phases = np.arange(period)
    values = {slot: np.zeros(period, np.int64) for slot in written}  # made so far at a token of each phase
    old = set[Slot]()

    def read(slot: Slot, count: int, due: np.ndarray) -> None:
        if slot in written and (values[slot][due] < count).any():
            old.add(slot)

    for operation in program.operations:
        due = phases % operation.every == operation.at
        for slot, lag in real_reads(operation):
            read(slot, lag + 1, due)
        for slot in writes(operation):
            kept = program.slots[slot]
            if made(operation) < kept:  # it moves on those that are there
                old.add(slot)
            values[slot][due] += kept if isinstance(operation, Clear) else made(operation)
    read(program.outputs, 1, phases >= 0)
    return [slot for slot in program.slots if slot in old]


def real_reads(operation: Operation) -> list[tuple[Slot, int]]:
    """Slots that an operation reads, each with the lag at which it does, but not what it only has kept for others."""
    own = writes(operation) if isinstance(operation, Rows) else []
    return [(slot, lag) for slot, lag in reads(operation) if slot not in own]
