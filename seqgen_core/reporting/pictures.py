"""Waveforms, spectrograms, piano rolls and images as what HTML embeds: paths of SVG and PNG files in data addresses.

Paths lie in a rectangle that the page stretches; places of ticks are percent of it.
Axes: N samples, K frames, F bands, H rows, W columns, C colours.
"""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image as Picture

from seqgen_core.audio.features import FLOOR_DB, mel_spectra
from seqgen_core.errors import UsageError
from seqgen_core.notes.rolls import BLACK_KEYS, held_notes, note_name
from seqgen_core.reporting.curves import Tick
from seqgen_core.settings.codec import NotesCodecSettings
from seqgen_core.settings.features import MelSettings

COLUMNS, HALF = 480, 100
"""Of a waveform's picture: columns, and height above and below zero."""
FRAMES = 400
"""Columns of a spectrogram, about."""
BANDS = (64, 40, 24, 12, 6)
"""Mel bands, as many as the sampling rate allows."""
WINDOW_SECONDS = 0.032
DEPTH_DB = 70.0
"""Decibels from the brightest to the darkest colour of a spectrogram."""
LEVELS = 64  # colours of a spectrogram
_HERTZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000)
_CLOSEST = 12.0  # percent between two frequencies that are named
_FEWEST_KEYS = 24


@dataclass(frozen=True)
class Waves:
    """Paths of the part that was given and of the rest."""

    given: str
    new: str


@dataclass(frozen=True)
class RollPicture:
    """Paths of notes, frames across and keys downward. rows: shaded ones; names: of the Cs, in percent from the top."""

    width: int
    height: int
    given: str
    new: str
    rows: str
    names: tuple[Tick, ...]


def address(data: bytes, mime: str) -> str:
    """Bytes as a data address."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def waves(waveform: np.ndarray, peak: float, seam: float = 0.0) -> Waves:
    """The outline of a waveform (N,), full height at `peak`. seam: share of it that was given."""
    count = max(1, min(COLUMNS, len(waveform)))
    edges = np.linspace(0, len(waveform), count + 1).astype(int)
    starts = edges[:-1].clip(max=max(0, len(waveform) - 1))
    heard = waveform if len(waveform) else np.zeros(1, np.float32)
    high = np.maximum.reduceat(heard, starts)
    low = np.minimum.reduceat(heard, starts)
    scale = HALF / max(peak, 1e-6)
    above = np.clip(np.rint(HALF - high * scale), 0, 2 * HALF).astype(int)
    below = np.clip(np.rint(HALF - low * scale), 0, 2 * HALF).astype(int)
    across = np.rint(np.arange(count + 1) * COLUMNS / count).astype(int)
    split = round(seam * count)
    return Waves(_outline(across, above, below, 0, split), _outline(across, above, below, split, count))


def spectra(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Log-mel spectra float32 (K, F) in dB below a sine of full scale, about FRAMES of them."""
    hop = max(1, math.ceil(len(waveform) / FRAMES))
    window = max(8, hop, round(WINDOW_SECONDS * rate))
    for bands in BANDS:
        try:
            frames = mel_spectra(waveform, MelSettings(rate=rate, bands=bands, hop=hop, window=window))
        except UsageError:  # too narrow for so low a rate
            continue
        return (1 - frames) / 2 * FLOOR_DB
    return np.full((1, BANDS[-1]), FLOOR_DB, np.float32)


def spectrogram(decibels: np.ndarray, top: float) -> str:
    """Spectra (K, F) as a PNG's data address: time to the right, low bands below, `top` dB the brightest."""
    from matplotlib import colormaps

    share = np.clip((decibels - top) / DEPTH_DB + 1, 0, 1)
    picture = Picture.fromarray(np.rint(share * (LEVELS - 1)).astype(np.uint8).T[::-1], "P")
    colours = (colormaps["magma"](np.linspace(0, 1, LEVELS))[:, :3] * 255).round().astype(np.uint8)
    picture.putpalette(colours.tobytes())
    return _png(picture)


def frequencies(rate: int) -> tuple[Tick, ...]:
    """Round frequencies with their places on the mel scale, in percent from the top."""
    top, ticks = math.log1p(rate / 2 / 700), list[Tick]()
    for hertz in _HERTZ:
        place = 100 * (1 - math.log1p(hertz / 700) / top)
        if 3 < place < 93 and (not ticks or ticks[-1].place - place >= _CLOSEST):
            ticks.append(Tick(place, f"{hertz / 1000:g} kHz" if hertz >= 1000 else f"{hertz} Hz", hertz))
    return tuple(ticks)


def key_span(rolls: list[np.ndarray], codec: NotesCodecSettings) -> tuple[int, int]:
    """The lowest key that some rolls (F, keys) use, and the one above the highest, with some room."""
    used = [np.flatnonzero(roll.any(axis=0)) for roll in rolls if roll.any()]
    low = min((int(keys[0]) for keys in used), default=codec.keys // 2) - 2
    high = max((int(keys[-1]) for keys in used), default=codec.keys // 2) + 3
    short = max(0, _FEWEST_KEYS - (high - low))
    return low - short // 2, high + short - short // 2


def roll_picture(roll: np.ndarray, codec: NotesCodecSettings, span: tuple[int, int], seam: int) -> RollPicture:
    """A roll (F, keys) within a span of keys. seam: frames that were given; a note belongs where it begins."""
    low, high = span
    parts = {True: list[str](), False: list[str]()}
    for start, stop, key in held_notes(roll).tolist():
        for first, last in [(start, min(stop, seam)), (max(start, seam), stop)]:
            if last > first:
                parts[first < seam].append(
                    f"M{10 * first} {10 * (high - 1 - key) + 1}h{10 * (last - first) - 1}v8h{1 - 10 * (last - first)}z"
                )
    width = max(1, len(roll))
    rows = "".join(
        f"M0 {10 * (high - 1 - key)}h{10 * width}v10H0z" for key in range(low, high) if _pitch(key, codec) in BLACK_KEYS
    )
    names = tuple(
        Tick(100 * (high - 0.5 - key) / (high - low), note_name(codec.lowest + key), key)
        for key in range(low, high)
        if _pitch(key, codec) == 0
    )
    return RollPicture(10 * width, 10 * (high - low), "".join(parts[True]), "".join(parts[False]), rows, names)


def image_address(pixels: np.ndarray) -> str:
    """An image uint8 (H, W, C) as a PNG's data address."""
    return _png(Picture.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def _pitch(key: int, codec: NotesCodecSettings) -> int:
    return (codec.lowest + key) % 12


def _outline(across: np.ndarray, above: np.ndarray, below: np.ndarray, first: int, stop: int) -> str:
    if stop <= first:
        return ""
    there = [f"{across[k]} {above[k]}" for k in range(first, stop)] + [f"{across[stop]} {above[stop - 1]}"]
    back = [f"{across[stop]} {below[stop - 1]}"] + [f"{across[k]} {below[k]}" for k in range(stop - 1, first - 1, -1)]
    return f"M{'L'.join(there)}L{'L'.join(back)}z"


def _png(picture: Picture.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return address(buffer.getvalue(), "image/png")
