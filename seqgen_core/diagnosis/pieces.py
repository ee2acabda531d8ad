"""Stretches of prepared data and of raw files: spread evenly, in bounded time and memory however long the whole is."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import SoundFile
from seqgen_core.audio.resample import ResampleStream
from seqgen_core.data.store import Item, PreparedData, Split
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import AudioCodecSettings

MOST_SECONDS = 180.0
"""Of each split that are listened to."""
PIECE_SECONDS = 15.0
RAW_FILES = 12
"""Raw files that are read again, at most."""
RAW_SECONDS = 15.0
"""Of each of them, from its start."""
_STRETCH = re.compile(r" \[[\d.,]+–[\d.,]+( s)?\]$")


@dataclass(frozen=True)
class Piece:
    """A stretch of an item: its first token and its tokens (N,)."""

    item: Item
    start: int
    tokens: NDArray[np.unsignedinteger]


def pieces(data: PreparedData, split: Split, *, most: int, longest: int) -> list[Piece]:
    """Stretches of up to `longest` tokens of a split, `most` tokens in all, evenly spread; all of it where it fits."""
    items = data.items(split)
    total = sum(item.length for item in items)
    ends = np.cumsum([item.length for item in items])
    if total <= most:
        starts = [(item, start) for item in items for start in range(0, item.length, longest)]
    else:
        count = max(1, most // longest)
        places = (np.arange(count) * (total / count)).astype(np.int64)
        chosen = np.searchsorted(ends, places, "right")
        inside = [
            (items[number], int(place - (ends[number] - items[number].length)))
            for number, place in zip(chosen, places, strict=True)
        ]
        starts = [(item, max(0, min(start, item.length - longest))) for item, start in inside]
        starts = list({(item.key, item.offset, start): (item, start) for item, start in starts}.values())
    found, left = [], most
    for item, start in starts:
        tokens = np.asarray(data.tokens(item)[start : start + min(longest, left)])
        left -= len(tokens)
        if len(tokens):
            found.append(Piece(item, start, tokens))
        if left <= 0:
            break
    return found


def seconds_looked_at(data: PreparedData, split: Split, rate: float) -> tuple[float, float]:
    """Seconds of a split that are listened to, and that it has."""
    total = sum(item.length for item in data.items(split)) / rate
    return min(total, MOST_SECONDS), total


def sound_pieces(data: PreparedData, split: Split, seconds: float = MOST_SECONDS) -> list[Piece]:
    """`pieces` of sound."""
    rate = data.manifest.codec.tokens_per_second or 1
    return pieces(data, split, most=round(seconds * rate), longest=round(PIECE_SECONDS * rate))


def code_step(codec: AudioCodecSettings, waveform: NDArray[np.floating]) -> float:
    """Width of the quantisation step at the largest amplitude of a waveform."""
    amplitudes = AudioCodec(codec).decode(np.arange(codec.levels)).astype(np.float64)
    top = float(np.abs(waveform).max(initial=0.0))
    place = int(np.clip(np.searchsorted(amplitudes, top - 1e-9), 1, codec.levels - 1))
    return float(amplitudes[place] - amplitudes[place - 1])


def raw_file(item: Item) -> Path | None:
    """The file that an item was made of, where it still is; None for one that is gone or was never a file."""
    path = Path(_STRETCH.sub("", item.origin))
    with contextlib.suppress(OSError, ValueError):
        if path.is_file():
            return path
    return None


@dataclass(frozen=True)
class RawSound:
    """The beginning of a raw file at the data's rate, before the codec; native_rate: that of the file, in Hz."""

    path: Path
    native_rate: int
    waveform: NDArray[np.float32]


def raw_sounds(data: PreparedData, rate: int) -> Iterator[RawSound]:
    """The beginnings of raw files, spread evenly over the data, amplified as the data are; those that are gone or do
    not decode are left out."""
    origins = list({_STRETCH.sub("", item.origin): item for item in data.manifest.items}.values())
    places = np.unique(np.linspace(0, len(origins) - 1, min(len(origins), 10 * RAW_FILES)).astype(int))
    files = [path for place in places if (path := raw_file(origins[place])) is not None]
    if len(files) > RAW_FILES:
        files = [files[round(place)] for place in np.linspace(0, len(files) - 1, RAW_FILES)]
    for path in files:
        with contextlib.suppress(SeqgenError, OSError):
            yield read_beginning(path, rate, RAW_SECONDS, data.manifest.gain)


def read_beginning(path: Path, rate: int | None, seconds: float, gain: float = 1.0) -> RawSound:
    """The first seconds of a sound file, mono, at a rate (its own without one). Raises UnreadableSoundError."""
    with SoundFile(path) as sound:
        native = sound.info.rate
        stream = ResampleStream(native, rate or native)
        parts, read = [], 0
        for block in sound.blocks():
            taken = block[: round(seconds * native) - read].mean(axis=1, dtype=np.float32)
            parts.append(stream.push(taken))
            read += len(taken)
            if read >= round(seconds * native):
                break
        return RawSound(path, native, np.concatenate([*parts, stream.finish()]) * np.float32(gain))
