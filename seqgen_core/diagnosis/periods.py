"""Periods of a waveform (N,) in seconds: of a loop, of the pitch, of the beat.

Axes: N samples, K frames.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.floating]


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
