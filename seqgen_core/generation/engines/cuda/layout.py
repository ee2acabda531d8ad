"""How a step program lies in a GPU's memory: each block has its share of every operation's channels, and their weights.

The weights of a block lie in one chunk, whose first part is kept in shared memory; what does not fit is read through
the cache. A product's rows are cut into tiles that a warp multiplies at a time, the two rows of a gated channel
standing next to each other.
Axes: N operations, B clips, C channels.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines.cpu.layout import stages
from seqgen_core.generation.engines.cuda.operations import Operations
from seqgen_core.generation.engines.cuda.tables import (
    HINT,
    LONGEST_PERIOD,
    MOST_VECTORS,
    SEGMENT_MOST,
    Grid,
    Op,
    rounded,
)
from seqgen_core.models.steps.program import Slot, StepProgram


@dataclass
class Layout:
    """The tables of a program, and where each lies in the shared memory of a block.

    operations int32 (blocks, N, Op.SIZE); tables int32: segments, slots, what is due, where each set of that begins,
    one behind the other; set_of int32 (period,): the set that is due at each phase of the clock. weights uint8; chunks
    int64 (blocks,), residents int32 (blocks,): each block's place in them, and how many bytes of its own stay on chip.
    places: of the parts of shared memory; of tables in whole numbers, of the rest in bytes.
    """

    program: StepProgram
    clips: int
    grid: Grid
    order: list[Slot]
    slots: np.ndarray
    operations: np.ndarray
    tables: np.ndarray
    set_of: np.ndarray
    weights: np.ndarray
    chunks: np.ndarray
    residents: np.ndarray
    values: int
    """Numbers of all slots."""
    input_numbers: int
    """Numbers that are gathered at a time."""
    places: dict[str, int]

    @property
    def period(self) -> int:
        """Tokens after which the same operations are due again."""
        return len(self.set_of)

    @property
    def bytes_on_chip(self) -> int:
        """Bytes of weights that stay in shared memory, of all blocks."""
        return int(self.residents.sum(dtype=np.int64))


def lay_out(program: StepProgram, clips: int, grid: Grid, form: str = "fp32", work: int = 0) -> Layout:
    """Lay a program out for so many clips on a grid, with weights as fp32 or bf16.

    work: bytes that the sampling of one clip would like to have in shared memory.
    Raises SeqgenError where an operation is not known here, or the tables do not fit.
    """
    slots, numbers = {slot: number for number, slot in enumerate(program.slots)}, 0
    rows = []
    for slot, kept in program.slots.items():
        stride = rounded(slot.channels, 4)
        rows.append((numbers, stride, kept, slot.channels))
        numbers += clips * kept * stride
    if numbers >= 2**31:
        raise SeqgenError(f"The values of {clips} clips take {numbers} numbers.", hint="Lower batch_size.")
    tables = Operations(slots, clips, grid, form)
    for number, operation in enumerate(program.operations):
        tables.add(number, operation)
    set_of, due, starts = _schedule(program)

    table = [np.array(part, np.int32).reshape(-1) for part in (tables.segments, rows, due, starts)]
    ends = (len(program.operations) * Op.SIZE + np.cumsum([0, *map(len, table)])).tolist()
    places = dict(zip(("segments_at", "slots_at", "due_at", "starts_at", "positions_at"), ends, strict=True))
    inputs_at = rounded(4 * (ends[-1] + len(slots)), 128)
    # What one product reads is gathered at once, as far as a share of the memory allows: the rest is for weights.
    least = SEGMENT_MOST * MOST_VECTORS
    input_numbers = max(least, min(rounded(max(tables.inputs, work // 4), least), rounded(grid.shared // 64, least)))
    sums_at = inputs_at + 4 * input_numbers
    exchange_at = rounded(sums_at + 4 * tables.sums, 16)
    resident_at = rounded(exchange_at + 8 * grid.warps, 128)
    places |= {"inputs_at": inputs_at, "sums_at": sums_at, "exchange_at": exchange_at, "resident_at": resident_at}
    if resident_at > grid.shared:
        raise SeqgenError(
            f"The model's tables take {resident_at} bytes of shared memory; this GPU has {grid.shared}.", hint=HINT
        )
    weights, chunks, residents = tables.pack(grid.shared - resident_at)
    return Layout(
        program,
        clips,
        grid,
        list(slots),
        np.array(rows, np.int32),
        tables.rows(len(program.operations)),
        np.concatenate(table),
        set_of,
        weights,
        chunks,
        residents,
        numbers,
        input_numbers,
        places,
    )


def _schedule(program: StepProgram) -> tuple[np.ndarray, list[int], list[int]]:
    """Which set of operations is due at each phase (period,); the sets one behind the other, and where each begins.

    An entry is twice the operation's number, and one more where blocks must have met before it.
    """
    period = math.lcm(*(operation.every for operation in program.operations))
    if period > LONGEST_PERIOD:
        raise SeqgenError(f"The model repeats itself only after {period} tokens.", hint=HINT)
    due = np.zeros((period, len(program.operations)), bool)
    for number, operation in enumerate(program.operations):
        due[operation.at :: operation.every, number] = True
    sets, set_of = np.unique(np.packbits(due, axis=1), axis=0, return_inverse=True)
    entries: list[int] = []
    starts = [0]
    for packed in sets:
        numbers = np.flatnonzero(np.unpackbits(packed, count=len(program.operations))).tolist()
        operations = tuple(program.operations[number] for number in numbers)
        stage = 0
        for number, now in zip(numbers, stages(replace(program, operations=operations)), strict=True):
            entries.append(2 * number + (now != stage))
            stage = now
        starts.append(len(entries))
    return set_of.reshape(-1).astype(np.int32), entries, starts
