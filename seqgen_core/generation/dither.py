"""Dither: a way out for clips that are trapped in one code, as happens to cold models in silence.

A clip's new samples are looked at window by window; where those of a whole WINDOW lie within one code of each other on
either side (TOLERANCE), the first BURST of the next window is drawn at temperature 1 with every code allowed. That is
the noise that the model itself expects there, and it frees more clips than a random ±1 added to the samples does
(docs/library.md gives figures). A clip that is never trapped is the clip that is drawn without.

Axes: N tokens of a block, F features.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from seqgen_core.errors import UsageError
from seqgen_core.generation.engines import Choice, Engine
from seqgen_core.generation.kept import PIECE, Tokens
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.steps.program import Start
from seqgen_core.settings.codec import CodecSettings

WINDOW, BURST = 0.05, 0.01  # seconds
TOLERANCE = 2
"""Codes between the lowest and the highest sample of a window that is trapped, at most."""


@dataclass(frozen=True)
class Dither:
    """How trapped clips are freed. warm: engines that draw at temperature 1. window, burst: tokens."""

    warm: Choice
    window: int
    burst: int

    def trapped(self, tokens: Tokens) -> bool:
        """Whether a whole drawn clip, tokens (N,), was trapped anywhere but at its very end."""
        whole = (len(tokens) - 1) // self.window * self.window  # what is found at the end would change nothing
        step = max(1, PIECE // self.window) * self.window
        pieces = (tokens[first : min(first + step, whole)] for first in range(0, whole, step))
        return any(bool((np.ptp(piece.reshape(-1, self.window), axis=1) <= TOLERANCE).any()) for piece in pieces)

    def over(self, engine: Engine) -> "DitheredEngine":
        """An engine for one clip that draws as `engine` does while the clip is not trapped."""
        return DitheredEngine(engine, self)


def check_dither(codec: CodecSettings, filters: Filters) -> None:
    """Raise UsageError where dither makes no sense: what is no sound, or drawn at temperature 1 already."""
    if codec.unit != "sample":
        raise UsageError(f"--dither is for sound; the run was trained on {codec}.", hint="Leave it out.")
    if filters.temperature >= 1 and not filters.top_k and filters.top_p == 1:
        raise UsageError(
            "--dither draws trapped samples at temperature 1 with every code allowed, as all samples are drawn here.",
            hint="Leave it out; it is for --temperature below 1, --top-k and --top-p.",
        )


class DitheredEngine:
    """Two engines that step one clip together: what one draws, the other hears."""

    def __init__(self, engine: Engine, dither: Dither) -> None:
        self.name = engine.name
        self._plain, self._warm, self._dither = engine, dither.warm.make(1), dither
        self._window = np.empty(0, np.int64)  # the new tokens since the last whole window
        self._left = 0  # tokens of a burst that are still to come
        self.dithered = 0
        """Tokens drawn in bursts so far."""

    def begin(self, start: Start, outputs: Tensor) -> None:
        """Take over after a prime: its state, and the outputs (1, head.size) that predict the next token."""
        self._plain.begin(start, outputs)
        self._warm.begin(start, outputs)
        self._window, self._left, self.dithered = np.empty(0, np.int64), 0, 0

    def draw(self, uniforms: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw N tokens by uniforms float64 (1, N, draws): int64 (1, N), and bits float64 (1, N)."""
        tokens, bits, done = [], [], 0
        while done < uniforms.shape[1]:
            room = self._left or self._dither.window - len(self._window)
            part = slice(done, min(done + room, uniforms.shape[1]))
            heard = None if told is None else told[:, part]
            drawing, hearing = (self._warm, self._plain) if self._left else (self._plain, self._warm)
            drawn, its_bits = drawing.draw(uniforms[:, part], heard)
            hearing.score(drawn, heard)
            tokens.append(drawn)
            bits.append(its_bits)
            done = part.stop
            self._look(drawn[0])
        return np.concatenate(tokens, axis=1), np.concatenate(bits, axis=1)

    def score(self, forced: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Hear given tokens int64 (1, N): outputs float32 (1, N, head.size) that predict them, bits (1, N)."""
        self._warm.score(forced, told)
        return self._plain.score(forced, told)

    def _look(self, drawn: np.ndarray) -> None:
        if self._left:
            self._left -= len(drawn)
            self.dithered += len(drawn)
        self._window = np.concatenate([self._window, drawn])
        if len(self._window) == self._dither.window:
            self._left = self._dither.burst if np.ptp(self._window) <= TOLERANCE else 0
            self._window = self._window[:0]
