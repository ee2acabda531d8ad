"""TokenSpec: what one token of a stream is. The data states it, the model is built from it."""

import math
from typing import Literal

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
    def uniform_bits(self) -> float:
        """Bits per token of a model that knows nothing."""
        return math.log2(self.values)

    def __str__(self) -> str:
        return f"categorical tokens with {self.values} values"


TokenSpec = CategoricalTokens
