"""Recognising the same recording at another gain, offset in time or quantisation, by its sub-fingerprints.

Source: Haitsma and Kalker 2002, "A highly robust audio fingerprinting system", ISMIR, sections 4 and 5: every 11.6 ms,
32 bits say where the energy of 33 logarithmic bands rises from band to band and from frame to frame, over frames of
0.37 s. Two stretches are the same where fewer of their bits differ than chance allows, by the formula of section 4.3.
Changed: the bands end below half the rate where that is lower than their 2000 Hz; frames of near-silence have no bits;
all lags are compared, by counting equal sub-fingerprints, rather than looked up in a large database; and no more than
a fifth of the bits may differ, where they allow 0.35: bars that come again in produced music differ in 0.28 of them,
copies of real recordings at other gains, rates and quantisations in 0.04 as a rule.
Axes: N samples, K frames.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.resample import ResampleStream
from seqgen_core.diagnosis.sound import decibels

RATE = 5000  # Hz, at which sound is compared
HOP, FRAME = 58, 1850  # samples: 11.6 ms and 0.37 s
BANDS = 33
LOWEST, HIGHEST = 300.0, 2000.0  # Hz
SURE = 6.4
"""Standard deviations, as their formula counts them, at which a threshold of 0.35 stands for their blocks of 8192 bits:
one false alarm in 10^19."""
MOST_ERRORS = 0.2
LEAST_FRAMES = 16
QUIET = 45.0
"""Decibels below the loudest frame from which a frame says nothing."""
_COUNTS = np.array([bin(number).count("1") for number in range(256)], np.uint8)


@dataclass(frozen=True)
class Fingerprint:
    """bits: uint32 (K,), a sub-fingerprint per frame. heard: whether the frame is loud enough to count (K,)."""

    bits: NDArray[np.uint32]
    heard: NDArray[np.bool_]


@dataclass(frozen=True)
class Match:
    """share: of the frames of the shorter one that overlap. errors: share of their bits that differ. seconds: by how
    much the second begins before the first."""

    share: float
    errors: float
    seconds: float


def fingerprint(waveform: NDArray[np.floating], rate: int) -> Fingerprint:
    """The sub-fingerprints of a waveform (N,); none of one that is shorter than 0.4 s is of use."""
    stream = ResampleStream(rate, RATE)
    x = np.concatenate([stream.push(np.asarray(waveform, np.float32)), stream.finish()]).astype(np.float64)
    x = np.pad(x, FRAME // 2)  # short words count from their first sample on
    frames = np.lib.stride_tricks.sliding_window_view(x, FRAME)[::HOP]
    highest = min(HIGHEST, 0.45 * rate)
    frequencies = np.fft.rfftfreq(2048, 1 / RATE)
    edges = np.geomspace(min(LOWEST, highest / 4), highest, BANDS + 1)
    band = np.digitize(frequencies, edges) - 1  # -1 and BANDS lie outside
    bank = (band[:, None] == np.arange(BANDS)).astype(np.float64)
    window = np.hanning(FRAME)
    energy = np.concatenate(
        [
            np.square(np.abs(np.fft.rfft(frames[first : first + 512] * window, 2048))) @ bank
            for first in range(0, len(frames), 512)
        ]
    )  # (K, BANDS)
    steps = energy[:, :-1] - energy[:, 1:]  # (K, 32)
    rises = np.diff(steps, axis=0, prepend=steps[:1]) > 0
    bits = (rises.astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(axis=1).astype(np.uint32)
    loud = decibels(energy.sum(axis=1))
    return Fingerprint(bits, loud > max(loud.max(initial=-200.0) - QUIET, -70.0))


def chance_errors(frames: int) -> float:
    """Share of differing bits below which so many frames of 32 bits cannot be equal by chance.

    Their bits vary three times as much as independent ones (section 4.3): P = erfc((1 - 2 a) sqrt(n) / (3 sqrt 2)) / 2.
    """
    return max(0.0, 0.5 * (1 - SURE * 3 * math.sqrt(2) / math.sqrt(32 * frames)))


def match(first: Fingerprint, second: Fingerprint) -> Match | None:
    """Where one is the other, or a part of it; None where no lag puts half of the shorter one in its place."""
    if min(int(first.heard.sum()), int(second.heard.sum())) < LEAST_FRAMES:
        return None
    for lag in _likely_lags(first, second):
        low, high = max(0, lag), min(len(first.bits), len(second.bits) + lag)
        if high - low < LEAST_FRAMES:
            continue
        both = first.heard[low:high] & second.heard[low - lag : high - lag]
        count = int(both.sum())
        share = count / min(int(first.heard.sum()), int(second.heard.sum()))
        if count < LEAST_FRAMES or share < 0.5:
            continue
        differ = (first.bits[low:high] ^ second.bits[low - lag : high - lag])[both]
        errors = float(_COUNTS[differ.view(np.uint8)].sum()) / (32 * count)
        if errors < min(MOST_ERRORS, chance_errors(count)):
            return Match(min(1.0, share), errors, lag * HOP / RATE)
    return None


def _likely_lags(first: Fingerprint, second: Fingerprint) -> list[int]:
    """Lags at which most sub-fingerprints are equal, the likeliest first; neighbours of a lag come with it."""
    places = np.flatnonzero(first.heard), np.flatnonzero(second.heard)
    bits = first.bits[places[0]], second.bits[places[1]]
    order = np.argsort(bits[1], kind="stable")
    left = np.searchsorted(bits[1][order], bits[0], "left")
    right = np.searchsorted(bits[1][order], bits[0], "right")
    lags: list[NDArray[np.int64]] = []
    for place, low, high in zip(places[0], left, np.minimum(right, left + 50), strict=True):
        if high > low:
            lags.append(place - places[1][order[low:high]])
    if not lags:
        return []
    found, often = np.unique(np.concatenate(lags), return_counts=True)
    best = found[np.argsort(-often, kind="stable")][:5]
    return list(dict.fromkeys(int(lag + shift) for lag in best for shift in (0, -1, 1)))
