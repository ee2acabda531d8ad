"""Whole clips from a run: drawing them in batches, and what is known of each.

Axes: P tokens of the prime, N new tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from seqgen_core.errors import UsageError
from seqgen_core.generation.dither import Dither
from seqgen_core.generation.engines import Choice, Engine, choose_engine
from seqgen_core.generation.kept import KeptTokens, Tokens
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.starts import Prime
from seqgen_core.generation.stop import Stop
from seqgen_core.generation.stream import Block, draw_blocks
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent


@dataclass(frozen=True)
class Clip:
    """A drawn clip: its number, what it continues, new tokens (N, *shape), mean bits per new token.

    seconds: its share of the time that drawing took, without the primes. unfinished: a stop came before its end.
    dithered: tokens that were drawn to free it where it was trapped.
    """

    number: int
    prime: Prime
    tokens: Tokens
    bits_per_token: float
    seconds: float = 0.0
    unfinished: bool = False
    dithered: int = 0


def draw_clips(
    model: CausalModel,
    primes: Sequence[Prime],
    *,
    length: int,
    batch_size: int,
    seed: int,
    engine: Choice | None = None,
    label: int | None = None,
    dither: Dither | None = None,
    progress: Progress | None = None,
    rate: float | None = None,
    stop: Stop | None = None,
) -> Iterator[Clip]:
    """Draw one clip of `length` new tokens for each prime, batch by batch; the primes are equally long.

    engine: what steps the model and samples; without one the fastest that fits, with plain sampling.
    label: class of all clips; without one, a model with classes takes each prime's own.
    dither: frees clips that are trapped, each of which is drawn again for that, by itself.
    rate: tokens per second, for the real-time factor that progress shows (None: none is shown).
    Ctrl-C passes on as KeyboardInterrupt once the clips of the batch were given as far as they are drawn; so it does
    where `stop` was asked for meanwhile.
    Raises UsageError where a model with classes knows no label of a clip, or one with features no features.
    """
    progress, stop = progress or Silent(), stop or Stop()
    primes = conditioned(model, primes, label)
    engine = engine or choose_engine(model, progress=progress)
    progress.begin("drawing", len(primes) * length, "tokens")
    meter, trapped, dithered = _Meter(progress, rate), 0, 0
    batch = partial(_draw_batch, model, length=length, seed=seed, meter=meter, stop=stop)
    try:
        for first in range(0, len(primes), batch_size):
            group = primes[first : first + batch_size]
            for clip in batch(engine.make(len(group)), group, range(first, first + len(group))):
                if dither is None or clip.unfinished or stop.asked or not dither.trapped(clip.tokens):
                    yield clip
                    continue
                freeing = dither.over(engine.make(1))
                for freed in batch(freeing, [clip.prime], [clip.number], again=True):
                    if not freed.unfinished:
                        trapped, dithered = trapped + 1, dithered + freeing.dithered
                        yield replace(freed, seconds=clip.seconds + freed.seconds, dithered=freeing.dithered)
                if stop.asked:
                    yield clip
            if stop.asked:
                raise KeyboardInterrupt
        if dither is not None:
            share = dithered / max(1, trapped * length)
            found = f"dither: clips that were trapped: {trapped} of {len(primes)}"
            progress.say(f"{found}, drawn again, {share:.1%} at temperature 1" if trapped else found)
    finally:
        progress.end()


class _Meter:
    """Tells progress how much is drawn and how fast."""

    def __init__(self, progress: Progress, rate: float | None) -> None:
        self._progress, self._rate = progress, rate
        self._new, self._all, self._seconds = 0, 0, 0.0  # tokens, tokens with those drawn again

    def add(self, block: Block, *, again: bool) -> None:
        self._new += 0 if again else block.bits.size
        self._all += block.bits.size
        self._seconds += block.seconds
        speed = self._all / max(1e-9, self._seconds)
        shown: dict[str, float | str] = {"tokens/s": f"{speed:,.0f}"}
        if self._rate:
            shown["real-time factor"] = f"{speed / self._rate:.3f}"
        self._progress.update(self._new, **shown)


def _draw_batch(
    model: CausalModel,
    engine: Engine,
    primes: Sequence[Prime],
    numbers: Sequence[int],
    *,
    length: int,
    seed: int,
    meter: _Meter,
    stop: Stop,
    again: bool = False,
) -> Iterator[Clip]:
    """The clips of one batch, when all are drawn, or as far as they are when Ctrl-C comes, of which `stop` hears."""
    drawn = [KeptTokens(length, model.tokens.values, model.tokens.shape) for _ in primes]
    bits, done, seconds = np.zeros(len(primes)), 0, 0.0
    try:
        for block in draw_blocks(engine, model, primes, length, ClipUniforms(seed, numbers)):
            for kept, tokens in zip(drawn, block.tokens, strict=True):
                kept.append(tokens)
            bits, done = bits + block.bits.sum(axis=1), done + block.bits.shape[1]
            seconds += block.seconds
            meter.add(block, again=again)
    except KeyboardInterrupt:
        stop.asked = True
    for row, number in enumerate(numbers if done else []):
        tokens = drawn[row].tokens()
        tokens = tokens if len(tokens) == done else tokens[:done]  # a stop came between two clips' parts of a block
        yield Clip(number, primes[row], tokens, bits[row] / done, seconds / len(primes), unfinished=done < length)


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
