"""Loudness as ITU-R BS.1770-4 has it: K-weighted, in blocks of 400 ms that overlap by 75 %, gated; in LKFS.

Its annex 1 gives the two filters for 48 kHz only. They are the bilinear transforms of an analog high shelf (1682 Hz,
+4 dB) and of an analog high-pass (38.1 Hz), and sound of another rate is resampled to 48 kHz first, so that the weights
are those of the standard at every rate. Sound shorter than a block is one block of its own length.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt

RATE = 48000  # Hz, of the filters
BLOCK_SECONDS = 0.4
OVERLAP = 0.75
ABSOLUTE_GATE = -70.0  # LKFS
RELATIVE_GATE = -10.0  # LU below the mean of what passes the absolute gate
OFFSET = -0.691  # LU: the gain of the filters at 997 Hz
K_WEIGHTING = np.array(
    [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
)
"""Second-order sections at 48 kHz: tables 1 and 2 of annex 1."""


def block_loudness(waveform: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    """Momentary loudness (blocks,) of a mono waveform (N,) in LKFS; -inf for silence."""
    sound = np.asarray(waveform, np.float64)
    if rate != RATE:
        import soxr

        sound = soxr.resample(sound, rate, RATE)
    energy = np.concatenate([[0.0], np.cumsum(np.square(sosfilt(K_WEIGHTING, sound)))])
    size = min(round(BLOCK_SECONDS * RATE), len(sound))
    if not size:
        return np.empty(0)
    starts = np.arange(0, len(sound) - size + 1, max(1, round(size * (1 - OVERLAP))))
    power = np.maximum(0, energy[starts + size] - energy[starts]) / size
    with np.errstate(divide="ignore"):
        return OFFSET + 10 * np.log10(power)


def gated(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The blocks that count: above -70 LKFS, and not 10 LU or more below the mean power of those."""
    heard = blocks[blocks > ABSOLUTE_GATE]
    if not len(heard):
        return heard
    return heard[heard > _mean(heard) + RELATIVE_GATE]


def integrated_loudness(waveform: NDArray[np.floating], rate: int) -> float:
    """Loudness of a whole clip in LKFS; -70, the absolute gate, where nothing is above it."""
    counted = gated(block_loudness(waveform, rate))
    return _mean(counted) if len(counted) else ABSOLUTE_GATE


def momentary_range(waveform: NDArray[np.floating], rate: int) -> float:
    """From the 10th to the 95th percentile of the momentary loudness above the gates, in LU; NaN without two blocks.

    As the loudness range of EBU Tech 3342, whose blocks of 3 s and gate at -20 LU want longer sound than clips are.
    """
    blocks = block_loudness(waveform, rate)
    counted = gated(blocks)
    return float(np.subtract(*np.percentile(counted, [95, 10]))) if len(counted) > 1 else math.nan


def _mean(blocks: NDArray[np.float64]) -> float:
    """Loudness of the mean power."""
    return float(10 * np.log10(np.mean(10 ** (blocks / 10))))
