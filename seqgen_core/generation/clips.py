"""Whole clips from a run: what to start from, drawing them in batches, and what is known of each."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.devices import stepping_threads
from seqgen_core.errors import UsageError
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.stream import Filters, draw_tokens
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent

DEFAULT_PRIME_SECONDS = 2.0


@dataclass(frozen=True)
class Stream:
    """A recording to draw excerpts from: where it is from, its tokens (N,), its class where it has one."""

    origin: str
    tokens: np.ndarray
    label: int | None = None


@dataclass(frozen=True)
class Prime:
    """What a clip continues: tokens int64 (P,), where they come from, the place of the first one there, its class."""

    tokens: np.ndarray
    origin: str
    start: int = 0
    label: int | None = None


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


def draw_primes(streams: Sequence[Stream], length: int, count: int, seed: int) -> list[Prime]:
    """Excerpts of `length` tokens for clips 0 to count − 1, each place picked by (seed, clip number) alone.

    Every place of the recordings is equally likely. Where most recordings are shorter than `length`, as with spoken
    digits, excerpts are as long as the median recording, so that not one of them is continued alone.
    Raises UsageError when there is none at all.
    """
    usable = [stream for stream in streams if len(stream.tokens) >= 1]
    if not usable:
        raise UsageError(
            "The split holds no recording to continue.", hint="Choose another with --split, or use --prime FILE."
        )
    length = min(length, int(np.median([len(stream.tokens) for stream in usable])))
    usable = [stream for stream in usable if len(stream.tokens) >= length]
    places = np.cumsum([len(stream.tokens) - length + 1 for stream in usable])
    primes = []
    for clip in range(count):
        rng = np.random.default_rng([seed, clip, 1])  # the 1 sets it apart from the clip's sampling stream
        pick = int(rng.integers(places[-1]))
        which = int(np.searchsorted(places, pick, side="right"))
        start = pick - (int(places[which - 1]) if which else 0)
        stream = usable[which]
        heard = np.asarray(stream.tokens[start : start + length], np.int64)
        primes.append(Prime(heard, stream.origin, start, stream.label))
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
    threads: int = 0,
) -> Iterator[Clip]:
    """Draw clips 0 to count − 1 of `length` new tokens each, batch by batch.

    primes: one per clip, equally long, or None: then each starts from one `start_token` (silence).
    label: class of all clips; without one, a model with classes takes each prime's own.
    rate: tokens per second, for the real-time factor that progress shows (0: none is shown).
    threads: CPU threads; 0 picks what is quickest for the batch.
    """
    progress = progress or Silent()
    device = next(model.parameters()).device
    progress.begin("drawing", count * length, "tokens")
    started, done = time.monotonic(), 0
    try:
        for first in range(0, count, batch_size):
            numbers = range(first, min(count, first + batch_size))
            given = [primes[number] for number in numbers] if primes is not None else None
            heard = np.full((len(numbers), 1), start_token, np.int64)
            if given is not None:
                heard = np.stack([prime.tokens for prime in given])
            condition = condition_of(model, given, label, len(numbers))
            drawn = np.empty((len(numbers), length), np.int64)
            bits = np.zeros(len(numbers))
            with stepping_threads(device, len(numbers), threads):
                steps = draw_tokens(model, heard, length, ClipUniforms(seed, numbers), filters or Filters(), condition)
                for place, step in enumerate(steps):
                    drawn[:, place] = step.tokens
                    bits += step.bits
                    done += len(numbers)
                    if place % 64 == 63 or place + 1 == length:
                        progress.update(done, **_speed(done, time.monotonic() - started, rate))
            for row, number in enumerate(numbers):
                yield Clip(number, given[row] if given is not None else None, drawn[row], bits[row] / length)
    finally:
        progress.end()


def condition_of(model: CausalModel, primes: Sequence[Prime] | None, label: int | None, batch: int) -> Tensor | None:
    """Class labels int64 (B,) for a model with classes: the one label, else each prime's own; None for others.

    Raises UsageError where neither is known.
    """
    if not model.classes:
        return None
    labels = [prime.label for prime in primes] if label is None and primes is not None else [label] * batch
    if any(one is None for one in labels):
        raise UsageError("The model was trained with labels, and none is known here.", hint="Choose one by --label.")
    return torch.tensor(labels, device=next(model.parameters()).device)


def _speed(tokens: int, seconds: float, rate: int) -> dict[str, float | str]:
    speed = tokens / max(1e-9, seconds)
    shown: dict[str, float | str] = {"tokens/s": f"{speed:,.0f}"}
    if rate:
        shown["real-time factor"] = f"{speed / rate:.3f}"
    return shown
