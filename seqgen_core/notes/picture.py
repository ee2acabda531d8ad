"""Piano rolls to pictures: time to the right in seconds, pitch upwards, black keys as shaded rows, names at the Cs."""

import io
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from seqgen_core.files import write_bytes_atomically
from seqgen_core.notes.rolls import BLACK_KEYS, held_notes, note_name
from seqgen_core.settings.codec import NotesCodecSettings

DPI = 120
_MARGIN = 3  # semitones shown beyond the lowest and the highest note
_FEWEST = 24  # semitones shown at least
_INK, _LINE, _SHADE = "#4a5060", "#c9ced8", "#f3f4f8"


def draw_roll(path: Path, roll: ArrayLike, settings: NotesCodecSettings) -> None:
    """Draw a roll (frames, keys) as a PNG file, atomically. Raises OSError."""
    memory = io.BytesIO()
    _canvas(np.asarray(roll), settings).print_png(memory)
    write_bytes_atomically(Path(path), memory.getvalue())


def roll_image(roll: ArrayLike, settings: NotesCodecSettings) -> NDArray[np.uint8]:
    """The same picture as an array, uint8 (H, W, 3)."""
    canvas = _canvas(np.asarray(roll), settings)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _canvas(roll: NDArray[np.integer], settings: NotesCodecSettings) -> FigureCanvasAgg:
    notes = held_notes(roll)
    seconds = max(len(roll), 1) / settings.rate
    low, high = _range(notes, settings)
    size = (float(np.clip(3 + 0.3 * seconds, 8, 20)), float(np.clip(0.9 + 0.075 * (high - low), 2.8, 7)))  # inches
    figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number in range(low, high):
        if number % 12 in BLACK_KEYS:
            axes.axhspan(number - 0.5, number + 0.5, color=_SHADE, linewidth=0, zorder=0)
    octaves = [number for number in range(low, high) if number % 12 == 0]
    axes.hlines([number - 0.5 for number in octaves], 0, seconds, colors=_LINE, linewidth=0.8, zorder=0.5)
    axes.grid(axis="x", color=_LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    if len(notes):
        left, right = notes[:, 0] / settings.rate, notes[:, 1] / settings.rate
        pitch = notes[:, 2] + settings.lowest
        down, up = pitch - 0.42, pitch + 0.42
        corners = np.stack([left, down, left, up, right, up, right, down], axis=1).reshape(-1, 4, 2)
        colours = colormaps["viridis"](0.08 + 0.72 * (pitch - low) / (high - low))
        frame = size[0] * DPI / (seconds * settings.rate)  # pixels, about
        gap = min(0.6, 0.1 * frame)  # points of white around a note, less where notes are narrow
        axes.add_collection(PolyCollection(list(corners), facecolors=colours, edgecolors="white", linewidths=gap))
    axes.set_xlim(0, seconds)
    axes.set_ylim(low - 0.5, high - 0.5)
    axes.set_yticks(octaves, [note_name(number) for number in octaves])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 5, 10]))
    axes.set_xlabel("seconds", color=_INK)
    axes.tick_params(colors=_INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return canvas


def _range(notes: NDArray[np.int64], settings: NotesCodecSettings) -> tuple[int, int]:
    """The lowest MIDI number shown and the one above the highest."""
    if not len(notes):
        return 60 - _FEWEST // 2, 60 + _FEWEST // 2
    low = settings.lowest + int(notes[:, 2].min()) - _MARGIN
    high = settings.lowest + int(notes[:, 2].max()) + _MARGIN + 1
    short = max(0, _FEWEST - (high - low))
    return low - short // 2, high + short - short // 2
