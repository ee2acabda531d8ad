"""How near the spectrum of a continuation is to that of the sound which really followed.

Both compare frame with frame, so they ask for the very sound that came next: another excerpt of the same piece, which
nobody would call wrong, stands beside them as the reference. Axes: N samples, K frames, F frequencies or bands.
"""

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.features import FLOOR_DB, MelSpectra
from seqgen_core.errors import UsageError
from seqgen_core.settings.features import MelSettings

WINDOW_SECONDS = 0.032
HOPS_PER_WINDOW = 4
BANDS = 40


def window_samples(rate: int) -> int:
    """Samples of a window of about 32 ms, a power of two, 32 at least."""
    return max(32, 2 ** round(np.log2(WINDOW_SECONDS * rate)))


def mel_measure(rate: int, bands: int = BANDS) -> MelSpectra:
    """Log-mel spectra of windows of about 32 ms, a quarter apart; fewer bands where the rate is too low for these."""
    size = window_samples(rate)
    while True:
        try:
            return MelSpectra(MelSettings(rate=rate, bands=bands, window=size, hop=size // HOPS_PER_WINDOW))
        except UsageError:  # a band lies between two frequencies
            if bands == 1:
                raise
            bands //= 2


def decibels(waveform: NDArray[np.floating], spectra: MelSpectra) -> NDArray[np.float64]:
    """Levels (K, F) of the bands in dB, 0 for a sine of full scale and -100 for that or less."""
    return (1 - spectra.frames(waveform).astype(np.float64)) / 2 * FLOOR_DB


def magnitudes(waveform: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    """Magnitude spectrogram |S| (K, F) by a Hann window of about 32 ms; silence fills up a clip below one window."""
    size = window_samples(rate)
    sound = np.asarray(waveform, np.float64)
    sound = np.pad(sound, (0, max(0, size - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[:: size // HOPS_PER_WINDOW]
    return np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1]))


def spectral_convergence(truth: NDArray[np.floating], drawn: NDArray[np.floating], rate: int) -> float:
    """‖|S| − |Ŝ|‖ / ‖|S|‖ (Frobenius) of waveforms (N,) of one length; NaN where the truth is silent.

    Source: Arik et al. 2018, arXiv:1808.06719, section 2.1. 0 is the truth itself and 1 is silence, so sound that does
    not fall together with the truth scores worse than none.
    """
    wanted = magnitudes(truth, rate)
    norm = float(np.linalg.norm(wanted))
    return float(np.linalg.norm(wanted - magnitudes(drawn, rate)) / norm) if norm > 0 else np.nan


def log_mel_distance(truth: NDArray[np.floating], drawn: NDArray[np.floating], spectra: MelSpectra) -> float:
    """Mean over frames of sqrt(mean over bands of (L − L̂)²), levels L in dB, of waveforms (N,) of one length."""
    apart = decibels(truth, spectra) - decibels(drawn, spectra)
    return float(np.sqrt(np.square(apart).mean(axis=1)).mean())
