"""What training takes at a given batch size: real steps of the heaviest batches, memory and speed measured.

Rows: windows that one device computes at once.
"""

import dataclasses
import gc
import sys
import time
from dataclasses import dataclass

import torch

from seqgen_core.data.store import PreparedData
from seqgen_core.data.windows import ALL_ROWS, Batch, WindowSource
from seqgen_core.settings.run import RunSettings
from seqgen_core.training import memory
from seqgen_core.training.apart import ProcessDiedError, Tell, apart
from seqgen_core.training.distributed import ALONE
from seqgen_core.training.feeding import Feeder
from seqgen_core.training.learner import Learner

TIMED = 3
"""Steps whose time is taken, the quickest counting."""
ENOUGH = 1.0
"""Seconds of timed steps after which there are no further ones."""


@dataclass(frozen=True)
class Measured:
    """Steps of `rows` windows at once. base, peak: bytes before the first step, and at most. speed: tokens scored per
    second. seconds: all of it, process and model included.
    """

    rows: int
    base: int
    peak: int
    speed: float
    seconds: float


def in_a_child(settings: RunSettings, rows: int) -> Measured | None:
    """`steps` on the CPU, in a process that is forked, so nothing may have been computed in this one."""
    begun = time.monotonic()
    try:
        one = apart(steps, settings, rows, method="fork" if sys.platform == "linux" else "spawn")
    except ProcessDiedError:  # killed for its memory
        return None
    return None if one is None else dataclasses.replace(one, seconds=time.monotonic() - begun)


def on_gpu(settings: RunSettings, rows: int) -> Measured | None:
    """`steps` on the current GPU, with nothing left there from earlier ones."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return steps(lambda said: None, settings, rows)


def steps(tell: Tell, settings: RunSettings, rows: int) -> Measured | None:
    """Steps of the heaviest batches of so many rows; None where memory runs out."""
    begun = time.monotonic()
    try:
        with _learner(settings, rows) as learner:
            cuda = learner.device.type == "cuda"
            base = torch.cuda.max_memory_allocated() if cuda else memory.peak()
            for number in (0, 1):
                learner.step(number, rate=0.0)
            speeds, started = list[float](), time.monotonic()
            for number in range(2, 2 + TIMED):
                before = time.monotonic()
                scored = learner.step(2 * number + 1, rate=0.0).tokens
                speeds.append(scored / (time.monotonic() - before))
                if time.monotonic() - started > ENOUGH:
                    break
            peak = torch.cuda.max_memory_allocated() if cuda else memory.peak()
    except (torch.OutOfMemoryError, MemoryError):
        return None
    except RuntimeError as error:
        if "allocate memory" in str(error) or "out of memory" in str(error).lower():
            return None
        raise
    return Measured(rows, base, peak, max(speeds), time.monotonic() - begun)


class _Heaviest:
    """Gives the heaviest batches of some windows in turn."""

    def __init__(self, windows: WindowSource) -> None:
        self._batches = windows.heaviest()
        self.steps_per_epoch, self.most = len(self._batches), windows.most

    def batch(self, step: int, rows: slice = ALL_ROWS) -> Batch:
        """All rows of it."""
        return self._batches[step % self.steps_per_epoch]

    def heaviest(self) -> list[Batch]:
        """All there are."""
        return self._batches


def _learner(settings: RunSettings, rows: int) -> Learner:
    """A run's learner that is given the heaviest batches of so many rows, not compiled."""
    small = {"batch_size": rows, "accumulate": 1, "devices": 1, "compile": False}
    training = settings.train.model_copy(update=small)
    learner = Learner(settings.model_copy(update={"train": training}), run_data(settings), ALONE)
    learner.feeder.close()
    learner.feeder = Feeder(_Heaviest(learner.windows), learner.model, learner.device, slice(0, rows), parts=1)
    return learner


def run_data(settings: RunSettings) -> PreparedData:
    """The prepared data of a run."""
    return PreparedData.open(settings.data.path or settings.train.data)
