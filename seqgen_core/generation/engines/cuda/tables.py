"""The tables that the kernel walks, column by column; the C++ side is told of the same names."""

from dataclasses import dataclass
from enum import IntEnum

NONE = -1
SEGMENT_MOST = 128
"""Numbers that one warp gathers at a time: one for each lane, four times."""
FEW_VECTORS, MOST_VECTORS = 4, 8
"""Inputs that a row is multiplied with before it is read again, where there are a few or many."""
LONGEST_PERIOD = 2**20
"""Tokens after which the same operations are due again, at most: the kernel has a table of them."""
HINT = "Use --engine torch or cpu."


class Op(IntEnum):
    """Columns of the table of operations, of which every block has its own."""

    KIND = 0
    OUT = 1
    """Slot that gets new values."""
    SECOND = 2
    """Slot that gets new values, too: cells, or sums before the activation; or NONE."""
    MOVES = 3
    """Values that both get."""
    FIRST = 4
    """First channel of this block's share."""
    COUNT = 5
    """Channels of it."""
    ROWS = 6
    """Rows of its weights, in whole tiles."""
    TILE = 7
    """Rows that a warp multiplies at a time."""
    SPLIT = 8
    """Logarithm to base 2 of the warps that share the columns of a tile."""
    COLUMNS = 9
    WEIGHT = 10
    """Place in the chunk, in bytes; of BIAS and TABLE, too."""
    BIAS = 11
    TABLE = 12
    TAPS = 13
    VALUES = 14
    """Rows of the table for each tap."""
    PLUS = 15
    RESIDUAL = 16
    ACTIVATION = 17
    THEN = 18
    FIRST_SEGMENT = 19
    SEGMENTS = 20
    PIXELS = 21
    """Columns of a row of pixels; 1 for what is no image."""
    STEP = 22
    """Values of the source for a column."""
    VECTORS = 23
    """Inputs, of clips and columns of pixels, that a row is multiplied with at a time."""
    GATES = 24
    FRESH = 25
    PAST = 26
    LAG = 27
    SIZE = 28


class Segment(IntEnum):
    """Columns of the table of segments: pieces of the slots that an operation reads."""

    SLOT = 0
    LAG = 1
    SHIFT = 2
    """Pixels to the right of the one in hand."""
    FIRST = 3
    COUNT = 4
    PLACE = 5
    """Among the columns of the weights."""
    SIZE = 6


class SlotColumn(IntEnum):
    """Columns of the table of slots."""

    PLACE = 0
    STRIDE = 1
    """Numbers from one value to the next."""
    KEPT = 2
    CHANNELS = 3
    SIZE = 4


class Kind(IntEnum):
    """Sorts of operation."""

    PRODUCT = 0
    HEAR = 1
    TELL = 2
    GRU = 3
    LSTM = 4
    TURN = 5
    CLEAR = 6


ACTIVATIONS = {"none": 0, "relu": 1, "leaky_relu": 2, "gated": 3}
FORMS = {"fp32": 0, "bf16": 1}


@dataclass(frozen=True)
class Grid:
    """Blocks that run at once, threads of each, lanes of a warp, bytes of shared memory that a block may use."""

    blocks: int
    threads: int
    lanes: int
    shared: int

    @property
    def warps(self) -> int:
        return self.threads // self.lanes


def rounded(number: int, step: int) -> int:
    """The next multiple of step."""
    return -(-number // step) * step
