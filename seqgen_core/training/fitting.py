"""The batch size that a run's devices take: real training steps, measured, each size in a process of its own.

Memory grows in proportion to the windows at once: sizes are doubled until one does not fit, and what lies between is
halved; or until two doublings in a row compute no more tokens per second, and then the smallest that is as fast is
taken, for it takes more steps in the same time. Rows: windows that one device computes at once.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from seqgen_core import models
from seqgen_core.devices import choose_device, default_threads
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Progress
from seqgen_core.settings.run import RunSettings
from seqgen_core.training import memory
from seqgen_core.training.apart import Tell, apart
from seqgen_core.training.feeding import training_windows
from seqgen_core.training.measuring import Measured, in_a_child, on_gpu, run_data

SHARE = 0.8
"""Of the memory that is free, what training may take; other programs have the rest."""
RESERVED = 512 * 2**20
"""Bytes of the machine's memory for what a trainer holds beside its steps, such as validation, samples, TensorBoard:
355 MiB more than the steps of a Seq-U-Net were measured."""
WORTH = 1.05
"""Times as many tokens per second make a larger batch worth it."""
GIB = 2**30
MIB = 2**20


@dataclass(frozen=True)
class Fit:
    """What was found for one device. room: bytes that training may take. most: rows that the data have.

    largest: rows that fit; exact: whether tried, or reckoned from smaller ones. tried: in the order of rows.
    """

    rows: int
    largest: int
    exact: bool
    room: int
    most: int
    tried: tuple[Measured, ...]

    @property
    def per_window(self) -> float:
        """Bytes that a further window takes."""
        return _slope(self.tried)


def fit_batch(settings: RunSettings, devices: int, local: int, seconds: float, progress: Progress) -> int:
    """The batch size for a run to be, said in one line. settings.train.batch_size does not matter.

    devices: that will train together, of which `local` are in this machine. seconds: after which no further size is
    tried.
    Raises SeqgenError where not one window fits, UsageError on devices whose memory cannot be measured.
    """
    training = settings.train
    if not training.threads:  # those that each of the processes will have
        training = training.model_copy(update={"threads": default_threads(local)})
        settings = settings.model_copy(update={"train": training})
    if training.shard:
        raise UsageError(
            "train.batch_size = auto measures on one device, and train.shard = true cuts the model over several.",
            hint="Name a number.",
        )
    device = choose_device(training.device)
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"The memory of {device.type} cannot be measured.", hint="Name a number as --batch-size.")
    progress.begin("trying batch sizes", None, "windows a step")

    def show(one: Measured) -> None:
        progress.update(one.rows, **{"MiB": f"{one.peak / MIB:,.0f}", "tokens/s": f"{one.speed:,.0f}"})

    # the devices of a machine share its memory where they are its CPU
    room = max(0, int(SHARE * memory.available() / local) - RESERVED) if device.type == "cpu" else 0
    at_once = training.accumulate * devices
    windows = _windows(settings)
    try:
        fit = apart(_search, settings, math.ceil(windows / at_once), room, seconds, told=show)
    finally:
        progress.end()
    size = min(windows, fit.rows * at_once)
    progress.say(_sentence(fit, size, devices, training.accumulate))
    return size


def seconds_for(max_time: float | None) -> float:
    """How long finding a setting may take: a minute, or a tenth of the run's time, but 20 seconds in any case."""
    return min(60.0, max(20.0, 0.1 * max_time)) if max_time is not None else 60.0


