"""Measures of a waveform (N,), float in [-1, 1], each a pure function of samples and sampling rate.

Levels are in dBFS: 0 dBFS is an RMS of 1, so a sine of full scale has -3. What lies between the measures and a verdict,
the thresholds, stands beside the checks that use them; docs/doctor.md shows what real recordings measure.
Axes: N samples, K frames, F frequencies.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.floating]

FLOOR_DB = -120.0  # of a level, where there is nothing
FRAME_SECONDS = 0.02
SPECTRUM = 1024
"""Samples of a frame of the mean spectrum: lines 16 Hz apart at 16 kHz."""
LINE_SECONDS = 0.25
"""Of a frame in which a spectral line is looked for."""
CLIPPED_RUN = 3
"""Samples in a row at the extreme that count as clipped: the peak of a wave that was not cut seldom has as many."""


def decibels(power: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """10 log10 of a power, FLOOR_DB at least."""
    return 10 * np.log10(np.maximum(np.asarray(power, np.float64), 10 ** (FLOOR_DB / 10)))


def level(waveform: Waveform) -> float:
    """Level in dBFS, the mean taken off."""
    return float(decibels(np.var(waveform, dtype=np.float64))) if len(waveform) else FLOOR_DB


def frame_levels(waveform: Waveform, rate: float) -> NDArray[np.float64]:
    """Levels in dBFS of frames of 20 ms (K,), the mean of each taken off; a rest that fills no frame is left out."""
    size = max(2, round(FRAME_SECONDS * rate))
    whole = len(waveform) // size * size
    return decibels(np.asarray(waveform[:whole], np.float64).reshape(-1, size).var(axis=1))


def silent_share(waveform: Waveform, rate: float, below: float) -> float:
    """Share of the frames of 20 ms whose level is below so many dBFS."""
    levels = frame_levels(waveform, rate)
    return float(np.mean(levels < below)) if len(levels) else 0.0


def quiet_stretches(waveform: Waveform, rate: float, below: float) -> tuple[float, float]:
    """Seconds of the longest row of frames of 20 ms below so many dBFS, and of the row that ends the waveform."""
    quiet = np.concatenate([[False], frame_levels(waveform, rate) < below, [False]])
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8)))
    lengths = (edges[1::2] - edges[::2]) * FRAME_SECONDS
    ends = len(edges) > 0 and edges[-1] == len(quiet) - 2
    return float(lengths.max(initial=0.0)), float(lengths[-1]) if ends else 0.0


@dataclass(frozen=True)
class Clipping:
    """share: of the samples, in runs of CLIPPED_RUN or more at the recording's own extremes. pile: how many times more
    samples lie at the extreme than in a band as wide just below it; a recording that was not cut thins out there."""

    share: float
    pile: float
    runs: int = 0
    """How many such runs."""


def clipping(waveform: Waveform, step: float = 2**-15) -> Clipping:
    """How much of a waveform was cut at its own extremes, as by a recorder or an export that was too loud.

    step: width of the quantisation step at the extremes, so that what fell on one code counts as equal.
    """
    x = np.asarray(waveform, np.float64)
    if not len(x) or np.abs(x).max() <= 4 * step:
        return Clipping(0.0, 0.0)
    worst = Clipping(0.0, 0.0)
    for side in (x, -x):
        top = side.max()
        if top <= 4 * step:
            continue
        at_top = side >= top - 0.5 * step
        edges = np.flatnonzero(np.diff(np.concatenate([[False], at_top, [False]]).astype(np.int8)))
        runs = edges[1::2] - edges[::2]
        runs = runs[runs >= CLIPPED_RUN]
        share = float(runs.sum()) / len(x)
        width = max(step, 0.01 * top)
        near = np.count_nonzero(side >= top - width)
        below = np.count_nonzero((side < top - width) & (side >= top - 2 * width))
        found = Clipping(share, float(near) / max(1, int(below)), len(runs))
        worst = max(worst, found, key=lambda one: one.share)
    return worst


def offset(waveform: Waveform) -> tuple[float, float]:
    """The mean, and its size as a share of the RMS of what is left when it is taken off."""
    x = np.asarray(waveform, np.float64)
    mean = float(x.mean()) if len(x) else 0.0
    return mean, abs(mean) / max(1e-9, float(x.std())) if len(x) else 0.0


def mean_spectrum(waveform: Waveform, rate: float, size: int = SPECTRUM) -> tuple[NDArray, NDArray]:
    """Frequencies in Hz (F,) and the mean power of Hann-windowed frames that overlap by half (F,).

    Source: Welch 1967, "The use of fast Fourier transform for the estimation of power spectra", IEEE Trans. AU-15(2).
    """
    x = np.asarray(waveform, np.float64)
    size = min(size, max(16, len(x)))
    x = np.pad(x, (0, max(0, size - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[:: size // 2]
    window = np.hanning(size + 1)[:-1]
    power = np.zeros(size // 2 + 1)
    for first in range(0, len(frames), 1024):
        block = frames[first : first + 1024]
        block = (block - block.mean(axis=1, keepdims=True)) * window
        power += np.square(np.abs(np.fft.rfft(block))).sum(axis=0)
    return np.fft.rfftfreq(size, 1 / rate), power / (len(frames) * np.square(window).sum() * size / 2)


def flatness(waveform: Waveform, rate: float) -> float:
    """Geometric over arithmetic mean of the mean spectrum: near 1 for white noise, near 0 for tones.

    Source: Gray and Markel 1974, "A spectral-flatness measure for studying the autocorrelation method of linear
    prediction of speech analysis", IEEE Trans. ASSP-22(3).
    """
    frequencies, power = mean_spectrum(waveform, rate, 512)
    power = power[(frequencies > 50) & (frequencies < 0.9 * rate / 2)]
    if not len(power) or power.sum() <= 0:
        return 0.0
    power = np.maximum(power, power.max() * 1e-12)
    return float(np.exp(np.log(power).mean()) / power.mean())


def high_share(waveform: Waveform, rate: float) -> float:
    """Share of the energy in the upper half of the band."""
    frequencies, power = mean_spectrum(waveform, rate)
    return float(power[frequencies >= rate / 4].sum() / max(1e-30, power.sum()))


def line_share(waveform: Waveform, rate: float) -> float:
    """Share of the energy within three bins of one and the same spectral line, in frames of a quarter of a second."""
    size = min(len(waveform), round(LINE_SECONDS * rate))
    if size < 64:
        return 0.0
    _, power = mean_spectrum(waveform, rate, size)
    place = int(power.argmax())
    return float(power[max(0, place - 3) : place + 4].sum() / max(1e-30, power.sum()))


@dataclass(frozen=True)
class Repetition:
    """seconds: the lag at which a sound repeats itself best. likeness: 1 where it does so exactly, 0 where not at all.
    equal: share of the samples that are the very same one lag before."""

    seconds: float
    likeness: float
    equal: float


def repetition(waveform: Waveform, rate: float, shortest: float, longest: float) -> Repetition:
    """How well a sound repeats itself at its best lag between `shortest` and `longest` seconds.

    The likeness at lag d is 2 sum(x[t] x[t + d]) / sum(x[t]^2 + x[t + d]^2), the normalised square difference function
    of McLeod and Wyvill 2005, "A smarter way to find pitch", section 4.
    """
    x = np.asarray(waveform, np.float64)
    x = x - x.mean() if len(x) else x
    low, high = max(1, round(shortest * rate)), min(len(x) // 2, round(longest * rate))
    if high <= low or not np.any(x):
        return Repetition(0.0, 0.0, 0.0)
    likeness = _likeness(x)[low : high + 1]
    lag = low + int((likeness >= likeness.max() - 1e-4).argmax())  # a loop is as like itself after two rounds
    same = float(np.mean(x[lag:] == x[:-lag]))
    return Repetition(lag / rate, float(likeness.max()), same)


def _likeness(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normalised square difference function at lags 0 to N - 1."""
    size = 2 ** math.ceil(math.log2(2 * len(x)))
    products = np.fft.irfft(np.square(np.abs(np.fft.rfft(x, size))))[: len(x)]
    total = np.concatenate([[0.0], np.cumsum(np.square(x))])
    lags = np.arange(len(x))
    energy = total[len(x) - lags] + total[-1] - total[lags]
    return 2 * products / np.maximum(energy, 1e-12)


