"""Fréchet distance between two sets of embedded clips, each taken as one normal distribution.

d² = ‖m₁ − m₂‖² + tr(C₁ + C₂ − 2 (C₁ C₂)^½). Sources: Dowson & Landau 1982; for images Heusel et al. 2017
(arXiv:1706.08500), for sound Kilgour et al. 2019 (arXiv:1812.08466), whose embeddings are trained networks; ours are
statistics that need no weights, so figures compare with ours alone.
Covariances of few vectors are shrunk towards a multiple of the identity by Ledoit & Wolf 2004 (Journal of Multivariate
Analysis 88, section 3.2). The distance is biased upwards, the more so the fewer the clips: compare sets of one size.
Axes: N vectors, D dimensions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Normal:
    """A normal distribution: mean (D,), covariance (D, D)."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def fitted(vectors: NDArray[np.float64]) -> Normal:
    """The normal distribution of vectors (N, D), N >= 1, with the covariance shrunk."""
    mean = vectors.mean(axis=0)
    apart = vectors - mean
    count, size = apart.shape
    sample = apart.T @ apart / count
    level = np.trace(sample) / size
    target = level * np.eye(size)
    distance = np.square(sample - target).sum()
    noise = (np.square(np.square(apart).sum(axis=1)).mean() - np.square(sample).sum()) / count
    weight = min(1.0, max(0.0, noise / distance)) if distance > 0 else 0.0
    return Normal(mean, weight * target + (1 - weight) * sample)


class FrechetDistance:
    """Distance of other sets from one reference set (N, D)."""

    def __init__(self, reference: NDArray[np.float64]) -> None:
        self._reference = fitted(reference)
        values, vectors = np.linalg.eigh(self._reference.covariance)
        self._root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def __call__(self, vectors: NDArray[np.float64]) -> float:
        """d² of vectors (N, D), N >= 1."""
        return self.between(fitted(vectors))

    def between(self, other: Normal) -> float:
        """d² of another normal distribution."""
        product = self._root @ other.covariance @ self._root  # as C₁ C₂, of which it has the eigenvalues
        common = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0)).sum()
        traces = np.trace(self._reference.covariance) + np.trace(other.covariance)
        return max(0.0, float(np.square(self._reference.mean - other.mean).sum() + traces - 2 * common))
