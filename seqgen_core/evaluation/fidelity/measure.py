"""One figure about drawn clips, with what real clips score beside it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from seqgen_core.evaluation.fidelity.bootstrap import Estimate

Better = Literal["lower", "higher", "as real"]


@dataclass(frozen=True)
class Measure:
    """What was measured of drawn clips, and of real ones in their place: without the latter no figure says much.

    unit: what the figures are in, or nothing. decimals: how many are worth showing.
    """

    name: str
    better: Better
    drawn: Estimate
    real: Estimate
    unit: str = ""
    decimals: int = 2

    @classmethod
    def of(cls, name: str, better: Better, both: Iterable[Estimate], *, unit: str = "", decimals: int = 2) -> "Measure":
        """From the estimates of drawn and of real clips, in this order."""
        drawn, real = both
        return cls(name, better, drawn, real, unit, decimals)

    @property
    def defined(self) -> bool:
        """Whether there is a figure of the drawn clips or of the real ones."""
        return math.isfinite(self.drawn.value) or math.isfinite(self.real.value)

    def as_json(self) -> dict[str, object]:
        """By name, for machines."""
        return {
            "measure": self.name,
            "unit": self.unit,
            "better": self.better,
            "drawn": self.drawn.as_json(),
            "real": self.real.as_json(),
        }
