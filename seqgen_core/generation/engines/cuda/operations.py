"""Every block's share of each operation, as rows of a table, and the weights that they point to.

Axes: N operations, B clips, C channels, R rows.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from torch import Tensor

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines.cuda.tables import (
    ACTIVATIONS,
    FEW_VECTORS,
    HINT,
    LONGEST_PERIOD,
    MOST_VECTORS,
    NONE,
    SEGMENT_MOST,
    Grid,
    Kind,
    Op,
    rounded,
)
from seqgen_core.models.steps.program import Clear, Gru, Hear, Layer, Lstm, Operation, Rows, Slot, Tell, Turn

KINDS: dict[type, Kind] = {
    Layer: Kind.PRODUCT,
    Rows: Kind.PRODUCT,
    Hear: Kind.HEAR,
    Tell: Kind.TELL,
    Gru: Kind.GRU,
    Lstm: Kind.LSTM,
    Turn: Kind.TURN,
    Clear: Kind.CLEAR,
}


@dataclass
class _Piece:
    """Bytes of one block that an operation's column points to; rank: pieces of low rank stay in shared memory."""

    rank: float
    data: np.ndarray
    row: np.ndarray
    column: Op


@dataclass
class Operations:
    """The table of operations, block by block, and the pieces of weights that it points to.

    inputs: the most numbers that a product gathers to multiply a row with; sums: the most that it makes of them.
    """

    slots: dict[Slot, int]
    clips: int
    grid: Grid
    form: str
    segments: list[tuple[int, ...]] = field(default_factory=list)
    inputs: int = 0
    sums: int = 0
    _table: list[np.ndarray] = field(default_factory=list)
    _pieces: list[list[_Piece]] = field(default_factory=list)

    def rows(self, count: int) -> np.ndarray:
        """int32 (blocks, N, Op.SIZE)."""
        return np.ascontiguousarray(np.stack(self._table, axis=1)) if count else np.zeros((self.grid.blocks, 0, 0))

    def add(self, number: int, operation: Operation) -> None:
        """Add an operation's rows, segments and pieces. Raises SeqgenError where it is not known here."""
        if type(operation) not in KINDS:
            raise SeqgenError(f"The cuda engine knows no operation {type(operation).__name__}.", hint=HINT)
        if not self._pieces:
            self._pieces = [[] for _ in range(self.grid.blocks)]
        table = np.full((self.grid.blocks, Op.SIZE), NONE, np.int32)
        self._table.append(table)
        table[:, Op.KIND], table[:, Op.OUT], table[:, Op.MOVES] = KINDS[type(operation)], self.slots[operation.out], 1
        edges = shares(operation.out.channels, self.grid.blocks)
        table[:, Op.FIRST], table[:, Op.COUNT] = [first for first, _ in edges], [stop - first for first, stop in edges]
        table[:, Op.PIXELS], table[:, Op.STEP] = 1, 0
        if isinstance(operation, Layer | Rows):
            self._product(operation, table, edges)
        elif isinstance(operation, Hear):
            values = _numbers(operation.values)
            for block in np.flatnonzero(table[:, Op.COUNT]).tolist():
                self._piece(block, LONGEST_PERIOD + operation.every, values, table[block], Op.TABLE)
        elif isinstance(operation, Gru):
            for column, slot in ((Op.GATES, operation.gates), (Op.FRESH, operation.fresh), (Op.PAST, operation.past)):
                table[:, column] = self.slots[slot]
        elif isinstance(operation, Lstm):
            table[:, Op.GATES], table[:, Op.SECOND] = self.slots[operation.gates], self.slots[operation.cells]
        elif isinstance(operation, Turn):
            table[:, Op.LAG] = operation.count - 1
        elif isinstance(operation, Clear):
            table[:, Op.MOVES] = 0

    def _product(self, operation: Layer | Rows, table: np.ndarray, edges: list[tuple[int, int]]) -> None:
        each = 2 if operation.activation == "gated" else 1
        table[:, Op.ACTIVATION] = ACTIVATIONS[operation.activation]
        table[:, Op.PLUS] = NONE if operation.plus is None else self.slots[operation.plus]
        table[:, Op.THEN] = ACTIVATIONS["none"]
        table[:, Op.FIRST_SEGMENT] = len(self.segments)
        look_up = None
        if isinstance(operation, Layer):
            columns = self._layer_segments(operation)
            table[:, Op.THEN] = ACTIVATIONS[operation.then]
            table[:, Op.RESIDUAL] = NONE if operation.residual is None else self.slots[operation.residual]
            table[:, Op.TAPS] = operation.taps
            if operation.table is not None:
                look_up = _numbers(operation.table)
                table[:, Op.VALUES] = len(look_up) // operation.taps
        else:
            columns = self._window_segments(operation)
            table[:, Op.PIXELS], table[:, Op.STEP] = operation.columns, operation.step
            table[:, Op.MOVES] = operation.columns
            table[:, Op.SECOND] = NONE if operation.sums is None else self.slots[operation.sums]
        table[:, Op.SEGMENTS] = len(self.segments) - table[0, Op.FIRST_SEGMENT]
        width = rounded(int(columns[-1]) + 1, 4) if len(columns) else 0
        table[:, Op.COLUMNS], table[:, Op.ROWS] = width, 0
        every = self.clips * int(table[0, Op.PIXELS])
        vectors = 1 if every == 1 else FEW_VECTORS if every <= FEW_VECTORS else MOST_VECTORS
        table[:, Op.VECTORS] = vectors
        self.inputs = max(self.inputs, width * vectors)
        weight = np.zeros((operation.rows, width), np.float32)
        if operation.weight is not None:
            weight[:, columns] = _numbers(operation.weight)
        bias = None if operation.bias is None else _numbers(operation.bias)
        for block, (first, stop) in enumerate(edges):
            if first == stop:
                continue
            row, picked = table[block], np.arange(first, stop)
            if each == 2:  # a channel's two rows next to each other
                picked = np.stack([picked, picked + operation.out.channels], axis=1).reshape(-1)
            if bias is not None:
                self._piece(block, 0, bias[picked], row, Op.BIAS)
            if look_up is not None:
                self._piece(block, LONGEST_PERIOD + operation.every, look_up[:, picked], row, Op.TABLE)
            if width:
                tile, split = self._tiling(len(picked), width)
                rows = rounded(len(picked), tile)
                padded = np.zeros((rows, width), np.float32)
                padded[: len(picked)] = weight[picked]
                self._piece(block, operation.every, self._formed(padded), row, Op.WEIGHT)
                row[Op.ROWS], row[Op.TILE], row[Op.SPLIT] = rows, tile, split
                self.sums = max(self.sums, rows * vectors << split)

    def _tiling(self, rows: int, width: int) -> tuple[int, int]:
        """Rows of a tile, and the logarithm of the warps that share its columns, so that all warps have work."""
        grid = self.grid
        most = max(0, (width // 4 // grid.lanes).bit_length() - 1)
        tile = next((tile for tile in (4, 2) if -(-rows // tile) << most >= grid.warps), 1)
        split = next((split for split in range(most) if -(-rows // tile) << split >= grid.warps), most)
        return tile, split

    def _layer_segments(self, layer: Layer) -> np.ndarray:
        """Add the segments of a layer; for each column of its weight the column that it has here."""
        columns: list[int] = []
        place = 0
        for source in layer.sources:
            place = self._segment(columns, source.slot, source.lag, 0, place)
        return np.array(columns, np.int64)

    def _window_segments(self, rows: Rows) -> np.ndarray:
        columns: list[int] = []
        place, values = 0, rows.height * rows.columns * rows.step
        for line in range(rows.height):
            for shift in range(-rows.side, rows.side + 1):
                for step in range(rows.step):
                    # of the leftmost column; every further one is `step` values nearer
                    lag = values - 1 - ((line * rows.columns + shift) * rows.step + step)
                    place = self._segment(columns, rows.source, lag, shift, place)
        return np.array(columns, np.int64)

    def _segment(self, columns: list[int], slot: Slot, lag: int, shift: int, place: int) -> int:
        for first in range(0, slot.channels, SEGMENT_MOST):
            count = min(SEGMENT_MOST, slot.channels - first)
            columns += range(place, place + count)
            self.segments.append((self.slots[slot], lag, shift, first, rounded(count, 4), place))
            place += rounded(count, 4)
        return place

    def _formed(self, numbers: np.ndarray) -> np.ndarray:
        if self.form == "fp32":
            return numbers
        bits = numbers.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)  # to the nearest, of two the even one

    def _piece(self, block: int, rank: float, numbers: np.ndarray, row: np.ndarray, column: Op) -> None:
        data = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1)
        self._pieces[block].append(_Piece(rank, data, row, column))

    def pack(self, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All weights; each block's place in them; and how many bytes of it stay in shared memory, `room` at most."""
        chunks, residents, lying = [], [], []
        end = 0
        for pieces in self._pieces:
            pieces.sort(key=lambda piece: piece.rank)
            chunks.append(end)
            resident, rest = 0, []
            for piece in pieces:
                size = rounded(len(piece.data), 16)
                if resident + size > room:
                    rest.append(piece)
                    continue
                piece.row[piece.column] = resident
                lying.append((end + resident, piece.data))
                resident += size
            residents.append(resident)
            place = resident
            for piece in rest:
                piece.row[piece.column] = place
                lying.append((end + place, piece.data))
                place += rounded(len(piece.data), 16)
            if place >= 2**31:
                raise SeqgenError(f"The weights of one block take {place} bytes.", hint=HINT)
            end += place
            pieces.clear()
        weights = np.zeros(max(16, end), np.uint8)
        for place, data in lying:
            weights[place : place + len(data)] = data
        return weights, np.array(chunks, np.int64), np.array(residents, np.int32)


def _numbers(weight: Tensor) -> np.ndarray:
    return weight.detach().float().cpu().numpy()


def shares(channels: int, blocks: int) -> list[tuple[int, int]]:
    """First channel and end of each block's share."""
    edges = [channels * block // blocks for block in range(blocks + 1)]
    return list(pairwise(edges))
