"""What came of a search's trials, as its study and the settings of its folder tell it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen_core.tuning.folder import SearchFolder
from seqgen_core.tuning.space import Dimension, Value

if TYPE_CHECKING:
    from optuna import Study


@dataclass(frozen=True)
class TrialReport:
    """One trial. state: finished, stopped early, failed or unfinished. settings: what it tried, by dotted name.

    bits: held-out bits per token, the best of a finished trial and the last of one that was stopped early.
    seconds: of training. reason: why it failed.
    """

    number: int
    state: str
    bits: float | None
    settings: dict[str, Value]
    steps: int
    seconds: float
    run: Path
    reason: str


@dataclass(frozen=True)
class SearchReport:
    """How a search stands. trials: the best first, failed ones last. interrupted: by what, if it was."""

    folder: SearchFolder
    dimensions: list[Dimension]
    trials: list[TrialReport]
    interrupted: str = ""

    @property
    def best(self) -> TrialReport | None:
        """The finished trial with the fewest bits."""
        return next((trial for trial in self.trials if trial.state == "finished"), None)


def shown(value: Value) -> str:
    """A setting's value with as many digits as matter to a reader."""
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def trial_reports(folder: SearchFolder, study: "Study", wanted: list[Dimension]) -> list[TrialReport]:
    """Every trial that began: finished ones by their bits, then those stopped early, failed, unfinished."""
    from optuna.trial import TrialState

    names = {
        TrialState.COMPLETE: "finished",
        TrialState.PRUNED: "stopped early",
        TrialState.FAIL: "failed",
        TrialState.RUNNING: "unfinished",
    }
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state not in names:
            continue
        known: dict[str, Any] = trial.user_attrs
        last = trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None
        found.append(
            TrialReport(
                number=trial.number,
                state=names[trial.state],
                bits=trial.value if trial.state == TrialState.COMPLETE else last,
                settings={one.name: one.value_of(trial.params[one.name]) for one in wanted if one.name in trial.params},
                steps=known.get("steps", 0),
                seconds=known.get("seconds", 0.0),
                run=folder.trial(trial.number),
                reason=known.get("reason", ""),
            )
        )
    order = list(names.values())
    return sorted(found, key=lambda one: (order.index(one.state), one.bits is None, one.bits or 0.0, one.number))
