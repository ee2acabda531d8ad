"""Settings of `seqgen tune`: what is searched, how many trials, how long each."""

from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.durations import Duration


class TuneSettings(Settings):
    """How settings of training and of the model are searched."""

    search: tuple[str, ...] = ()
    """What to search: "learning_rate=1e-4..1e-2 log", "model.levels=6..10", "model.features=32,64,96"; unset: a few."""
    trials: int = Field(20, ge=1, le=100_000)
    """Trials in all, those that fail included. The first is the settings as they stand."""
    max_time_per_trial: Duration | None = Field(None, gt=0)
    """Longest training time of each trial: seconds, or 90s, 10m; without it and steps_per_trial, train's limits."""
    steps_per_trial: int | None = Field(None, ge=1)
    """Most steps of each trial."""
    pruning: Literal["median", "none"] = "median"
    """Whether a trial ends early whose held-out bits are worse than the median of the others' at the same stage."""
    seed: int = Field(0, ge=0)
    """Seed of the search; all trials train with train.seed."""
