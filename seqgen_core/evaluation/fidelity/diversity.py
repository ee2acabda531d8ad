"""Whether clips differ from each other as real ones do, or are one clip over and over.

Axes: N clips, D dimensions of the embedding.
"""

import math

import numpy as np
from numpy.typing import NDArray

NEAR = 0.1
"""Two clips are near-identical below this share of the mean distance between two real ones."""


def distances(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distances (N, N) between vectors (N, D)."""
    squares = np.square(vectors).sum(axis=1)
    return np.sqrt(np.maximum(0, squares[:, None] + squares - 2 * vectors @ vectors.T))


def mean_distance(between: NDArray[np.float64], chosen: NDArray[np.intp] | None = None) -> float:
    """Mean over pairs of the chosen clips, a clip beside itself left out; NaN without a pair."""
    found = _pairs(between, chosen)
    return float(found.mean()) if len(found) else math.nan


def near_identical(between: NDArray[np.float64], real: float, chosen: NDArray[np.intp] | None = None) -> float:
    """Share of pairs of the chosen clips that are nearer than NEAR times `real`, the mean distance of real clips."""
    found = _pairs(between, chosen)
    return float((found < NEAR * real).mean()) if len(found) else math.nan


def _pairs(between: NDArray[np.float64], chosen: NDArray[np.intp] | None) -> NDArray[np.float64]:
    clips = np.arange(len(between)) if chosen is None else chosen
    first, second = np.triu_indices(len(clips), 1)
    first, second = clips[first], clips[second]
    different = first != second
    return between[first[different], second[different]]
