"""How far a run is, when it ends, and the learning rate that follows from it."""

import math

from seqgen_core.settings.train import TrainSettings

DEFAULT_STEPS = 2000
"""Steps of a run that names neither steps, epochs nor a time."""


class Schedule:
    """The course of one run: progress from 0 to 1 over whichever limit ends first."""

    def __init__(self, settings: TrainSettings, steps_per_epoch: int) -> None:
        self.settings = settings
        limits = [settings.steps] if settings.steps is not None else []
        if settings.epochs is not None:
            limits.append(math.ceil(settings.epochs * steps_per_epoch))
        if not limits and settings.max_time is None:
            limits.append(DEFAULT_STEPS)
        self.steps: int | None = min(limits) if limits else None

    def progress(self, step: int, elapsed: float) -> float:
        """Share of the run that is done after `step` steps and `elapsed` seconds; 1 or more means over."""
        shares = [step / self.steps] if self.steps is not None else []
        if self.settings.max_time is not None:
            shares.append(elapsed / self.settings.max_time)
        return max(shares)

    def learning_rate(self, step: int, elapsed: float) -> float:
        """Learning rate of the step that follows `step` finished ones."""
        settings = self.settings
        rise = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        done = min(1.0, self.progress(step, elapsed))
        floor = settings.final_learning_rate
        fall = {
            "constant": 1.0,
            "linear": 1.0 - (1.0 - floor) * done,
            "cosine": floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done)),
        }[settings.schedule]
        return settings.learning_rate * rise * fall
