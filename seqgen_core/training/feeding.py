"""Which batches a model is trained on: windows that stand alone, whole images, or windows that carry the state on.

They are read from the memory maps and brought to the device one step ahead, by a thread of their own.
"""

import itertools
import math
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from seqgen_core.data.carried import CarriedWindows
from seqgen_core.data.store import PreparedData
from seqgen_core.data.windows import Windows, WindowSource
from seqgen_core.errors import UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.train import TrainSettings
from seqgen_core.streams import Stream
from seqgen_core.training.objective import Placed, place


def training_windows(model: CausalModel, data: PreparedData, settings: TrainSettings) -> WindowSource:
    """The batches that the settings ask for.

    A recurrent model carries its state unless the settings say otherwise; a model of images takes whole images.
    Raises UsageError where the state cannot be carried or a recording lacks the label that the model is to be told,
    SeqgenError where there is nothing to train on.
    """
    items = data.items("train")
    bare = sum(item.label is None for item in (*items, *data.items("valid")))
    if model.classes and bare:
        raise UsageError(
            f"model.classes = {model.classes}, but {bare:,} of the recordings in {data.path} have no label.",
            hint="Prepare the data with a label for each, or set model.classes=0.",
        )
    carry = settings.carry if settings.carry is not None else model.receptive_field is None
    batch_size, seed = settings.batch_size, settings.seed
    if model.longest is not None:
        if settings.carry:
            raise UsageError(
                "train.carry = true means nothing for a model of images: each is taken whole.",
                hint="Leave it out, or set carry=none.",
            )
        return Windows(data, items, window=model.longest - 1, context=0, batch_size=batch_size, seed=seed)
    if not carry:
        reach = model.receptive_field or 1
        context = settings.context if settings.context is not None else reach - 1
        return Windows(data, items, window=settings.window, context=context, batch_size=batch_size, seed=seed)
    if settings.window % model.period:
        near = max(1, round(settings.window / model.period)) * model.period
        raise UsageError(
            f"train.window = {settings.window} is no multiple of {model.period}, the model's period, so its state"
            " cannot be carried from window to window.",
            hint=f"Set window={near}.",
        )
    return CarriedWindows(data, items, window=settings.window, batch_size=batch_size, seed=seed)


def within_budget(data: PreparedData, budget: int) -> list[Stream]:
    """Held-out recordings, evenly picked over the split and cut: all, but `budget` tokens together; 0 is everything.

    The last one picked is cut where the budget ends.
    """
    usable = [item for item in data.items("valid") if item.length > item.given]
    total = sum(item.length for item in usable)
    if not budget or total <= budget:
        return [data.stream(item) for item in usable]
    picked, left = [], max(1 + usable[0].given, budget)
    for item in usable[:: math.ceil(total / budget) if len(usable) > 1 else 1]:
        if left > item.given:
            picked.append(data.stream(item, min(item.length, left)))
            left -= item.length
    return picked


class Feeder:
    """Gives the rows of one process of every batch, in parts, on its device. Close it in the end.

    rows: this process's first row and the one after its last, of a batch of batch_size. parts: at most so many.
    """

    def __init__(self, source: WindowSource, model: CausalModel, device: torch.device, rows: slice, parts: int) -> None:
        self._source, self._model, self._device = source, model, device
        first, stop = rows.start, rows.stop
        parts = max(1, min(parts, stop - first))
        edges = [first + (stop - first) * part // parts for part in range(parts + 1)]
        self.parts = [slice(start, end) for start, end in itertools.pairwise(edges)]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[list[Placed]]] | None = None

    def close(self) -> None:
        """Wait for what is being read, and read no more."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int) -> list[Placed]:
        """The parts of a step's batch; the next step's are begun."""
        if self._ahead is None or self._ahead[0] != step:
            self._ahead = step, self._thread.submit(self._build, step)
        parts = self._ahead[1].result()
        self._ahead = step + 1, self._thread.submit(self._build, step + 1)
        return parts

    def _build(self, step: int) -> list[Placed]:
        return [place(self._model, self._source.batch(step, rows), self._device) for rows in self.parts]
