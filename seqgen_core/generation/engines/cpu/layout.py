"""How a step program lies in memory for the interpreter: tables of whole numbers, one of weights, one of values.

Every thread has its own table of operations, with its share of each operation's channels and the weights of those in
one piece, so that each core reads the same weights at every token.
Axes: N operations, B clips, C channels, R rows.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from seqgen_core.generation.engines.cpu import kernels
from seqgen_core.models.steps.program import (
    Clear,
    Gru,
    Hear,
    Layer,
    Lstm,
    Rows,
    Slot,
    StepProgram,
    Tell,
    Turn,
    reads,
    writes,
)

FORMATS = {"fp32": kernels.FLOAT32, "bf16": kernels.BFLOAT16, "int8": kernels.INT8}
SLACK = 64
"""Numbers after the end of a table that vector reads and writes may touch."""
AT_ONCE = 64
"""Columns of a row of pixels that are gathered and multiplied at a time."""
NONE = -1
SPARE = 4
"""How many times the values that it keeps fit into a slot whose values lie in order."""


class Op(IntEnum):
    """Columns of the table of operations."""

    KIND = 0
    EVERY = 1
    AT = 2
    STAGE = 3
    """Operations of one stage touch nothing that another of them writes: threads meet only between stages."""
    OUT = 4
    """Slot that gets the new value."""
    FIRST = 5
    """First channel of this thread's share."""
    COUNT = 6
    """Channels of it."""
    ROWS = 7
    COLUMNS = 8
    WEIGHT = 9
    """Place in the bytes of the weights."""
    FIRST_PANEL = 10
    PANELS = 11
    SCALE = 12
    """Place among the constants of what each row is multiplied with, or NONE."""
    BIAS = 13
    TABLE = 14
    TAPS = 15
    PLUS = 16
    ACTIVATION = 17
    RESIDUAL = 18
    THEN = 19
    FIRST_SOURCE = 20
    SOURCES = 21
    EXTRA_1 = 22
    """Further slots that the operation reads or writes; of a layer the token values of its table."""
    EXTRA_2 = 23
    EXTRA_3 = 24
    WIDTH = 25
    """Columns of a row of pixels."""
    HEIGHT = 26
    SIDE = 27
    STEP = 28
    SIZE = 29


class Kind(IntEnum):
    """Sorts of operation."""

    LAYER = 0
    HEAR = 1
    TELL = 2
    GRU = 3
    LSTM = 4
    ROW = 5
    TURN = 6
    CLEAR = 7


KINDS: dict[type, Kind] = {
    Layer: Kind.LAYER,
    Hear: Kind.HEAR,
    Tell: Kind.TELL,
    Gru: Kind.GRU,
    Lstm: Kind.LSTM,
    Rows: Kind.ROW,
    Turn: Kind.TURN,
    Clear: Kind.CLEAR,
}
ACTIVATIONS = {"none": 0, "relu": 1, "leaky_relu": 2, "gated": 3}


@dataclass(frozen=True)
class Layout:
    """Everything about a program that does not change while it runs.

    operations int64 (threads, N, Op.SIZE); sources int64 (…, 3): slot, lag of the oldest value, number of values that
    lie side by side; slots int64 (…, 4): place of the first value, channels, values that fit, and how many of them are
    carried to the front when it is full; panels int64 (…, 4): rows, vectors, bytes from one column to the next, rows in
    each half of the last pair of vectors; kept: values of each slot that are within reach; weights uint8; constants
    float32; values: float32 numbers that all slots take; scratch: float32 numbers that each thread needs to work;
    columns: of the widest layer.
    """

    program: StepProgram
    clips: int
    threads: int
    order: list[Slot]
    operations: np.ndarray
    sources: np.ndarray
    slots: np.ndarray
    panels: np.ndarray
    kept: list[int]
    weights: np.ndarray
    constants: np.ndarray
    values: int
    scratch: int
    columns: int


