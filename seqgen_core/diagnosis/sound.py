"""Measures of a waveform (N,), float in [-1, 1], each a pure function of samples and sampling rate.

Levels are in dBFS: 0 dBFS is an RMS of 1, so a sine of full scale has -3. What lies between the measures and a verdict,
the thresholds, stands beside the checks that use them; docs/doctor.md shows what real recordings measure.
Axes: N samples, K frames, F frequencies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.floating]

FLOOR_DB = -120.0  # of a level, where there is nothing
FRAME_SECONDS = 0.02
SPECTRUM = 1024
"""Samples of a frame of the mean spectrum: lines 16 Hz apart at 16 kHz."""
TONALITY_SECONDS, TONALITY_LINES = 0.064, 16
"""Of a frame, and the spectral lines of a band (250 Hz), in which tones are told from noise."""
NOISE_DB = 2.2
"""Tonality of white noise: 2.51 dB, as powers of its lines spread exponentially and E ln of such is -γ, less what the
mean of so few lines, neighbours of which go together under the window, is short of its expectation."""
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


def tonality(waveform: Waveform, rate: float) -> float:
    """By how many decibels lines stand out of what is around them: NOISE_DB of noise, 6 to 30 of voices and music.

    The arithmetic over the geometric mean of the power within bands of 250 Hz, of frames of 64 ms that overlap by half;
    each band weighs by its part in the frame's energy, each frame by its amplitude. Bands are so narrow that it
    matters little how noise is coloured. NaN below four frames, or where there is nothing.
    Source: the spectral flatness of Johnston 1988, "Transform coding of audio signals using perceptual noise criteria",
    IEEE J. Sel. Areas Commun. 6(2), section III.B, by which it, too, tells tones from noise; here in bands.
    """
    x = np.asarray(waveform, np.float64)
    size = round(TONALITY_SECONDS * rate)
    if len(x) < 2.5 * size or size // 2 < 2 + TONALITY_LINES:
        return float("nan")
    frames = np.lib.stride_tricks.sliding_window_view(x - x.mean(), size)[:: size // 2]  # (K, size)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1])))[:, 2:]
    bands = power.shape[1] // TONALITY_LINES
    power = power[:, : bands * TONALITY_LINES].reshape(len(frames), bands, TONALITY_LINES)
    mean = power.mean(axis=2)  # (K, bands)
    energy = mean.sum(axis=1)
    heard = energy > 1e-6 * energy.max(initial=0.0)  # not the rounding of silence
    if not heard.any():
        return float("nan")
    power, mean, energy = power[heard], mean[heard], energy[heard]
    floor = 1e-12 * energy[:, None]
    fall = np.log(mean + floor) - np.log(power + floor[..., None]).mean(axis=2)
    of_frame = (mean * fall).sum(axis=1) / energy
    return float(10 / np.log(10) * np.average(of_frame, weights=np.sqrt(energy)))


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
