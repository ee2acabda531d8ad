"""Waveform to tokens and back: each sample becomes one of `levels` codes along a companding curve.

mu-law: F(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu) with mu = levels - 1, as in van den Oord et al. 2016
(arXiv:1609.03499, section 2.2), who quantise the continuous curve of ITU-T G.711 rather than its segments.
a-law: F(x) = sign(x) A |x| / (1 + ln A) below |x| = 1 / A, sign(x) (1 + ln(A |x|)) / (1 + ln A) above, with the
A = 87.6 of ITU-T G.711, the continuous curve again. Both lay `levels` codes evenly along F over [-1, 1], ends included.
linear: the convention of PCM files: code c stands for (c - h) / h with h = levels // 2, so that zero is exact and
65536 levels carry 16-bit sound without loss; for an even number of levels, +1 is clamped to the highest code, one step
below it. pcm16 is linear with 65536 levels.
samplernn-…: every clip is first stretched so that its lowest sample becomes -1 and its highest +1, as in the code of
SampleRNN (Mehri et al. 2017, arXiv:1612.07837) and of SaShiMi (Goel et al. 2022, arXiv:2202.09729); then `levels` steps
of equal size are laid along the curve. These are there to compare bits per sample with those papers and for nothing
else: silence becomes -1.0, a quiet tone and its noise full scale, an offset comes and goes, and no decoder knows how
loud a clip was. SaShiMi's mu-law has such steps too; SampleRNN's has 255, and a 256th code for the very highest sample.
An a-law was announced there but never written; it is made alike. Codes stand for the middles of their steps.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.tokens import TokenSpec
from seqgen_core.streams import token_dtype

A_LAW = 87.6  # ITU-T G.711
_EDGE = 1e-5  # of a step: how far the stretched ends lie inside their steps, in SampleRNN's code (0.01 in SaShiMi's)


def first_non_finite(waveform: NDArray[np.floating]) -> int | None:
    """Index of the first NaN or infinity of a waveform (T,), None where there is none."""
    finite = np.isfinite(waveform)
    return None if finite.all() else int(np.argmin(finite))


class AudioCodec:
    """The codec that the settings describe; decode then encode gives every code back."""

    def __init__(self, settings: AudioCodecSettings) -> None:
        self.settings = settings
        self.dtype = token_dtype(settings.levels)

    @property
    def rate(self) -> int:
        """Samples, and so tokens, per second."""
        return self.settings.rate

    @property
    def tokens(self) -> TokenSpec:
        """What one token is."""
        return self.settings.tokens

    @property
    def rescales(self) -> bool:
        """Whether every clip is stretched to full scale before anything else."""
        return self.settings.kind.startswith("samplernn-")

    @property
    def silence(self) -> int:
        """The code of amplitude 0.0: what generation from nothing starts with."""
        return int(self.encode(np.zeros(1, np.float32), extremes=(-1.0, 1.0))[0])

    def encode(self, waveform: ArrayLike, extremes: tuple[float, float] | None = None) -> NDArray[np.unsignedinteger]:
        """Waveform of any shape, amplitudes in [-1, 1] (others are clamped) -> codes of the same shape in `dtype`.

        extremes: for a codec that rescales, the lowest and highest sample of the clip that the waveform is a part of;
        unset, the waveform is the clip. Other codecs have no use for it.
        Raises SeqgenError where a sample is not finite.
        """
        x = np.asarray(waveform, dtype=np.float64)
        bad = first_non_finite(x.reshape(-1))
        if bad is not None:
            raise SeqgenError(
                f"sample {bad} of {x.size} is {x.reshape(-1)[bad]}; it has no code.",
                "A waveform of finite numbers.",
            )
        levels = self.settings.levels
        if self.rescales:
            x = _stretched(x, extremes)
        x = np.clip(x, -1.0, 1.0)
        if self.settings.kind in ("linear", "pcm16"):
            half = levels // 2
            codes = np.minimum(np.floor(x * half + 0.5) + half, levels - 1)
        elif self.rescales:
            share = (self._compress(x) + 1) / 2
            codes = np.floor(share * levels + _EDGE * (0.5 - share))
        else:
            codes = np.floor((self._compress(x) + 1) / 2 * (levels - 1) + 0.5)
        return codes.astype(self.dtype)

    def decode(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Codes of any shape, integers in [0, levels) -> float32 waveform of the same shape in [-1, 1].

        Raises SeqgenError where a code lies outside.
        """
        c = np.asarray(codes)
        levels = self.settings.levels
        if c.size and (c.min() < 0 or c.max() >= levels):
            outside = c.max() if c.max() >= levels else c.min()
            raise SeqgenError(f"code {outside} does not exist with {levels} levels.", f"Codes from 0 to {levels - 1}.")
        if self.settings.kind in ("linear", "pcm16"):
            half = levels // 2
            return ((c.astype(np.float64) - half) / half).astype(np.float32)
        steps = (c.astype(np.float64) + 0.5) / levels if self.rescales else c.astype(np.float64) / (levels - 1)
        return self._expand(steps * 2 - 1).astype(np.float32)

    @property
    def _curve(self) -> str:
        return self.settings.kind.removeprefix("samplernn-")

    def _compress(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._curve == "linear":
            return x
        magnitude = np.abs(x)
        if self._curve == "mu-law":
            mu = self.settings.levels - 1
            return np.sign(x) * np.log1p(mu * magnitude) / np.log1p(mu)
        scaled = A_LAW * magnitude
        curve = np.where(scaled < 1, scaled, 1 + np.log(np.maximum(scaled, 1)))
        return np.sign(x) * curve / (1 + np.log(A_LAW))

    def _expand(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._curve == "linear":
            return y
        magnitude = np.abs(y)
        if self._curve == "mu-law":
            mu = self.settings.levels - 1
            return np.sign(y) * np.expm1(magnitude * np.log1p(mu)) / mu
        scaled = magnitude * (1 + np.log(A_LAW))
        return np.sign(y) * np.where(scaled < 1, scaled, np.exp(scaled - 1)) / A_LAW


def _stretched(x: NDArray[np.float64], extremes: tuple[float, float] | None) -> NDArray[np.float64]:
    """x with the extremes at -1 and 1; all of it at -1 where they are equal, as in silence."""
    low, high = extremes if extremes is not None else (x.min(initial=np.inf), x.max(initial=-np.inf))
    return (x - low) / ((high - low) or 1.0) * 2 - 1
