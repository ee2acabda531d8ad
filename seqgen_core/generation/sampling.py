"""How clips are sampled: filters, and the randomness of each clip, uniforms that depend on (seed, clip number) alone.

They are drawn outside the model and handed to the head, so a clip does not depend on the batch it is in, on the
device, or on the engine that steps the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Filters:
    """How a distribution is bent before it is sampled: temperature, the k likeliest, the likeliest of mass p."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class ClipUniforms:
    """One endless stream of uniforms in [0, 1) per clip.

    Each is a Philox generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") keyed by
    numpy's SeedSequence of (seed, clip number).
    """

    def __init__(self, seed: int, clips: Sequence[int]) -> None:
        self._streams = [np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, clip]))) for clip in clips]

    def draw(self, count: int) -> np.ndarray:
        """The next `count` uniforms of every clip: float64 (clips, count)."""
        return np.stack([stream.random(count) for stream in self._streams])