def lay_out(program: StepProgram, clips: int, threads: int = 1, form: str = "fp32") -> Layout:
    """Lay a program out for so many clips and threads, with weights as fp32, bf16 or int8."""
    slots, places = [], {}
    position = 0
    sliding = _sliding(program)
    for number, (slot, kept) in enumerate(program.slots.items()):
        places[slot] = number
        fits, carried = (SPARE * kept, kept - 1) if slot in sliding else (kept, 0)
        slots.append((position, slot.channels, fits, carried))
        position += _rounded(clips * fits * slot.channels, 16)
    tables = _Tables(form, clips)
    operations = np.full((threads, len(program.operations), Op.SIZE), NONE, np.int64)
    sources: list[tuple[int, int, int]] = []
    columns, rows, scratch = 0, 0, 0
    for number, (operation, stage) in enumerate(zip(program.operations, stages(program), strict=True)):
        first_source = len(sources)
        if isinstance(operation, Layer):
            sources += [(places[slot], lag, count) for slot, lag, count in _pieces(operation, sliding)]
        for thread, (first, stop) in enumerate(shares(operation.out.channels, threads)):
            row = operations[thread, number]
            row[Op.KIND], row[Op.EVERY], row[Op.AT] = KINDS[type(operation)], operation.every, operation.at
            row[Op.STAGE], row[Op.OUT], row[Op.FIRST], row[Op.COUNT] = stage, places[operation.out], first, stop - first
            if isinstance(operation, Layer):
                _layer(row, operation, first, stop, tables, places)
                row[Op.FIRST_SOURCE], row[Op.SOURCES] = first_source, len(sources) - first_source
                columns, rows = max(columns, int(row[Op.COLUMNS])), max(rows, int(row[Op.ROWS]))
            elif isinstance(operation, Rows):
                _row(row, operation, first, stop, tables, places)
                scratch = max(scratch, min(operation.columns, AT_ONCE) * int(row[Op.COLUMNS] + row[Op.ROWS] + SLACK))
            elif isinstance(operation, Hear):
                row[Op.TABLE] = tables.constant(operation.values)
            elif isinstance(operation, Gru):
                extra = [places[slot] for slot in (operation.gates, operation.fresh, operation.past)]
                row[Op.EXTRA_1 : Op.EXTRA_3 + 1] = extra
            elif isinstance(operation, Lstm):
                row[Op.EXTRA_1 : Op.EXTRA_2 + 1] = places[operation.gates], places[operation.cells]
    return Layout(
        program,
        clips,
        threads,
        list(program.slots),
        operations,
        np.array(sources or [(0, 0, 0)], np.int64),
        np.array(slots, np.int64),
        np.array(tables.panels or [(0, 0, 0, 0)], np.int64),
        list(program.slots.values()),
        tables.packed(),
        tables.gathered(),
        position + SLACK,
        max(scratch, clips * (columns + rows + SLACK + 16)) + SLACK,
        columns,
    )


def _sliding(program: StepProgram) -> set[Slot]:
    """Slots of which an operation reads neighbouring values, and which are no rows of pixels.

    They lie in order, in more room than they need; when that is full, the newest are carried to its front.
    """
    found: set[Slot] = set()
    rows: set[Slot] = set()
    for operation in program.operations:
        if isinstance(operation, Layer):
            pairs = pairwise(operation.sources)
            found |= {late.slot for early, late in pairs if early.slot is late.slot and early.lag == late.lag + 1}
        elif isinstance(operation, Rows | Turn):
            rows |= {slot for slot, _ in reads(operation)} | set(writes(operation))
    return found - rows


def _pieces(layer: Layer, sliding: set[Slot]) -> list[tuple[Slot, int, int]]:
    """What a layer reads, as pieces that lie side by side: slot, lag of the oldest value, number of values."""
    found: list[tuple[Slot, int, int]] = []
    for source in layer.sources:
        slot, lag, count = found[-1] if found else (source.slot, 0, 0)
        if count and source.slot is slot and slot in sliding and source.lag == lag - count:
            found[-1] = slot, lag, count + 1
        else:
            found.append((source.slot, source.lag, 1))
    return found


