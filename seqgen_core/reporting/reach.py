"""How far back the models look, laid over a real excerpt whose end is now.

Axes: T tokens of the excerpt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqgen_core.codecs import start_token
from seqgen_core.data.store import PreparedData
from seqgen_core.reporting.curves import Tick, even_ticks
from seqgen_core.reporting.facts import RunFacts
from seqgen_core.reporting.pieces import content_of
from seqgen_core.reporting.specimens import Image, Roll, Sound, Text
from seqgen_core.settings.codec import CodecSettings, PixelsCodecSettings
from seqgen_core.streams import Stream

ROOM = 1.5
"""Length of the excerpt, times the longest receptive field."""
SHORTEST = {"sample": 0.02, "frame": 8.0}
"""Seconds shown at least, by what a token is called."""
ENDLESS = {"sample": 1.0, "frame": 20.0}
"""Seconds shown of what has no end."""
CHARACTERS = (300, 1500)
"""Tokens of text shown, at least and at most."""
_PLACES = 24  # of a recording that are compared, to show one where something sounds


@dataclass(frozen=True)
class Bar:
    """One model's receptive field. share: of the excerpt's length, from its end back. beyond: whether it is longer.

    tokens and time say it in words; text, where the excerpt is text, is what of it lies before and within the field.
    """

    run: int
    name: str
    share: float
    beyond: bool
    tokens: str
    time: str
    before: str = ""
    within: str = ""


@dataclass(frozen=True)
class Shade:
    """A stretch of one row of an image, in pixels: row, first column, columns."""

    row: int
    left: int
    width: int


@dataclass(frozen=True)
class Reach:
    """A real excerpt and the receptive fields of runs over it. ticks: where times stand, in percent from the left.

    shades and spot: of an image, what the first model sees of it, and the (row, column) of the pixel to come.
    """

    codec: CodecSettings
    content: Sound | Roll | Text | Image
    origin: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...] = ()
    axis: str = ""
    shades: tuple[Shade, ...] = ()
    spot: tuple[int, int] = (0, 0)


def real_stretch(data: PreparedData, reach: int | None) -> Stream | None:
    """A held-out excerpt long enough to show a receptive field of so many tokens (None: endless), where it is loudest.

    None where the data hold nothing held out.
    """
    items = [item for split in ("test", "valid", "train") for item in data.items(split)]
    items = [item for item in items if item.split == items[0].split]
    if not items:
        return None
    codec = data.manifest.codec
    if isinstance(codec, PixelsCodecSettings):
        return data.stream(items[0])
    item = max(items, key=lambda one: one.length)
    length = min(item.length, _length(codec, reach))
    starts = np.unique(np.linspace(0, item.length - length, _PLACES).astype(int))
    tokens, silence = data.tokens(item), start_token(codec).astype(np.int64)
    if codec.tokens_per_second is None:
        start = int(starts[len(starts) // 2])
    else:
        moving = [float(np.abs(tokens[place : place + length].astype(np.int64) - silence).mean()) for place in starts]
        start = int(starts[int(np.argmax(moving))])
    return Stream(item.origin, np.asarray(tokens[start : start + length]), item.label)


def reach_figure(runs: Sequence[tuple[int, RunFacts]]) -> Reach | None:
    """The figure of runs on the same data, each with its place on the page; None where there is no excerpt."""
    shown = [(place, run) for place, run in runs if run.excerpt is not None]
    if not shown:
        return None
    excerpt = max((run.excerpt for _, run in shown if run.excerpt is not None), key=lambda one: len(one.tokens))
    codec = shown[0][1].data.codec
    content = content_of(excerpt, codec)
    if isinstance(content, Image):
        return _over_image(content, codec, excerpt, shown)
    total = len(excerpt.tokens)
    bars = tuple(_bar(place, run, codec, total, content) for place, run in shown)
    if isinstance(content, Text):
        return Reach(codec, content, excerpt.origin, bars)
    seconds = total / (codec.tokens_per_second or 1)
    factor, unit = (1000, "ms") if seconds < 2 else (1, "seconds")
    ticks = tuple(
        Tick(100 * (1 - tick.value / (seconds * factor)), f"−{tick.text}" if tick.value else "now", tick.value)
        for tick in even_ticks(0, seconds * factor, 6)
    )
    return Reach(codec, content, excerpt.origin, bars, ticks, f"{unit} before the {codec.unit} to be predicted")


def in_words(tokens: int | None, codec: CodecSettings) -> tuple[str, str]:
    """A receptive field in tokens and in time, the second empty for what takes no time."""
    if tokens is None:
        return "all before", "endless"
    rate = codec.tokens_per_second
    said = f"{tokens:,} {codec.unit}{'' if tokens == 1 else 's'}"
    if rate is None:
        return said, ""
    seconds = tokens / rate
    return said, f"{seconds:,.3g} s" if seconds >= 2 else f"{1000 * seconds:,.4g} ms"


def _length(codec: CodecSettings, reach: int | None) -> int:
    rate = codec.tokens_per_second
    if rate is None:
        return CHARACTERS[0] if reach is None else int(np.clip(math.ceil(ROOM * reach), *CHARACTERS))
    if reach is None:
        return math.ceil(ENDLESS[codec.unit] * rate)
    return max(math.ceil(ROOM * reach), math.ceil(SHORTEST[codec.unit] * rate))


def _bar(place: int, run: RunFacts, codec: CodecSettings, total: int, content: object) -> Bar:
    reach = run.receptive_field
    tokens, time = in_words(reach, codec)
    beyond = reach is None or reach > total
    share = 1.0 if reach is None else min(1.0, reach / total)
    if not isinstance(content, Text):
        return Bar(place, run.name, share, beyond, tokens, time)
    # Characters stand for themselves; of words, as many of the text's end as the field has.
    whole = content.given + content.new
    pieces = list(whole) if codec.unit == "character" else whole.split(" ")
    kept = len(pieces) if reach is None else min(reach, len(pieces))
    glue = "" if codec.unit == "character" else " "
    before, within = pieces[: len(pieces) - kept], pieces[len(pieces) - kept :]
    return Bar(place, run.name, share, beyond, tokens, time, glue.join([*before, ""]), glue.join(within))


def _over_image(content: Image, codec: CodecSettings, excerpt: Stream, shown: Sequence[tuple[int, RunFacts]]) -> Reach:
    """Of an image, the pixels that raster order lets the first model see from the middle of it."""
    height, width, channels = content.pixels.shape
    bars = []
    for place, run in shown:
        tokens, time = in_words(run.receptive_field, codec)
        rows = None if run.receptive_field is None else run.receptive_field / (width * channels)
        size = "" if rows is None else f"up to {min(height, math.ceil(rows)):,} rows of {width}"
        share = 1.0 if rows is None else min(1.0, rows / height)
        bars.append(Bar(place, run.name, share, False, tokens, size or time))
    spot = height // 2, width // 2
    now = spot[0] * width + spot[1]  # pixels before the one to come
    reach = shown[0][1].receptive_field
    seen = now if reach is None else min(now, math.ceil((reach - 1) / channels))
    shades, first = [], now - seen
    for row in range(first // width, spot[0] + 1):
        left, right = max(first, row * width), min(now, (row + 1) * width)
        if right > left:
            shades.append(Shade(row, left - row * width, right - left))
    return Reach(codec, content, excerpt.origin, tuple(bars), shades=tuple(shades), spot=spot)