def pitch_period(waveform: Waveform, rate: float) -> float | None:
    """Seconds of the pitch period, from the first lag of 2 to 20 ms whose likeness is near the best; None without one.

    As McLeod and Wyvill 2005, section 5, choose it, with their constant of 0.9 and a best of at least 0.7.
    """
    x = np.asarray(waveform, np.float64)
    low, high = max(2, round(0.002 * rate)), round(0.02 * rate)
    if len(x) < 3 * high or not np.any(x):
        return None
    likeness = _likeness(x - x.mean())
    inside = likeness[low : high + 1]
    peaks = 1 + np.flatnonzero((inside[1:-1] >= inside[:-2]) & (inside[1:-1] > inside[2:]))
    if not len(peaks) or inside[peaks].max() < 0.7:
        return None
    first = peaks[inside[peaks] >= 0.9 * inside[peaks].max()][0]
    return float((low + first) / rate)


def onset_strength(waveform: Waveform, rate: float) -> tuple[NDArray[np.float64], float]:
    """How much the spectrum rises from frame to frame (K,), and the frames per second.

    Spectral flux of log magnitudes, rises alone: Dixon 2006, "Onset detection revisited", section 2.2, with logarithms
    as in Böck, Krebs and Schedl 2012, "Evaluating the online capabilities of onset detection methods".
    """
    hop, size = max(1, round(0.01 * rate)), max(16, round(0.04 * rate))
    if len(waveform) < size + hop:
        return np.zeros(0), rate / hop
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(waveform, np.float64), size)[::hop]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))
    rises = np.maximum(0, np.diff(np.log1p(1000 * magnitude / size), axis=0))
    return rises.mean(axis=1), rate / hop


