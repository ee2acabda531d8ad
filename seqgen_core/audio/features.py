"""Log-mel spectra: what a vocoder is told of the sound that it is to make.

Frame k looks at `window` samples centred at sample k * hop through a Hann window; what lies beyond the recording is
silence, and what is beyond full scale is clamped, as in tokens. N samples have 1 + N // hop frames. The power spectrum
is summed in triangular bands of peak 1, evenly spaced on the mel scale 2595 log10(1 + f / 700) (O'Shaughnessy 1987,
Speech Communication, section 4.4); WaveNet vocoders are told such spectra since Tacotron 2 (Shen et al. 2018,
arXiv:1712.05884, section 2.2). A number says how loud its band is: 1 stands for 0 dB, a sine of full scale, and -1 for
-100 dB or less, so networks can take them as they are.
Axes: N samples, K frames, F bands.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.files import read_mono
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.features import MelSettings

FLOOR_DB = -100.0  # below the noise of 16-bit sound, which is at -98 dB over all bands together
_FINEST = 4  # times as many frequencies, at most, as the window tells apart
_BLOCK = 2**20  # samples, about, of which spectra are taken at a time


class MelSpectra:
    """Log-mel spectra by one set of settings.

    Raises UsageError where a band lies between two of the frequencies that the window tells apart.
    """

    def __init__(self, settings: MelSettings) -> None:
        self.settings = settings
        self._window = np.hanning(settings.window + 1)[:-1]  # periodic
        self._length = 2 ** math.ceil(math.log2(settings.window))  # of the Fourier transform; zeros fill it up
        finest = _FINEST * self._length
        while not (bank := mel_bands(settings, self._length)).any(axis=0).all():
            if self._length >= finest:
                empty = int((~bank.any(axis=0)).sum())
                raise UsageError(
                    f"{empty} of {settings.bands} mel bands are too narrow for a window of {settings.window} samples "
                    f"at {settings.rate} Hz.",
                    hint="Fewer mel_bands or a longer mel_window.",
                )
            self._length *= 2
        # By Parseval's theorem this makes the powers of a sine of full scale sum to 1.
        self._bank = bank * (4 / (self._length * np.square(self._window).sum()))  # (frequencies, F)

    def count(self, samples: int) -> int:
        """Frames K of so many samples."""
        return 1 + samples // self.settings.hop

    def frames(self, waveform: NDArray[np.floating], first: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Frames first to stop - 1 (the last one, unless given) of a waveform (N,), float32 (K, F)."""
        hop, size = self.settings.hop, self.settings.window
        stop = self.count(len(waveform)) if stop is None else stop
        spectra = np.empty((stop - first, self.settings.bands), np.float32)
        at_once = max(1, _BLOCK // max(hop, self._length))
        for low in range(first, stop, at_once):
            high = min(stop, low + at_once)
            begin, end = low * hop - size // 2, (high - 1) * hop - size // 2 + size
            heard = np.clip(np.asarray(waveform[max(0, begin) : max(0, end)], np.float64), -1, 1)
            missing = max(0, -begin)
            stretch = np.pad(heard, (missing, end - begin - missing - len(heard)))
            windows = np.lib.stride_tricks.sliding_window_view(stretch, size)[::hop] * self._window  # (K, window)
            power = np.square(np.abs(np.fft.rfft(windows, self._length))) @ self._bank  # (K, F)
            decibels = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
            spectra[low - first : high - first] = 1 - 2 * decibels / FLOOR_DB
        return spectra


def mel_spectra(waveform: NDArray[np.floating], settings: MelSettings) -> NDArray[np.float32]:
    """All frames of a waveform (N,), float32 (K, F). Raises UsageError where the settings make no spectra."""
    return MelSpectra(settings).frames(waveform)


def mel_bands(settings: MelSettings, length: int) -> NDArray[np.float64]:
    """Weights (length // 2 + 1, F) of the frequencies of a Fourier transform in each band."""
    edges = _hertz(np.linspace(_mel(settings.low), _mel(settings.top), settings.bands + 2))
    frequencies = np.fft.rfftfreq(length, 1 / settings.rate)[:, None]
    below, centres, above = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - below) / (centres - below), (above - frequencies) / (above - centres)
    return np.maximum(0, np.minimum(rising, falling))


def read_features(path: Path, settings: MelSettings, gain: float = 1.0) -> NDArray[np.float32]:
    """Frames (K, F) from a file: kept as .npy, or the mel spectra of a sound file.

    gain: factor of the sound's amplitudes, that of the training data; frames from .npy are taken as they are.
    Raises UsageError where the file is missing or its frames do not fit, SeqgenError where it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"There is no file {path} to take features from.", hint="A sound file, or a .npy of mel spectra."
        )
    if path.suffix.lower() == ".npy":
        return _read_frames(path, settings)
    return mel_spectra(read_mono(path, settings.rate) * np.float32(gain), settings)


def _read_frames(path: Path, settings: MelSettings) -> NDArray[np.float32]:
    wanted = f"Frames (any number, {settings.bands}) as the model was trained with: {settings}."
    try:
        frames = np.load(path, allow_pickle=False)
    except OSError as problem:
        raise SeqgenError(f"{path} cannot be read: {problem.strerror or problem}.", wanted) from None
    except (ValueError, EOFError):  # numpy's own words advise to load pickles, which run what they hold
        raise SeqgenError(f"{path} is no array of numbers as numpy.save writes it, or is cut short.", wanted) from None
    if not isinstance(frames, np.ndarray) or frames.dtype.kind not in "fiu":
        raise UsageError(f"{path} holds no array of numbers.", wanted)
    if frames.ndim != 2 or frames.shape[1] != settings.bands or not len(frames):
        turned = frames.ndim == 2 and frames.shape[0] == settings.bands
        raise UsageError(f"{path} holds an array of shape {frames.shape}.", wanted, "Transpose it." if turned else "")
    bad = ~np.isfinite(frames)
    if bad.any():
        frame, band = np.argwhere(bad)[0]
        raise UsageError(f"{path} holds {frames[frame, band]} in frame {frame}, band {band}.", "Finite numbers.")
    return frames.astype(np.float32)


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return 700 * (10 ** (mel / 2595) - 1)
