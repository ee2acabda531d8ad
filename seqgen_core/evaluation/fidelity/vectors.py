"""Measures of clips by their embeddings, the same for all kinds of data.

Axes: N clips, W windows of a clip, D dimensions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.diversity import distances, mean_distance, near_identical
from seqgen_core.evaluation.fidelity.frechet import FrechetDistance
from seqgen_core.evaluation.fidelity.measure import Measure

Clips = Sequence[NDArray[np.float64]]
"""Windows (W, D) of each clip."""


def frechet_measure(drawn: Clips, real: Clips, reference: Clips, sure: Bootstrap) -> Measure:
    """Fréchet distance of drawn and of real clips from the reference.

    Sets of one size share one bias, so of the real clips no more are taken than were drawn. Intervals are over the
    clips of a set, with the reference as it is.
    """
    distance = FrechetDistance(np.concatenate(reference))
    both = [
        sure.estimate(
            lambda chosen, of=clips: distance(np.concatenate([of[clip] for clip in chosen])), len(clips), centred=True
        )
        for clips in (drawn, real[: len(drawn)])
    ]
    return Measure.of("Fréchet distance", "lower", both, decimals=1)


def diversity_measures(
    drawn: NDArray[np.float64], real: NDArray[np.float64], reference: NDArray[np.float64], sure: Bootstrap
) -> list[Measure]:
    """Mean distance between clips (N, D), that of the reference being 1, and the share of near-identical pairs."""
    usual = mean_distance(distances(reference))
    between = [distances(clips) for clips in (drawn, real)]
    apart = [
        sure.estimate(lambda chosen, of=table: mean_distance(of, chosen) / usual if usual else np.nan, len(table))
        for table in between
    ]
    alike = [
        sure.estimate(lambda chosen, of=table: 100 * near_identical(of, usual, chosen), len(table)) for table in between
    ]
    return [
        Measure.of("diversity", "as real", apart),
        Measure.of("near-identical pairs", "as real", alike, unit="%", decimals=1),
    ]
