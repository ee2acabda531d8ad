"""Measures of images: how bright and how contrasty, and how near in their principal components.

Axes: N images, F intensities of an image, 0 for black to 1 for white.
"""

import numpy as np
from numpy.typing import NDArray

from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.embedding import PixelEmbedding
from seqgen_core.evaluation.fidelity.measure import Measure
from seqgen_core.evaluation.fidelity.vectors import diversity_measures, frechet_measure

Images = NDArray[np.floating]


def picture_measures(
    drawn: Images, real: Images, reference: Images, embedding: PixelEmbedding, sure: Bootstrap
) -> list[Measure]:
    """Of images (N, F)."""
    both = (drawn, np.concatenate([real, reference]))
    sets = [embedding(np.asarray(images, np.float64)) for images in (drawn, real, reference)]
    return [
        frechet_measure(*([row[None] for row in rows] for rows in sets), sure),
        *diversity_measures(*sets, sure),
        Measure.of("brightness", "as real", [sure.mean(images.mean(axis=1)) for images in both], decimals=3),
        Measure.of("contrast", "as real", [sure.mean(images.std(axis=1)) for images in both], decimals=3),
    ]
