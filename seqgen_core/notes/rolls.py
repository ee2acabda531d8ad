"""Piano rolls as notes: what is held, from which frame to which, on which key.

A roll (T, K) has a one where key k sounds in frame t. It does not know where a key is struck again at once: frames of
one key that follow on each other are one held note.
"""

import numpy as np
from numpy.typing import NDArray

from seqgen_core.settings.codec import NotesCodecSettings

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
BLACK_KEYS = frozenset({1, 3, 6, 8, 10})
"""Semitones above C."""


def held_notes(roll: NDArray[np.integer]) -> NDArray[np.int64]:
    """A roll (T, K) -> its notes (n, 3), each (first frame, frame after the last, key), ordered by these."""
    padded = np.zeros((len(roll) + 2, roll.shape[1]), np.int8)
    padded[1:-1] = roll != 0
    changes = np.diff(padded, axis=0).T  # (K, T + 1)
    keys, starts = np.nonzero(changes == 1)
    stops = np.nonzero(changes == -1)[1]  # of one key, each start is followed by its stop
    order = np.lexsort((keys, stops, starts))
    return np.stack([starts, stops, keys], axis=1)[order].astype(np.int64)


def note_name(number: int) -> str:
    """Name of a MIDI note number: 60 is C4, 21 is A0, the lowest key of a piano."""
    return f"{_NAMES[number % 12]}{number // 12 - 1}"


def key_range(settings: NotesCodecSettings) -> str:
    """The keys of a codec in words, such as A0 to C8."""
    return f"{note_name(settings.lowest)} to {note_name(settings.lowest + settings.keys - 1)}"
