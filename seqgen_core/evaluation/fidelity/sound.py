"""Measures of sound: continuations against what really followed, and sets of clips against real ones.

In each, `real` stands where drawn clips would stand, and `reference` is other real sound that both are compared with.
Axes: N samples of a clip, K frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqgen_core.evaluation.fidelity import loudness, pitch, spectra
from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.embedding import Scaling, SoundEmbedding
from seqgen_core.evaluation.fidelity.measure import Measure
from seqgen_core.evaluation.fidelity.vectors import diversity_measures, frechet_measure

Waveforms = Sequence[NDArray[np.floating]]


@dataclass(frozen=True)
class Followed:
    """One continuation, the sound that really followed, and another real excerpt in its place, waveforms (N,)."""

    drawn: NDArray[np.floating]
    truth: NDArray[np.floating]
    other: NDArray[np.floating]


def continuation_measures(pairs: Sequence[Followed], rate: int, sure: Bootstrap) -> list[Measure]:
    """Spectral convergence and log-mel distance to what followed, over the samples that all three have.

    Of the former the median over clips: it is a ratio, and one loud clip where little followed would be all of a mean.
    """
    mel = spectra.mel_measure(rate)
    ratios, apart = [], []  # of each pair: drawn, real
    for pair in pairs:
        size = min(len(pair.drawn), len(pair.truth), len(pair.other))
        truth, heard = pair.truth[:size], (pair.drawn[:size], pair.other[:size])
        ratios.append([spectra.spectral_convergence(truth, sound, rate) for sound in heard])
        apart.append([spectra.log_mel_distance(truth, sound, mel) for sound in heard])
    return [
        Measure.of("spectral convergence", "lower", map(sure.median, np.reshape(ratios, (-1, 2)).T)),
        Measure.of("log-mel distance", "lower", map(sure.mean, np.reshape(apart, (-1, 2)).T), unit="dB", decimals=1),
    ]


def sound_measures(
    drawn: Waveforms, real: Waveforms, reference: Waveforms, rate: int, sure: Bootstrap
) -> list[Measure]:
    """Fréchet distance, diversity, pitch and loudness of sets of clips; each set holds one waveform or more."""
    every = [*real, *reference]
    return [
        *_embedded(drawn, real, reference, rate, sure),
        *_pitch((drawn, every), rate, sure),
        *_loudness((drawn, every), rate, sure),
    ]


def _embedded(drawn: Waveforms, real: Waveforms, reference: Waveforms, rate: int, sure: Bootstrap) -> list[Measure]:
    embedding = SoundEmbedding(rate)
    raw = [[embedding.windows(clip) for clip in clips] for clips in (drawn, real, reference)]
    scaling = Scaling(np.concatenate(raw[2]))
    sets = [[scaling(windows) for windows in clips] for clips in raw]
    means = [np.stack([windows.mean(axis=0) for windows in clips]) for clips in sets]
    return [frechet_measure(*sets, sure), *diversity_measures(*means, sure)]


def _pitch(both: Sequence[Waveforms], rate: int, sure: Bootstrap) -> list[Measure]:
    pitches = [[pitch.frame_pitches(clip, rate) for clip in clips] for clips in both]  # (K,) of each clip
    shares = [sure.mean([100 * pitch.voiced_share(clip) for clip in clips]) for clips in pitches]
    medians = [sure.estimate(lambda chosen, of=clips: pitch.median_cents(of, chosen), len(clips)) for clips in pitches]
    spreads = [sure.estimate(lambda chosen, of=clips: pitch.spread_cents(of, chosen), len(clips)) for clips in pitches]
    return [
        Measure.of("frames with a pitch", "as real", shares, unit="%", decimals=1),
        Measure.of("median pitch", "as real", medians, unit="cents re A4", decimals=0),
        Measure.of("spread of pitch", "as real", spreads, unit="cents", decimals=0),
    ]


def _loudness(both: Sequence[Waveforms], rate: int, sure: Bootstrap) -> list[Measure]:
    integrated = [sure.mean([loudness.integrated_loudness(clip, rate) for clip in clips]) for clips in both]
    ranges = [sure.mean([loudness.momentary_range(clip, rate) for clip in clips]) for clips in both]
    return [
        Measure.of("loudness", "as real", integrated, unit="LKFS", decimals=1),
        Measure.of("loudness range", "as real", ranges, unit="LU", decimals=1),
    ]
