"""A learning-rate range test: the rate rises from step to step, and the course of the loss tells which to train with.

Sources: Smith 2017, arXiv:1506.01186, section 3.3, for the test; Gugger 2018, "How Do You Find A Good Learning Rate",
for its exponential course, for ending it once the loss is a multiple of the best, and for taking a rate below that of
the lowest loss. What differs: the loss is smoothed over neighbours on both sides, which does not shift its minimum,
and the rate taken is a third of that, where Gugger advises a tenth; see BELOW_LOWEST.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seqgen_core.devices import memory_guard
from seqgen_core.errors import UsageError
from seqgen_core.progress import Progress
from seqgen_core.settings.run import RunSettings
from seqgen_core.training.apart import Tell, apart
from seqgen_core.training.distributed import ALONE
from seqgen_core.training.learner import Learner
from seqgen_core.training.measuring import run_data

FIRST, LAST = 1e-6, 1.0
"""Learning rates of the first step and the last."""
STEPS, FEWEST = 100, 30
"""Steps of a test, and where they are slow."""
SMOOTHING = 0.1
"""Standard deviation, in powers of ten of the rate, of the bell by which neighbours are weighed."""
DIVERGED = 2.0
"""Times the lowest loss so far at which the test ends."""
QUIET = 1e-5
"""Learning rate below which nothing is learnt in a few steps: the loss there is where it starts from."""
BELOW_LOWEST = 3.0
"""How far the chosen rate stays below that of the lowest loss. Training bears more than the test, which has no warm-up.

Measured after 300 steps, held out: a third had 0.07, 0.15 and 0.55 bits less than a tenth with a Seq-U-Net on text, a
SampleRNN on sound and a WaveNet on sound, and 0.02 bits more with a Seq-U-Net on sound."""


@dataclass(frozen=True)
class RangeTest:
    """What a test came to. rates, bits, smoothed: of each step, bits per token. seconds: all of it.

    lowest: the rate of the lowest smoothed loss. chosen: the rate to train with, None where the test tells none, and
    then trouble says why.
    """

    rates: tuple[float, ...]
    bits: tuple[float, ...]
    smoothed: tuple[float, ...]
    lowest: float | None
    chosen: float | None
    trouble: str
    seconds: float

    def account(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def range_test(settings: RunSettings, devices: int, seconds: float, progress: Progress) -> RangeTest:
    """Test rates on a run to be, with weights of its own, in a process of its own, on one device.

    devices: that will train together; the one computes their shares of a batch one after another. seconds: how long
    it may take; it takes fewer steps where they are slow. settings.train.learning_rate does not matter.
    Raises UsageError for a model that is cut over devices, SeqgenError where memory runs out.
    """
    if settings.train.shard:
        raise UsageError(
            "train.learning_rate = auto tests on one device, and train.shard = true cuts the model over several.",
            hint="Name a number.",
        )
    parts = settings.train.accumulate * devices
    alone = {"devices": 1, "accumulate": parts, "compile": False, "ema": 0.0}
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=alone)})
    begun = time.monotonic()
    progress.begin("testing learning rates", None, "steps")

    def show(step: tuple[int, float, float]) -> None:
        number, rate, bits = step
        progress.update(number, rate=rate, bits=bits)

    try:
        steps = apart(_sweep, settings, seconds, told=show)
    finally:
        progress.end()
    return judge(steps, time.monotonic() - begun)


def sweep(settings: RunSettings, steps: int, tell: Tell) -> list[tuple[float, float]]:
    """The learning rate and the bits per token of each step, until the loss has diverged or is no number."""
    done, trailing, best = list[tuple[float, float]](), 0.0, math.inf
    with Learner(settings, run_data(settings), ALONE) as learner:
        for number in range(steps):
            rate = FIRST * (LAST / FIRST) ** (number / (steps - 1))
            stepped = learner.step(number, rate)
            bits = stepped.bits / max(1, stepped.tokens)
            if not (math.isfinite(bits) and math.isfinite(stepped.norm)):
                break
            done.append((rate, bits))
            tell((number + 1, rate, bits))
            share = max(0.2, 1 / (number + 1))
            trailing += share * (bits - trailing)
            best = min(best, trailing)
            if trailing > DIVERGED * best:
                break
    return done


def judge(steps: Sequence[tuple[float, float]], seconds: float = 0.0) -> RangeTest:
    """Which rate the course of the loss recommends: a third of that at which the smoothed loss is lowest.

    None where the loss did not fall below its start by more than its own unsteadiness and a hundredth of it.
    """
    if len(steps) < 3:
        rates, bits = tuple(rate for rate, _ in steps), tuple(loss for _, loss in steps)
        return RangeTest(rates, bits, bits, None, None, "the loss diverged at once", seconds)
    rates, bits = np.array(steps).T
    places = np.log10(rates)
    width = max(SMOOTHING, float(places[1] - places[0]))
    weights = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    smoothed = weights @ bits / weights.sum(axis=1)
    place = int(smoothed.argmin())
    lowest, fall = float(rates[place]), float(bits[rates <= QUIET].mean() - smoothed[place])
    unsteady = float((bits - smoothed)[: place + 1].std())
    chosen, trouble = _rounded(max(FIRST, lowest / BELOW_LOWEST)), ""
    if lowest <= QUIET or fall <= max(2 * unsteady, 0.01 * float(smoothed[0])):
        chosen, trouble = None, "the loss did not fall at any rate"
    return RangeTest(
        tuple(rates.tolist()), tuple(bits.tolist()), tuple(smoothed.tolist()), lowest, chosen, trouble, seconds
    )


def _rounded(rate: float) -> float:
    """To two digits, as people write rates."""
    return float(f"{rate:.1e}")


def _sweep(tell: Tell, settings: RunSettings, seconds: float) -> list[tuple[float, float]]:
    with memory_guard("Lower train.batch_size or train.window, or raise train.accumulate."):
        with Learner(settings, run_data(settings), ALONE) as learner:
            learner.step(0, 0.0)  # allocates and compiles; the next two tell the time
            begun = time.monotonic()
            learner.step(1, 0.0)
            learner.step(2, 0.0)
            each = (time.monotonic() - begun) / 2
        return sweep(settings, max(FEWEST, min(STEPS, int(seconds / each))), tell)
