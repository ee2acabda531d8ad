"""Piano rolls to sound: every note a plucked string, as a sum of decaying partials.

The partials' strengths are those of an ideal string plucked at a point (its n-th mode moves as sin(n pi p) / n^2 and is
heard through its velocity, so as sin(n pi p) / n); a stiff string's partials lie a little sharp, and the higher ones,
like the higher notes, die away faster (Fletcher and Rossing, The Physics of Musical Instruments, chapters 2 and 12).
A key that is let go is damped within some hundredths of a second, so that nothing clicks.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqgen_core.notes.rolls import held_notes
from seqgen_core.settings.codec import NotesCodecSettings

ATTACK, RELEASE = 0.004, 0.08  # seconds
PEAK = 0.9  # above which the whole is turned down
_GAIN = 0.22  # of one note, so that a chord of four stays below the peak
_PARTIALS = 16
_PLUCK = 0.18  # place of the pluck as a share of the string
_STIFFNESS = 2e-4  # inharmonicity of a piano's middle
_RING = 1.4  # seconds in which the fundamental of A4 falls to 1 / e; an octave down, a half more


def render_sound(roll: ArrayLike, settings: NotesCodecSettings, rate: int = 16000) -> NDArray[np.float32]:
    """A roll (frames, keys) -> float32 (T,) at `rate` Hz: its frames and the ring of the last note.

    Below 0.9 in amplitude; the same roll always gives the same sound.
    """
    grid = np.asarray(roll)
    edges = np.round(np.arange(len(grid) + 1) / settings.rate * rate).astype(np.int64)  # samples where frames begin
    release = round(RELEASE * rate)
    waveform = np.zeros(edges[-1] + release)
    notes = held_notes(grid)
    damping = 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, release))
    for key in np.unique(notes[:, 2]).tolist():
        spans = [(edges[start], edges[stop]) for start, stop, _ in notes[notes[:, 2] == key].tolist()]
        tone = _GAIN * _tone(settings.lowest + key, max(stop - start for start, stop in spans) + release, rate)
        for start, stop in spans:
            waveform[start:stop] += tone[: stop - start]
            waveform[stop : stop + release] += tone[stop - start : stop - start + release] * damping
    loudest = np.abs(waveform).max(initial=0)
    return (waveform * min(1.0, PEAK / max(loudest, 1e-9))).astype(np.float32)


def _tone(number: int, length: int, rate: int) -> NDArray[np.float64]:
    """One string (length,) that rings undamped, from its pluck on; number: MIDI note."""
    time = np.arange(length) / rate
    fundamental = 440 * 2 ** ((number - 69) / 12)  # Hz
    ring = _RING * 1.5 ** ((69 - number) / 12)
    tone, total = np.zeros(length), 0.0
    for partial in range(1, _PARTIALS + 1):
        hertz = partial * fundamental * np.sqrt(1 + _STIFFNESS * partial**2)
        strength = abs(np.sin(np.pi * partial * _PLUCK)) / partial
        total += strength
        if hertz < 0.45 * rate:
            fall = np.exp(-time / ring * (1 + 0.25 * (partial - 1)))
            tone += strength * fall * np.sin(2 * np.pi * hertz * time)
    attack = min(length, round(ATTACK * rate))
    tone[:attack] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(attack) / max(attack, 1))
    return tone / total
