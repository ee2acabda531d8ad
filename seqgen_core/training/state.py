"""How far a training is: the figures that a checkpoint's account keeps beside the weights."""

from dataclasses import dataclass, field, fields
from typing import Any

from seqgen_core.training.interval import Interval


@dataclass
class TrainState:
    """Figures of a run, all sittings together.

    step: steps done. tokens: scored in them. elapsed: seconds of training. valid_bits: of the last validation, which
    was at validated_step; best_bits, best_step: of the best one, since which there were validations_without_better.
    interval: figures since the last line of the log.
    """

    step: int = 0
    tokens: int = 0
    elapsed: float = 0.0
    valid_bits: float | None = None
    best_bits: float | None = None
    best_step: int | None = None
    validations_without_better: int = 0
    validated_step: int = 0
    interval: Interval = field(default_factory=Interval)

    @classmethod
    def of(cls, account: dict[str, Any]) -> "TrainState":
        """From the account of a checkpoint; that of imported weights, which no training wrote, knows only its step."""
        known: dict[str, Any] = {entry.name: account[entry.name] for entry in fields(cls) if entry.name in account}
        known["interval"] = Interval(**account.get("interval", {}))
        return cls(**known)

    def account(self) -> dict[str, Any]:
        """Itself as plain JSON."""
        return {**self.__dict__, "interval": self.interval.account()}

    def validated(self, bits: float) -> bool:
        """Take the result of a validation of this step; whether it is the best so far."""
        self.valid_bits = bits
        better = self.best_bits is None or bits < self.best_bits
        if better:
            self.best_bits, self.best_step, self.validations_without_better = bits, self.step, 0
        else:
            self.validations_without_better += 1
        return better