def beat_period(waveform: Waveform, rate: float) -> float | None:
    """Seconds between beats, by the autocorrelation of the onset strength at 0.25 to 1.5 s; None if unclear."""
    strength, per_second = onset_strength(waveform, rate)
    low, high = round(0.25 * per_second), round(1.5 * per_second)
    if len(strength) < 3 * high:
        return None
    x = strength - strength.mean()
    products = np.correlate(x, x, "full")[len(x) - 1 :]
    if products[0] <= 0:
        return None
    share = products / products[0] * (len(x) / (len(x) - np.arange(len(x))))
    inside = share[low : high + 1]
    peaks = 1 + np.flatnonzero((inside[1:-1] >= inside[:-2]) & (inside[1:-1] > inside[2:]))
    if not len(peaks) or inside[peaks].max() < 0.3:
        return None
    best = peaks[inside[peaks].argmax()]
    return float((low + best) / per_second)


@dataclass(frozen=True)
class BandLimit:
    """hertz: where the spectrum ends. drop: by how many decibels it falls there."""

    hertz: float
    drop: float


def band_limit(waveform: Waveform, rate: float) -> BandLimit:
    """The steepest fall of the mean spectrum, with nothing above it: of sound that was up-sampled or came from MP3.

    At each frequency f the mean level in decibels of the band from 0.85 f to 0.97 f is compared with the highest level
    of smoothed bands between 1.03 f and 0.95 of half the rate. A sound that fades out has no such fall anywhere.
    """
    frequencies, power = mean_spectrum(waveform, rate, 2048)
    nyquist = rate / 2
    smooth = np.convolve(power, np.ones(9) / 9, "same")
    shown = decibels(smooth)
    best = BandLimit(nyquist, 0.0)
    for cut in np.arange(0.15, 0.9, 0.01) * nyquist:
        below = shown[(frequencies >= 0.85 * cut) & (frequencies <= 0.97 * cut)]
        above = shown[(frequencies >= 1.03 * cut) & (frequencies <= 0.95 * nyquist)]
        if len(below) and len(above):
            drop = float(np.mean(below) - above.max())
            if drop > best.drop:
                best = BandLimit(float(cut), drop)
    return best
