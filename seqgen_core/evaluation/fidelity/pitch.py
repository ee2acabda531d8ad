"""Pitch of each frame by YIN, and how clips of music or speech use it.

Source: de Cheveigné & Kawahara 2002, YIN, a fundamental frequency estimator for speech and music, JASA 111(4),
sections II.A to II.E (steps 1 to 5; the search for a better neighbouring frame, step 6, is left out). The difference
function of all frames is taken at once by Fourier transforms. Sound of less than 16 samples a period, such as 900 Hz at
4 kHz, may be heard an octave too low.
Axes: N samples, K frames, W samples of the window, L lags in samples.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 55.0, 1000.0  # Hz: from the A of a bass to above the singing voice
WINDOW_SECONDS = 0.03
HOP_SECONDS = 0.01
THRESHOLD = 0.15
"""Share of aperiodic power below which a frame has a pitch; the paper's 0.1 with room for 8 bits and a second voice."""
QUIET = 1e-3
"""Root mean square below which a frame is silent: the lowest steps of 8-bit mu-law."""
_BLOCK = 512  # frames taken at once, so that memory does not grow with a clip


def frame_pitches(waveform: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    """f0 (K,) in Hz of each 10 ms of a waveform (N,); NaN where it has no pitch, or is silent."""
    window, hop = max(8, round(WINDOW_SECONDS * rate)), max(1, round(HOP_SECONDS * rate))
    longest, shortest = math.ceil(rate / LOWEST), max(2, math.floor(rate / HIGHEST))
    sound = np.asarray(waveform, np.float64)
    size = window + longest + 1
    if len(sound) < size:
        return np.full(0 if not len(sound) else 1, np.nan)
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]  # (K, W + L)
    found = np.full(len(frames), np.nan)
    for first in range(0, len(frames), _BLOCK):
        block = frames[first : first + _BLOCK]
        loud = np.sqrt(np.square(block).mean(axis=1)) > QUIET
        if loud.any():
            found[first : first + _BLOCK][loud] = _yin(block[loud], rate, window, shortest, longest)
    return found


def _yin(frames: NDArray[np.float64], rate: int, window: int, shortest: int, longest: int) -> NDArray[np.float64]:
    difference, aperiodic = _differences(frames, window, longest + 1)  # both (K, L + 2), lag 0 first
    inner = aperiodic[:, 1:-1]
    valley = (inner <= aperiodic[:, :-2]) & (inner < aperiodic[:, 2:]) & (inner < THRESHOLD)  # lags 1 to L
    valley[:, : shortest - 1] = False
    voiced = valley.any(axis=1)
    lag = valley.argmax(axis=1) + 1
    row = np.arange(len(frames))
    before, at, after = (difference[row, lag + step] for step in (-1, 0, 1))  # a parabola through these is unbiased
    curve = before - 2 * at + after
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.where(curve > 0, (before - after) / (2 * curve), 0.0)
    return np.where(voiced, rate / (lag + np.clip(vertex, -0.5, 0.5)), np.nan)


def _differences(
    frames: NDArray[np.float64], window: int, lags: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For lags 0 to `lags` the difference function d of equation 6, and d' of equation 8, d over its mean so far."""
    length = 1 << (frames.shape[1] + window - 1).bit_length()
    kernel = np.fft.rfft(frames[:, :window], length)
    products = np.fft.irfft(np.fft.rfft(frames, length) * kernel.conj(), length)[:, : lags + 1]
    energy = np.concatenate([np.zeros((len(frames), 1)), np.cumsum(np.square(frames), axis=1)], axis=1)
    shifted = energy[:, window : window + lags + 1] - energy[:, : lags + 1]
    difference = np.maximum(0, shifted[:, :1] + shifted - 2 * products)
    difference[:, 0] = 0
    below = np.cumsum(difference, axis=1)[:, 1:]
    normalised = np.ones_like(difference)
    np.divide(difference[:, 1:] * np.arange(1, lags + 1), below, out=normalised[:, 1:], where=below > 0)
    return difference, normalised


def cents(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hundredths of a semitone above the A of 440 Hz."""
    return 1200 * np.log2(hertz / 440)


def voiced_share(pitches: NDArray[np.float64]) -> float:
    """Share of a clip's frames (K,) that have a pitch; NaN without frames."""
    return float(np.isfinite(pitches).mean()) if len(pitches) else math.nan


def pooled(pitches: Sequence[NDArray[np.float64]], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """Cents of all frames with a pitch in the chosen clips."""
    every = np.concatenate([pitches[clip] for clip in chosen]) if len(chosen) else np.empty(0)
    return cents(every[np.isfinite(every)])


def median_cents(pitches: Sequence[NDArray[np.float64]], chosen: NDArray[np.intp]) -> float:
    """Median pitch of the chosen clips in cents from 440 Hz; NaN where none has a pitch."""
    every = pooled(pitches, chosen)
    return float(np.median(every)) if len(every) else math.nan


def spread_cents(pitches: Sequence[NDArray[np.float64]], chosen: NDArray[np.intp]) -> float:
    """From the 25th to the 75th percentile of the pitch of the chosen clips, in cents; NaN where none has a pitch."""
    every = pooled(pitches, chosen)
    return float(np.subtract(*np.percentile(every, [75, 25]))) if len(every) else math.nan