def stages(program: StepProgram) -> list[int]:
    """For each operation the number of its stage: within one, no operation touches what another one writes."""
    found, stage = [], 0
    read: set[Slot] = set()
    written: set[Slot] = set()
    for operation in program.operations:
        now_read, now_written = {slot for slot, _ in reads(operation)}, set(writes(operation))
        if written & (now_read | now_written) or read & now_written:
            stage += 1
            read, written = set(), set()
        # What an operation reads of its own output is its own share of the channels.
        read |= now_read
        written |= now_written
        found.append(stage)
    return found


def shares(channels: int, threads: int) -> list[tuple[int, int]]:
    """First channel and end of each thread's share, in whole vectors where there are enough of them."""
    grain = kernels.LANES if channels >= kernels.LANES * threads else 1
    edges = [min(channels, grain * round(channels / grain * thread / threads)) for thread in range(threads)] + [
        channels
    ]
    return [(edges[thread], edges[thread + 1]) for thread in range(threads)]


class _Tables:
    """Weights and constants, gathered piece by piece."""

    def __init__(self, form: str, clips: int) -> None:
        self.form, self.clips = FORMATS[form], clips
        self.pieces: list[np.ndarray] = []
        self.panels: list[tuple[int, int, int, int]] = []
        self.bytes = 0
        self.constants: list[np.ndarray] = []
        self.numbers = 0

    def constant(self, values: Tensor) -> int:
        numbers = values.detach().to("cpu", torch.float32).contiguous().view(-1).numpy()
        place, room = self.numbers, _rounded(len(numbers), 16)
        self.constants.append(np.pad(numbers, (0, room - len(numbers))))
        self.numbers += room
        return place

    def matrix(self, row: np.ndarray, weight: Tensor, inputs: int = 0) -> None:
        """Add a matrix (R, columns) panel by panel, and say in an operation's row how it lies.

        inputs: vectors that it multiplies at once; without it as many as there are clips.
        """
        tallest = 32 if (inputs or self.clips) >= kernels.CLIP_GROUPS[0] else 64
        numbers = weight.detach().to("cpu", torch.float32)
        rows = len(numbers)
        if self.form == kernels.INT8:
            scale = numbers.abs().amax(dim=1).clamp(min=1e-30) / 127
            row[Op.SCALE] = self.constant(scale)
            numbers = numbers / scale[:, None]
        row[Op.WEIGHT], row[Op.FIRST_PANEL] = self.bytes, len(self.panels)
        for tall in panel_heights(rows, tallest, kernels.LANES * (2 if self.form == kernels.BFLOAT16 else 1)):
            vectors = math.ceil(tall / kernels.LANES)
            if self.form == kernels.BFLOAT16:
                vectors = _rounded(vectors, 2)
            tail = (tall - (vectors - 2) * kernels.LANES) // 2
            self.panels.append((tall, vectors, tall * kernels.BYTES[self.form], tail))
            panel = torch.zeros(tall, numbers.shape[1])
            panel[: len(numbers)] = numbers[:tall]
            numbers = numbers[tall:]
            self._add(self._formed(panel, vectors))
        row[Op.PANELS] = len(self.panels) - row[Op.FIRST_PANEL]

    def _formed(self, panel: Tensor, vectors: int) -> np.ndarray:
        columns = panel.t().contiguous()  # (columns, tall)
        if self.form == kernels.FLOAT32:
            return columns.numpy().view(np.uint8).reshape(-1)
        if self.form == kernels.INT8:
            return columns.round().clamp(-127, 127).to(torch.int8).numpy().view(np.uint8).reshape(-1)
        halves = columns.to(torch.bfloat16).view(torch.int16).numpy()
        pairs = []
        for pair in range(vectors // 2):  # the first half of these rows in the low half of each word
            rows = halves[:, pair * 2 * kernels.LANES : (pair + 1) * 2 * kernels.LANES]
            pairs.append(np.stack(np.split(rows, 2, axis=1), axis=2).reshape(len(rows), -1))
        return np.ascontiguousarray(np.concatenate(pairs, axis=1)).view(np.uint8).reshape(-1)

    def _add(self, piece: np.ndarray) -> None:
        self.pieces.append(piece)
        self.bytes += len(piece)

    def gathered(self) -> np.ndarray:
        """All constants."""
        numbers = aligned(self.numbers + SLACK)
        np.concatenate([*self.constants, np.zeros(SLACK, np.float32)], out=numbers)
        return numbers

    def packed(self) -> np.ndarray:
        packed = aligned(self.bytes + 64 * 4, np.uint8)
        place = 0
        for piece in self.pieces:
            packed[place : place + len(piece)] = piece
            place += len(piece)
        self.pieces.clear()
        return packed


def _layer(row: np.ndarray, layer: Layer, first: int, stop: int, tables: _Tables, places: dict[Slot, int]) -> None:
    picked = _product(row, layer, first, stop, tables, places)
    if layer.table is not None:
        row[Op.TABLE] = tables.constant(layer.table.detach().cpu()[:, picked])
        row[Op.EXTRA_1] = len(layer.table) // layer.taps
    row[Op.TAPS], row[Op.THEN] = layer.taps, ACTIVATIONS[layer.then]
    row[Op.RESIDUAL] = NONE if layer.residual is None else places[layer.residual]


def _row(row: np.ndarray, layer: Rows, first: int, stop: int, tables: _Tables, places: dict[Slot, int]) -> None:
    _product(row, layer, first, stop, tables, places)
    row[Op.WIDTH], row[Op.HEIGHT], row[Op.SIDE], row[Op.STEP] = layer.columns, layer.height, layer.side, layer.step
    row[Op.EXTRA_1] = places[layer.source]
    row[Op.EXTRA_2] = NONE if layer.sums is None else places[layer.sums]


def _product(
    row: np.ndarray, layer: Layer | Rows, first: int, stop: int, tables: _Tables, places: dict[Slot, int]
) -> Tensor:
    """Lay out what both sorts of layer have, and return which rows are this thread's."""
    rows = list(range(first, stop))
    if layer.activation == "gated":
        rows += [layer.out.channels + channel for channel in range(first, stop)]
    picked = torch.tensor(rows, dtype=torch.long)
    row[Op.ROWS], row[Op.COLUMNS] = len(rows), 0
    if layer.weight is not None and rows:
        row[Op.COLUMNS] = layer.weight.shape[1]
        tables.matrix(row, layer.weight.detach().cpu()[picked], layer.columns if isinstance(layer, Rows) else 0)
    bias = torch.zeros(layer.rows) if layer.bias is None else layer.bias.detach().cpu()
    row[Op.BIAS] = tables.constant(bias[picked])
    row[Op.PLUS] = NONE if layer.plus is None else places[layer.plus]
    row[Op.ACTIVATION] = ACTIVATIONS[layer.activation]
    return picked


def panel_heights(rows: int, tallest: int, grain: int) -> list[int]:
    """Rows of each panel of a matrix: about as many in each, whole grains in all but the last, whole eighths there."""
    grains = math.ceil(rows / grain)
    panels = math.ceil(grains * grain / tallest)
    edges = [grain * math.ceil(grains * panel / panels) for panel in range(panels)] + [_rounded(rows, 8)]
    return [stop - first for first, stop in pairwise(edges)]


def aligned(count: int, kind: type = np.float32) -> np.ndarray:
    """Zeros that begin at the start of a cache line."""
    size = np.dtype(kind).itemsize
    room = np.zeros(count * size + 64, np.uint8)
    shift = -room.ctypes.data % 64
    return room[shift : shift + count * size].view(kind)


def _rounded(number: int, step: int) -> int:
    return -(-number // step) * step
