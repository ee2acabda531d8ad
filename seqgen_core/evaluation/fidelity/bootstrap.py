"""How sure a figure over clips is: the percentile interval of the bootstrap.

Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13. What is resampled, with
replacement, are whole clips: frames of one clip resemble each other and say less than as many frames of many clips.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
Statistic = Callable[[NDArray[np.intp]], float]
"""From the numbers of clips (N,), one that was drawn twice named twice, to a figure; NaN where there is none."""


@dataclass(frozen=True)
class Estimate:
    """A figure over all clips, and the interval that holds 95 % of its resamples; NaN where it is not defined."""

    value: float
    low: float
    high: float
    clips: int = 0

    def as_json(self) -> dict[str, float | int | None]:
        """By name; None for what is not defined."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {**{name: x if math.isfinite(x) else None for name, x in named.items()}, "clips": self.clips}


@dataclass(frozen=True)
class Bootstrap:
    """How often to resample, by which seed."""

    resamples: int = 1000
    seed: int = 0

    def estimate(self, statistic: Statistic, clips: int, *, centred: bool = False) -> Estimate:
        """The statistic of all clips, and its percentile interval over resamples of them.

        centred: for a distance between distributions, which clips drawn twice push up, since a set of fewer kinds looks
        less like the other: the interval is moved back by mean resample − value, but not below zero.
        """
        if not clips:
            return Estimate(math.nan, math.nan, math.nan)
        value = float(statistic(np.arange(clips)))
        rng = np.random.default_rng(self.seed)
        found = np.array([statistic(rng.integers(clips, size=clips)) for _ in range(self.resamples)])
        found = found[np.isfinite(found)]
        if not len(found) or not math.isfinite(value):
            return Estimate(value, math.nan, math.nan, clips)
        if centred:
            found = np.maximum(0, found - (found.mean() - value))
        edge = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(found, [edge, 100 - edge])
        return Estimate(value, float(low), float(high), clips)

    def mean(self, values: ArrayLike) -> Estimate:
        """The mean of one figure (N,) of each clip; clips whose figure is NaN are left out."""
        figures = _finite(values)
        return self.estimate(lambda chosen: figures[chosen].mean(), len(figures))

    def median(self, values: ArrayLike) -> Estimate:
        """The median of one figure (N,) of each clip; clips whose figure is NaN are left out."""
        figures = _finite(values)
        return self.estimate(lambda chosen: float(np.median(figures[chosen])), len(figures))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    figures = np.asarray(values, np.float64)
    return figures[np.isfinite(figures)]
