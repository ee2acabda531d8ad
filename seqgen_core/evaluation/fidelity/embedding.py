"""What clips are compared by where no trained network is at hand: statistics of log-mel spectra, or of pixels.

Sound is cut into windows of half a second (a shorter clip is one window). Each becomes the mean over its frames of each
mel band's level, its standard deviation, and its mean absolute change from frame to frame: how loud, how varied and how
lively each band is. Pixels are laid along the principal components of the real training images.
Axes: W windows, F bands or features, D dimensions.
"""

import copy
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.features import MelSpectra
from seqgen_core.evaluation.fidelity.spectra import decibels, mel_measure

WINDOW_SECONDS = 0.5
BANDS = 20
COMPONENTS = 32
"""Principal components in which images are compared."""
SLICES = 10
"""Stretches of a clip, evenly long, of which a classifier is told the mean spectrum."""
SPOKEN_DB = 40.0
"""Frames quieter than the loudest one by more are cut from both ends before that."""


class SoundEmbedding:
    """Log-mel statistics of sound at one rate: D = 3 F."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._spectra: MelSpectra = mel_measure(rate, BANDS)
        self._window = max(2, round(WINDOW_SECONDS * rate))

    def windows(self, waveform: NDArray[np.floating]) -> NDArray[np.float64]:
        """Vectors (W, 3 F) of a waveform (N,); what is left at its end after whole windows is not heard."""
        count = max(1, len(waveform) // self._window)
        size = min(self._window, len(waveform))
        return np.stack([self._vector(waveform[first * size : (first + 1) * size]) for first in range(count)])

    def _vector(self, stretch: NDArray[np.floating]) -> NDArray[np.float64]:
        levels = decibels(stretch, self._spectra)  # (K, F)
        change = np.abs(np.diff(levels, axis=0)).mean(axis=0) if len(levels) > 1 else np.zeros(levels.shape[1])
        return np.concatenate([levels.mean(axis=0), levels.std(axis=0), change])


class Scaling:
    """Each dimension in standard deviations of a real set (N, D), so that no unit outweighs another."""

    def __init__(self, real: NDArray[np.float64]) -> None:
        self._mean = real.mean(axis=0)
        spread = real.std(axis=0)
        self._scale = np.maximum(spread, max(1e-9, 1e-2 * float(np.median(spread))))

    def __call__(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return (vectors - self._mean) / self._scale


class PixelEmbedding:
    """Coordinates along the first principal components of real images (N, F), intensities 0 to 1."""

    def __init__(self, real: NDArray[np.floating], components: int = COMPONENTS) -> None:
        self._mean = real.mean(axis=0)
        apart = real - self._mean
        if len(apart) < apart.shape[1]:
            axes = np.linalg.svd(apart, full_matrices=False)[2].T
        else:
            axes = np.linalg.eigh(apart.T @ apart)[1][:, ::-1]  # the same, sooner
        self._axes = axes[:, :components]  # (F, D)

    def first(self, components: int) -> "PixelEmbedding":
        """The same with fewer components."""
        fewer = copy.copy(self)
        fewer._axes = self._axes[:, :components]
        return fewer

    def __call__(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        """Vectors (N, D) of images (N, F)."""
        return (images - self._mean) @ self._axes


def sound_features(waveforms: Sequence[NDArray[np.floating]], rate: int) -> NDArray[np.float32]:
    """What a classifier of short sounds is told: (clips, SLICES × bands + 1), float32.

    The sound between quiet ends, in slices that are evenly long, less the clip's mean level; and its duration in s.
    """
    spectra = mel_measure(rate)
    hop = spectra.settings.hop
    rows = []
    for waveform in waveforms:
        levels = decibels(waveform, spectra)  # (K, F)
        loud = np.flatnonzero((power := levels.max(axis=1)) > power.max() - SPOKEN_DB)
        spoken = np.maximum(levels[loud[0] : loud[-1] + 1], levels.max() - 60)
        edges = np.linspace(0, len(spoken), SLICES + 1).astype(int).tolist()
        slices = [spoken[low : max(low + 1, high)].mean(axis=0) for low, high in itertools.pairwise(edges)]
        told = np.concatenate(slices) - np.mean(slices)
        rows.append(np.append(told, len(spoken) * hop / rate))
    return np.array(rows, np.float32)