def search(
    measure: Callable[[int], Measured | None], most: int, room: int, seconds: float, *, foresee: bool = True
) -> Fit:
    """Try 1, 2, 4 … up to `most` rows; measure gives None for rows that do not fit into `room` bytes.

    seconds: after which no further size is tried. foresee: leave out what would not fit, reckoned from smaller ones.
    Raises SeqgenError where one row does not fit.
    """
    begun, tried = time.monotonic(), list[Measured]()

    def fits(rows: int) -> bool:
        if foresee and tried and _reckoned(tried, rows) > room:
            return False
        one = measure(rows)
        if one is None or one.peak > room:
            return False
        tried.append(one)
        tried.sort(key=lambda each: each.rows)
        return True

    if not fits(1):
        raise SeqgenError(
            f"Not one window of train.window and its context fits into {room / GIB:.1f} GiB of memory.",
            hint="Lower train.window or train.context, or take a smaller model.",
        )
    refused = most + 1
    while tried[-1].rows < most and _gained(tried):
        if time.monotonic() - begun + 2 * tried[-1].seconds > seconds:
            break
        wanted = min(2 * tried[-1].rows, most)
        if not fits(wanted):
            refused = wanted
            break
    while _gained(tried) and refused <= most and not _near(refused, tried[-1].rows):
        middle = (tried[-1].rows + refused) // 2
        if time.monotonic() - begun + 2 * tried[-1].seconds > seconds:
            break
        if not fits(middle):
            refused = middle
    fastest = max(one.speed for one in tried)
    taken = next(one.rows for one in tried if one.speed * WORTH >= fastest)
    largest, exact = tried[-1].rows, _near(refused, tried[-1].rows)
    if not exact:
        further = (room - tried[-1].peak) / max(1.0, _slope(tried))
        largest = min(refused - 1, largest + int(max(0.0, further)))
    return Fit(taken, largest, exact, room, most, tuple(tried))


def _near(refused: int, rows: int) -> bool:
    """Whether trying sizes between two is not worth the time."""
    return refused - rows <= max(1, rows // 8)


def _gained(tried: list[Measured]) -> bool:
    """Whether one of the last two sizes was faster than all smaller ones."""
    if len(tried) < 3:
        return True
    return max(one.speed for one in tried[-2:]) > WORTH * max(one.speed for one in tried[:-2])


def _slope(tried: "tuple[Measured, ...] | list[Measured]") -> float:
    """Bytes per further row."""
    last = tried[-1]
    if len(tried) == 1:
        return (last.peak - last.base) / last.rows
    return max(0.0, (last.peak - tried[-2].peak) / (last.rows - tried[-2].rows))


def _reckoned(tried: list[Measured], rows: int) -> float:
    return tried[-1].peak + _slope(tried) * (rows - tried[-1].rows)


def _windows(settings: RunSettings) -> int:
    """Windows that a batch can have at most."""
    with torch.device("meta"):
        model = models.build(settings.model, settings.tokens)
    one = settings.train.model_copy(update={"batch_size": 1})
    return training_windows(model, run_data(settings), one).most


def _search(tell: Tell, settings: RunSettings, most: int, room: int, seconds: float) -> Fit:
    """What fits on one device, in a process of its own. most: rows. room: bytes, on the CPU."""
    device = choose_device(settings.train.device)
    cuda = device.type == "cuda"
    if cuda:
        free, total = torch.cuda.mem_get_info(device)
        room = int(SHARE * free)
        torch.cuda.set_per_process_memory_fraction(room / total, device)

    def measure(rows: int) -> Measured | None:
        one = on_gpu(settings, rows) if cuda else in_a_child(settings, rows)
        if one is not None:
            tell(one)
        return one

    return search(measure, most, room, seconds, foresee=not cuda)


def _sentence(fit: Fit, size: int, devices: int, parts: int) -> str:
    """What was found, in one line: what was taken and why, memory of a window, the largest that fits."""
    at_once = f"{fit.rows} at once" if parts > 1 else str(fit.rows)
    each = f"{at_once} on each of {devices} devices" if devices > 1 else at_once
    about = "" if fit.exact else "about "
    largest = f"{about}{fit.largest:,} fit into {fit.room / GIB:.1f} GiB"
    if fit.largest >= fit.most:
        largest = f"all {fit.most:,} of the data fit" if fit.most > 1 else "the data have no more"
    why = "as many as fit"
    quickest = max(fit.tried, key=lambda one: one.speed)
    taken = next(one for one in fit.tried if one.rows == fit.rows)
    if fit.rows < fit.tried[-1].rows:
        why = (
            f"more are no faster ({taken.speed:,.0f} tokens/s, {quickest.speed:,.0f} at best)"
            if taken is not quickest
            else f"more are no faster than {taken.speed:,.0f} tokens/s"
        )
    elif fit.rows >= fit.most:
        why = "as many as the data have"
    elif fit.rows < fit.largest:
        why = "larger ones would have taken too long to try"
    shown = f" ({each})" if parts > 1 or devices > 1 else ""
    return f"batch size {size:,}{shown}: {why}; a window takes {fit.per_window / MIB:,.1f} MiB, {largest}"
