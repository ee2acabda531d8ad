"""Whole clips from a run: drawing them in batches, and what is known of each.

Axes: P tokens of the prime, N new tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqgen_core.errors import UsageError
from seqgen_core.generation.engines import Choice, choose_engine
from seqgen_core.generation.kept import KeptTokens, Tokens
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.starts import Prime
from seqgen_core.generation.stream import draw_blocks
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent


@dataclass(frozen=True)
class Clip:
    """A drawn clip: its number, what it continues, new tokens (N, *shape), mean bits per new token.

    seconds: its share of the time that drawing took, without the primes.
    """

    number: int
    prime: Prime
    tokens: Tokens
    bits_per_token: float
    seconds: float = 0.0


def draw_clips(
    model: CausalModel,
    primes: Sequence[Prime],
    *,
    length: int,
    batch_size: int,
    seed: int,
    engine: Choice | None = None,
    label: int | None = None,
    progress: Progress | None = None,
    rate: float | None = None,
) -> Iterator[Clip]:
    """Draw one clip of `length` new tokens for each prime, batch by batch; the primes are equally long.

    engine: what steps the model and samples; without one the fastest that fits, with plain sampling.
    label: class of all clips; without one, a model with classes takes each prime's own.
    rate: tokens per second, for the real-time factor that progress shows (None: none is shown).
    Raises UsageError where a model with classes knows no label of a clip, or one with features no features.
    """
    progress = progress or Silent()
    primes = conditioned(model, primes, label)
    engine = engine or choose_engine(model, progress=progress)
    progress.begin("drawing", len(primes) * length, "tokens")
    drawing, done = 0.0, 0
    try:
        for first in range(0, len(primes), batch_size):
            group = primes[first : first + batch_size]
            numbers = range(first, first + len(group))
            drawn = [KeptTokens(length, model.tokens.values, model.tokens.shape) for _ in group]
            bits, before = np.zeros(len(group)), drawing
            for block in draw_blocks(engine.make(len(group)), model, group, length, ClipUniforms(seed, numbers)):
                for kept, tokens in zip(drawn, block.tokens, strict=True):
                    kept.append(tokens)
                bits += block.bits.sum(axis=1)
                done += block.bits.size
                drawing += block.seconds
                progress.update(done, **_speed(done, drawing, rate))
            for row, number in enumerate(numbers):
                share = (drawing - before) / len(group)
                yield Clip(number, group[row], drawn[row].tokens(), bits[row] / length, share)
    finally:
        progress.end()


def conditioned(model: CausalModel, primes: Sequence[Prime], label: int | None) -> list[Prime]:
    """The primes with the one label, where one is named. Raises UsageError where the model lacks label or features."""
    if label is not None:
        primes = [replace(prime, label=label) for prime in primes]
    if model.classes and any(prime.label is None for prime in primes):
        raise UsageError("The model was trained with labels, and none is known here.", hint="Choose one by --label.")
    if model.local_features and any(prime.features is None for prime in primes):
        raise UsageError(
            "The model was trained with features, and none are known here.",
            hint="Name a sound or .npy file by --features, or use --conditional.",
        )
    return list(primes)


def _speed(tokens: int, seconds: float, rate: float | None) -> dict[str, float | str]:
    speed = tokens / max(1e-9, seconds)
    shown: dict[str, float | str] = {"tokens/s": f"{speed:,.0f}"}
    if rate:
        shown["real-time factor"] = f"{speed / rate:.3f}"
    return shown
