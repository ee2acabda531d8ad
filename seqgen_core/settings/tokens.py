"""TokenSpec: what one token of a stream is. The data states it, the model is built from it.

A stream of T tokens is an array of integers (T, *shape), each in [0, values): shape is () but for binary vectors.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from seqgen_core.settings.base import Settings


class CategoricalTokens(Settings):
    """Each token is one of `values` symbols, numbered from 0."""

    kind: Literal["categorical"] = "categorical"
    """Sort of token."""
    values: int = Field(ge=2, le=65536)
    """Number of symbols V; tokens lie in [0, V)."""
    ordered: bool = False
    """Whether near numbers mean near things, as amplitudes do; models begin with weights that are smooth over them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """A token is one number."""
        return ()

    @property
    def uniform_bits(self) -> float:
        """Bits per token of a model that knows nothing."""
        return math.log2(self.values)

    def __str__(self) -> str:
        return f"categorical tokens with {self.values} values"


class BinaryTokens(Settings):
    """Each token is a vector of `width` zeros and ones, such as the keys that sound in one frame of a piano roll."""

    kind: Literal["binary"] = "binary"
    """Sort of token."""
    width: int = Field(88, ge=1, le=4096)
    """Numbers in each vector."""

    @property
    def values(self) -> int:
        """Values of each number in the vector."""
        return 2

    @property
    def ordered(self) -> bool:
        """Zero and one have no between."""
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        """A token is a vector."""
        return (self.width,)

    @property
    def uniform_bits(self) -> float:
        """Bits per token of a model that knows nothing."""
        return float(self.width)

    def __str__(self) -> str:
        return f"binary vectors of {self.width}"


class _OrderedNumber(Settings):
    """What amplitudes and intensities have in common: a token is one number, near numbers mean near things."""

    levels: int

    @property
    def values(self) -> int:
        """Values of a token, numbered from 0."""
        return self.levels

    @property
    def ordered(self) -> bool:
        """Near numbers mean near things."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """A token is one number."""
        return ()

    @property
    def uniform_bits(self) -> float:
        """Bits per token of a model that knows nothing."""
        return math.log2(self.levels)


class AmplitudeTokens(_OrderedNumber):
    """Each token is an amplitude on an even grid of `levels`, of which a model gives a density, not a table."""

    kind: Literal["amplitude"] = "amplitude"
    """Sort of token."""
    levels: int = Field(65536, ge=2, le=65536)
    """Steps of the grid; code c stands for (c - h) / h with h = levels // 2."""

    def __str__(self) -> str:
        return f"amplitudes with {self.levels} levels"


class PixelTokens(_OrderedNumber):
    """Images in raster order: one token that says nothing (0), then height × width × channels intensities.

    Rows from the top, columns from the left, colours of a pixel one after another. The first token is there so that
    the first intensity, too, is predicted.
    """

    kind: Literal["pixels"] = "pixels"
    """Sort of token."""
    height: int = Field(ge=1, le=4096)
    """Rows."""
    width: int = Field(ge=1, le=4096)
    """Columns."""
    channels: int = Field(1, ge=1, le=4)
    """Colours of a pixel: 1 for grey, 3 for red, green and blue."""
    levels: int = Field(256, ge=2, le=256)
    """Intensities that each colour can have."""

    @property
    def length(self) -> int:
        """Tokens of one image, the first that says nothing included."""
        return 1 + self.height * self.width * self.channels

    def __str__(self) -> str:
        colours = "" if self.channels == 1 else f" × {self.channels}"
        return f"images of {self.height} × {self.width}{colours} with {self.levels} levels"


TokenSpec = Annotated[CategoricalTokens | BinaryTokens | AmplitudeTokens | PixelTokens, Field(discriminator="kind")]
"""What one token is, told apart by `kind`. All have values, shape, ordered and uniform_bits."""
