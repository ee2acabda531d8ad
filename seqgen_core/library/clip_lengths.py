"""How long the clips of `--quality` are: as asked, or as long as leaves enough real ones; known before any work.

Axes: N tokens of a clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.library import samples
from seqgen_core.library.held_out import FEWEST, count_stretches, recordings
from seqgen_core.library.samples import Sample
from seqgen_core.progress import Progress
from seqgen_core.settings.codec import CodecSettings, PixelsCodecSettings
from seqgen_core.settings.evaluate import EvaluateSettings
from seqgen_core.streams import Stream

if TYPE_CHECKING:
    from seqgen_core.library.run import Run

ENOUGH = 8
"""Stretches of real sound, or text, that are left where clips must be shortened at all."""


@dataclass(frozen=True)
class Planned:
    """Lengths N of continuations and of clips from nothing, None where there are none, or features tell; or the clips
    that were written before."""

    continued: int | None
    free: int | None
    written: tuple[Sample, ...] | None = None


def plan(run: "Run", settings: EvaluateSettings, progress: Progress) -> Planned:
    """Count what is held out before anything is drawn or scored; shorten clips that nobody asked a length for.

    Raises UsageError for data that no measure fits or too long clips, SeqgenError where too little is held out.
    """
    codec, data = run.settings.data.codec, run.data(progress)
    if any(item.given > 1 for item in data.items(settings.split)):
        raise UsageError(
            f"{data.path} holds a task, whose answers are right or wrong.", hint="Leave --quality out: accuracy tells."
        )
    held_out, every = held_out_of(data, settings)
    if not held_out:
        raise UsageError(f"The {settings.split} split of {data.path} holds no recording.", hint="Choose another.")
    asked = settings.seconds is not None or settings.length is not None
    if settings.clips_from is not None:
        written = samples.written(settings.clips_from, codec)
        for some, streams in (
            ([c for c in written if c.origin], held_out),
            ([c for c in written if not c.origin], every),
        ):
            if len(some) > 1:
                _fitting(streams, int(np.median([len(clip.tokens) for clip in some])), codec, None, progress)
        return Planned(None, None, tuple(written))
    continued = free = None
    told = bool(getattr(run.settings.model, "local_features", 0))
    if isinstance(codec, PixelsCodecSettings):
        _fitting(every, len(every[0].tokens), codec, None, progress)
        return Planned(None, samples.clip_length(codec, settings))
    usual = int(np.median([len(stream.tokens) for stream in held_out]))
    if told:
        longest = max(len(stream.tokens) for stream in held_out)
        length = samples.clip_length(codec, settings) if asked else longest
        found = _fitting(held_out, length, codec, None if asked else "continuations", progress)
        return Planned(found if asked or found != longest else None, None)
    length = samples.clip_length(codec, settings)
    continued = length if asked else min(length, max(1, usual // 2))
    longest = max(len(stream.tokens) for stream in held_out)
    if continued >= longest and (asked or longest < 2):
        raise UsageError(
            f"No recording of the {settings.split} split is longer than the clips, {continued} {codec.unit}s.",
            hint=f"The longest has {longest}: draw shorter clips by --seconds or --length.",
        )
    continued = _fitting(held_out, min(continued, longest - 1), codec, None if asked else "continuations", progress)
    free = length
    if not asked and codec.tokens_per_second:
        free = min(free, int(np.median([len(stream.tokens) for stream in every])))
    return Planned(continued, _fitting(every, free, codec, None if asked else "clips from nothing", progress))


def held_out_of(data: PreparedData, settings: EvaluateSettings) -> tuple[list[Stream], list[Stream]]:
    """The recordings of the split, and of all that is held out."""
    return recordings(data, [settings.split]), recordings(data, ["valid", "test"])


def _fitting(streams: Sequence[Stream], length: int, codec: CodecSettings, name: str | None, progress: Progress) -> int:
    """This length, or the longest that leaves enough real stretches. name: of clips that may be shortened, or None."""
    sizes = np.array([len(stream.tokens) for stream in streams], np.int64)
    found = count_stretches(sizes, length)
    if found >= FEWEST:
        return length
    works = (_longest(sizes, length, ENOUGH) if name else None) or _longest(sizes, length, FEWEST)
    if works is None or name is None:
        shorter = "Hold more out by --valid-share and --test-share of `seqgen preprocess`, or choose another --split."
        if works is not None and not isinstance(codec, PixelsCodecSettings):
            shorter = (
                f"Draw shorter clips by --seconds or --length (--length {works} works), or choose another --split."
            )
        raise SeqgenError(
            f"The held-out recordings hold {found} stretches of that length, too few to compare with.",
            "Four or more.",
            shorter,
        )
    rate = codec.tokens_per_second
    long, short = (f"{n / rate:.3g} s" if rate else f"{n:,} {codec.unit}s" for n in (length, works))
    stretches = f"{found} stretch{'' if found == 1 else 'es'}"
    progress.say(f"{name} of {short}, since the held-out recordings hold {stretches} of {long}")
    return works


def _longest(sizes: np.ndarray, length: int, needed: int) -> int | None:
    """The longest clip, up to `length`, of which there are `needed` real stretches; None where there is none."""
    low, high = 2, length
    if high < low or count_stretches(sizes, low) < needed:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count_stretches(sizes, middle) >= needed else (low, middle - 1)
    return low
