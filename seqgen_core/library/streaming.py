"""One clip as it is made: blocks of text or sound, and whether they come as fast as a player needs them."""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seqgen_core.errors import UsageError
from seqgen_core.generation.dither import Dither
from seqgen_core.generation.engines import Choice
from seqgen_core.generation.rendering import renderer_for
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.starts import Prime
from seqgen_core.generation.stream import draw_blocks
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.codec import CodecSettings
from seqgen_core.settings.generate import GenerateSettings

STREAMED = ("sample", "character", "word")
"""Units of the codecs whose clips make sense piece by piece."""


class ClipStream:
    """Iterating over it draws the clip: waveforms float32 (T,) of settings.block seconds each, or pieces of text.

    Raises UsageError for a codec that is neither sound nor text.
    """

    def __init__(
        self,
        model: CausalModel,
        engine: Choice,
        prime: Prime,
        length: int,
        codec: CodecSettings,
        settings: GenerateSettings,
        dither: Dither | None = None,
    ) -> None:
        if codec.unit not in STREAMED:
            raise UsageError(f"--stream is for sound and text; the run was trained on {codec}.", hint="Leave it out.")
        self._model, self._engine, self._prime, self._length, self._codec = model, engine, prime, length, codec
        self._seed, self._dither = settings.seed, dither
        self._rate = codec.tokens_per_second
        self._size = 1 if self._rate is None else max(1, round(self._rate * settings.block))
        self._taken: list[float] = []  # seconds

    def __iter__(self) -> Iterator[NDArray[np.float32] | str]:
        renderer = renderer_for(self._codec)
        last = np.empty(0, np.int64)  # the word before, since words have spaces between them
        uniforms = ClipUniforms(self._seed, [0])
        before = time.perf_counter()
        engine = self._engine.make(1) if self._dither is None else self._dither.over(self._engine.make(1))
        for block in draw_blocks(engine, self._model, [self._prime], self._length, uniforms, self._size):
            self._taken.append(time.perf_counter() - before)
            tokens = block.tokens[0]
            shown = renderer.preview(np.concatenate([last, tokens]), "").value
            if len(last):
                shown = shown[len(renderer.preview(last, "").value) :]
            yield shown
            last = tokens[-1:] if self._codec.unit == "word" else last
            before = time.perf_counter()

    def latency(self) -> str | None:
        """How long the blocks so far took, and whether that keeps up with a player; the first, with the prime, apart.

        None for text, and before the first block.
        """
        if self._rate is None or not self._taken:
            return None
        line = f"blocks of {1000 * self._size / self._rate:.3g} ms: the first after {1000 * self._taken[0]:.0f} ms"
        later = self._taken[1:]
        if not later:
            return line
        middle, late, most = (1000 * float(np.percentile(later, share)) for share in (50, 99, 100))
        speed = self._size * len(later) / self._rate / sum(later)
        keeps_up = "a player keeps playing" if speed > 1 else "too slow for a player, which will stutter"
        return (
            f"{line}, then p50 {middle:.2f} ms, p99 {late:.2f} ms, at most {most:.2f} ms; "
            f"{speed:.2f} times as fast as it plays: {keeps_up}"
        )
