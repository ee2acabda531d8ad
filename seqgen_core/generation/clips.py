"""Whole clips from a run: drawing them in batches, and what is known of each.

Axes: P tokens of the prime, N new tokens.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqgen_core.devices import stepping_threads
from seqgen_core.errors import UsageError
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.starts import Prime
from seqgen_core.generation.stream import Filters, draw_tokens
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent


@dataclass(frozen=True)
class Clip:
    """A drawn clip: its number, what it continues, new tokens int64 (N, *shape), mean bits per new token."""

    number: int
    prime: Prime
    tokens: np.ndarray
    bits_per_token: float


def draw_clips(
    model: CausalModel,
    primes: Sequence[Prime],
    *,
    length: int,
    batch_size: int,
    seed: int,
    filters: Filters | None = None,
    label: int | None = None,
    progress: Progress | None = None,
    rate: float | None = None,
    threads: int = 0,
) -> Iterator[Clip]:
    """Draw one clip of `length` new tokens for each prime, batch by batch; the primes are equally long.

    label: class of all clips; without one, a model with classes takes each prime's own.
    rate: tokens per second, for the real-time factor that progress shows (None: none is shown).
    threads: CPU threads; 0 picks what is quickest for the batch.
    Raises UsageError where a model with classes knows no label of a clip, or one with features no features.
    """
    progress = progress or Silent()
    device = next(model.parameters()).device
    primes = conditioned(model, primes, label)
    progress.begin("drawing", len(primes) * length, "tokens")
    started, done = time.monotonic(), 0
    try:
        for first in range(0, len(primes), batch_size):
            group = primes[first : first + batch_size]
            numbers = range(first, first + len(group))
            drawn = np.empty((len(group), length, *model.tokens.shape), np.int64)
            bits = np.zeros(len(group))
            with stepping_threads(device, len(group), threads):
                steps = draw_tokens(model, group, length, ClipUniforms(seed, numbers), filters or Filters())
                for place, step in enumerate(steps):
                    drawn[:, place] = step.tokens
                    bits += step.bits
                    done += len(group)
                    if place % 64 == 63 or place + 1 == length:
                        progress.update(done, **_speed(done, time.monotonic() - started, rate))
            for row, number in enumerate(numbers):
                yield Clip(number, group[row], drawn[row], bits[row] / length)
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
