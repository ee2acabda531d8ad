"""What an engine does: take over from a prime, then draw tokens block after block, or score given ones.

Axes: B clips, N tokens of a block, F features.
"""

from typing import Protocol

import numpy as np
from torch import Tensor

from seqgen_core.models.steps.program import Start


class Engine(Protocol):
    """Steps and samples B clips at once; built for one model, one number of clips and one way of sampling."""

    name: str

    def begin(self, start: Start, outputs: Tensor) -> None:
        """Take over after a prime: its state, and the outputs (B, head.size) that predict the next token."""
        ...

    def draw(self, uniforms: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw N tokens of every clip by uniforms float64 (B, N, draws): int64 (B, N, *shape), and bits float64 (B, N).

        told: features float32 (B, N, F); those of step n tell of the token drawn at step n.
        Raises SeqgenError or ShapeError where outputs are not finite.
        """
        ...

    def score(self, forced: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Hear given tokens int64 (B, N, *shape): outputs float32 (B, N, head.size) that predict them, bits (B, N)."""
        ...
