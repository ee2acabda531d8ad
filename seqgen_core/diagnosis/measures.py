"""What is measured of a clip, and of real pieces of its length to stand beside it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis import periods, sound
from seqgen_core.diagnosis.pieces import code_step, pieces
from seqgen_core.settings.codec import AudioCodecSettings

REAL_PIECES = 48
"""Of real sound that clips are compared with."""
MOST_SECONDS = 30.0
"""Of a clip that are looked at, its last ones."""
QUIET_DB = -60.0  # a constant has less, and so have a few codes of mu-law around zero
TONE_SECONDS = 8.0
"""Of these, the last, in which tones are looked for."""
HEARD_DB = -55.0
"""Level below which a clip has no spectrum worth a word."""
LOOP_SHORTEST = 0.05  # seconds


@dataclass(frozen=True)
class Measured:
    """What is measured of a clip, or of a real piece of the same length."""

    level: float
    flatness: float
    high: float
    line: float
    repetition: periods.Repetition
    """Of the latter half, of that 4 s at most."""
    whole: periods.Repetition
    """Of all of it, as the next of its last quarter; not measured of real pieces."""
    ending: periods.Repetition
    quiet_end: float
    """Seconds."""
    longest_quiet: float
    """Seconds."""
    quiet_share: float
    """Of its frames."""
    clipping: sound.Clipping
    offset: tuple[float, float]
    """The mean, and its size as a share of the RMS."""
    tonality: float
    """Decibels, `sound.tonality`; NaN of what is very short or silent."""


@dataclass(frozen=True)
class Real:
    """What real pieces of the length of a clip measure at the most."""

    low_level: float
    high_level: float
    flatness: float
    high: float
    line: float
    quiet_seconds: float
    clipped: float
    offset: float
    tonality: float
    """Their median, of those that are not among the quietest twentieth; NaN where none is known, as the next."""
    least_tonality: float


def measure(waveform: NDArray[np.floating], rate: int, step: float = 2**-15, *, loops: bool = True) -> Measured:
    """Measure a clip (N,); of one that is long, its end. step: the quantisation step at its peak. loops: whether they
    are looked for."""
    x = np.asarray(waveform, np.float64)[-round(MOST_SECONDS * rate) :]
    longest, ending = sound.quiet_stretches(x, rate, QUIET_DB)
    late = x[len(x) // 2 :][-round(4 * rate) :]
    return Measured(
        sound.level(x),
        sound.flatness(x, rate),
        sound.high_share(x, rate),
        sound.line_share(late, rate) if sound.level(late) > HEARD_DB else 0.0,
        *(_loop(part, rate, loops) for part in (late, x, x[-(len(x) // 4) :])),
        ending,
        longest,
        sound.silent_share(x, rate, QUIET_DB),
        sound.clipping(x, step),
        sound.offset(x),
        sound.tonality(x[-round(TONE_SECONDS * rate) :], rate),
    )


def _loop(part: NDArray[np.float64], rate: int, wanted: bool) -> periods.Repetition:
    if not wanted or sound.level(part) <= HEARD_DB:
        return periods.Repetition(0.0, 0.0, 0.0)
    return periods.repetition(part, rate, LOOP_SHORTEST, MOST_SECONDS)


def real_measures(data: PreparedData, seconds: float) -> Real:
    """What up to REAL_PIECES pieces of the training sound of that length measure, evenly spread."""
    codec = data.manifest.codec
    assert isinstance(codec, AudioCodecSettings)
    length = max(16, round(min(seconds, MOST_SECONDS) * codec.rate))
    found = []
    for piece in pieces(data, "train", most=REAL_PIECES * length, longest=length):
        wave = AudioCodec(codec).decode(piece.tokens)
        found.append(measure(wave, codec.rate, code_step(codec, wave), loops=False))
        if len(found) >= 4 * REAL_PIECES:  # of recordings that are much shorter than the clip
            break
    loud = [one for one in found if one.level > HEARD_DB] or found
    levels = [one.level for one in found]
    low = float(np.percentile(levels, 5))
    tones = [one.tonality for one in loud if one.level >= low and np.isfinite(one.tonality)] or [float("nan")]
    return Real(
        low,
        float(np.percentile(levels, 95)),
        max(one.flatness for one in loud),
        max(one.high for one in loud),
        max(one.line for one in loud),
        max(one.longest_quiet for one in found),
        max(one.clipping.share for one in found),
        max(abs(one.offset[0]) for one in found),
        float(np.median(tones)),
        min(tones),
    )
