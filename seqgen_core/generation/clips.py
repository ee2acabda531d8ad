"""Whole clips from a run: what to start from, drawing them in batches, and what is known of each."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.errors import UsageError
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.stream import Filters, draw_tokens
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent

DEFAULT_PRIME_SECONDS = 2.0


@dataclass(frozen=True)
class Prime:
    """What a clip continues: tokens int64 (P,), where they come from, and the place of the first one there."""

    tokens: np.ndarray
    origin: str
    start: int = 0


@dataclass(frozen=True)
class Clip:
    """A drawn clip: its number, its prime (None from silence), new tokens int64 (N,), mean bits per new token."""

    number: int
    prime: Prime | None
    tokens: np.ndarray
    bits_per_token: float


def prime_length(model: CausalModel, codec: AudioCodec, seconds: float | None) -> int:
    """Tokens of a prime: as asked, else the receptive field or DEFAULT_PRIME_SECONDS, whichever is longer."""
    if seconds is not None:
        return max(1, round(seconds * codec.rate))
    return max(model.receptive_field or 1, round(DEFAULT_PRIME_SECONDS * codec.rate))


def draw_primes(streams: Sequence[tuple[str, np.ndarray]], length: int, count: int, seed: int) -> list[Prime]:
    """Excerpts of `length` tokens for clips 0 to count − 1, each place picked by (seed, clip number) alone.

    streams: (origin, tokens) of the recordings to draw from; every place is equally likely. Recordings shorter than
    the length are continued whole when no longer one is there. Raises UsageError when there is none at all.
    """
    usable = [(origin, tokens) for origin, tokens in streams if len(tokens) >= 1]
    if not usable:
        raise UsageError(
            "The split holds no recording to continue.", hint="Choose another with --split, or use --prime."
        )
    longest = max(len(tokens) for _, tokens in usable)
    length = min(length, longest)
    usable = [(origin, tokens) for origin, tokens in usable if len(tokens) >= length]
    places = np.cumsum([len(tokens) - length + 1 for _, tokens in usable])
    primes = []
    for clip in range(count):
        rng = np.random.default_rng([seed, clip, 1])  # the 1 sets it apart from the clip's sampling stream
        pick = int(rng.integers(places[-1]))
        which = int(np.searchsorted(places, pick, side="right"))
        start = pick - (int(places[which - 1]) if which else 0)
        origin, tokens = usable[which]
        primes.append(Prime(np.asarray(tokens[start : start + length], np.int64), origin, start))
    return primes


def prime_from_waveform(waveform: np.ndarray, codec: AudioCodec, path: Path, length: int) -> Prime:
    """The last `length` samples of a person's own recording as a prime (all of it where it is shorter)."""
    tokens = np.asarray(codec.encode(waveform), np.int64)
    if len(tokens) == 0:
        raise UsageError(f"{path} holds no sound.")
    start = max(0, len(tokens) - length)
    return Prime(tokens[start:], str(path), start)


def draw_clips(
    model: CausalModel,
    start_token: int,
    primes: Sequence[Prime] | None,
    *,
    count: int,
    length: int,
    batch_size: int,
    seed: int,
    filters: Filters | None = None,
    label: int | None = None,
    progress: Progress | None = None,
    rate: int = 0,
) -> Iterator[Clip]:
    """Draw clips 0 to count − 1 of `length` new tokens each, batch by batch.

    primes: one per clip, equally long, or None: then each starts from one `start_token` (silence).
    rate: tokens per second, for the real-time factor that progress shows (0: none is shown).
    """
    progress = progress or Silent()
    device = next(model.parameters()).device
    progress.begin("drawing", count * length, "tokens")
    started, done = time.monotonic(), 0
    try:
        for first in range(0, count, batch_size):
            numbers = range(first, min(count, first + batch_size))
            if primes is not None:
                heard = np.stack([primes[number].tokens for number in numbers])
            else:
                heard = np.full((len(numbers), 1), start_token, np.int64)
            condition = torch.full((len(numbers),), label, device=device) if label is not None else None
            drawn = np.empty((len(numbers), length), np.int64)
            bits = np.zeros(len(numbers))
            steps = draw_tokens(model, heard, length, ClipUniforms(seed, numbers), filters or Filters(), condition)
            for place, step in enumerate(steps):
                drawn[:, place] = step.tokens
                bits += step.bits
                done += len(numbers)
                if place % 64 == 63 or place + 1 == length:
                    speed = done / max(1e-9, time.monotonic() - started)
                    shown = {"tokens/s": f"{speed:,.0f}"}
                    if rate:
                        shown["real-time factor"] = f"{speed / rate:.3f}"
                    progress.update(done, **shown)
            for row, number in enumerate(numbers):
                yield Clip(number, primes[number] if primes is not None else None, drawn[row], bits[row] / length)
    finally:
        progress.end()
