"""Training as the code of the Seq-U-Net paper does it: its models, data set and trainer, none of which is changed.

Its data set reads recordings from memory in place of an HDF5 file, its trainer is told the time by a clock of ours, and
hears from its logger when it is to stop. It trains with Adam on windows at random places, one-hot, each with its full
context before it; a step's time is what the trainer itself takes for it, which leaves out the making of its batch.
"""

import bisect
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import torch
from reference import VALUES, ReferenceCode, quiet
from torch.nn import functional as F
from trainees import AfterStep, Task

from seqgen_core.errors import SeqgenError
from seqgen_core.streams import Stream

SILENCE = 128
"""Code with which its data set fills up what lies before a recording; here, where one is shorter than a window."""
HOP = 40_000
"""Samples of a recording for each window of an epoch (its train.py)."""
SCORED = 40_960
"""Most outputs of a window that is scored: context before it is computed less often than in training."""


class ReferenceTraining:
    """The reference code, ready to train. Raises SeqgenError where its windows have other lengths than the task's."""

    def __init__(self, task: Task) -> None:
        assert task.reference is not None
        self._task = task
        np.random.seed(task.seed)
        code = ReferenceCode(task.reference)
        self._trainer, self._data, self._utils = code.modules("trainer", "data", "utils")
        with quiet():
            self._model = code.model(task.settings, task.targets)
        if self._model.output_size != task.targets:
            raise SeqgenError(f"its windows have {self._model.output_size} targets, not {task.targets}")
        recordings, self._held_out = self._recordings()
        self._rows, self._started, self._seconds = 0, None, 0.0
        self._data.h5py = SimpleNamespace(File=lambda *arguments, **options: recordings)
        self._data.SortedList = _Sorted
        self._dataset = self._data.AudioDataset(
            SimpleNamespace(path="", channels=1),
            input_size=self._model.output_size,
            context_front=self._model.input_size - self._model.output_size + 1,
            hop_size=HOP,
            random_hops=True,
            audio_transform=self._row,
        )

    def train(self, after_step: AfterStep) -> NoReturn:
        """Its trainer's loop."""
        self._trainer.time = SimpleNamespace(time=self._tick)
        self._trainer.tqdm = _Hidden
        self._trainer.print = lambda *words: None
        trainer = self._trainer.Trainer(
            self._model,
            SimpleNamespace(add_scalar=self._logger(after_step)),
            lr=self._task.learning_rate,
            eps=1e-8,
            cuda=False,
            num_workers=0,
        )
        trainer.train(self._dataset, batch_size=self._task.batch, epochs=10**9)
        raise AssertionError("it trained to the end")

    def score(self) -> float:
        """Mean bits of the held-out tokens, each in a window that has all of its context."""
        longest = max(len(stream.tokens) - stream.given for stream in self._held_out)
        model, wavenet = self._model.eval(), self._task.settings.kind == "wavenet"
        context = model.input_size - model.output_size
        outputs = min(SCORED, longest)
        bits, tokens = 0.0, 0
        with torch.no_grad(), quiet():
            if not wavenet:
                model.set_output_size(outputs)
                context, outputs = model.input_size - model.output_size, model.output_size
            for stream in self._held_out:
                codes, scored = np.array(stream.tokens, np.int64), stream.given
                padded = np.concatenate([np.full(context + outputs, SILENCE), codes])
                while scored < len(codes):
                    end = min(scored + outputs, len(codes))
                    piece = padded[end - 1 : end + context + outputs]  # as many inputs, and the last target
                    inputs, targets = self._utils.audio_to_onehot(piece[None], outputs, VALUES)
                    logits = self._utils.reshape_output(model(inputs[None]))
                    nats = F.cross_entropy(logits, targets.view(-1), reduction="none")
                    bits += float(nats[scored - end :].double().sum()) / np.log(2)
                    tokens, scored = tokens + end - scored, end
            if not wavenet:
                model.set_output_size(self._task.targets)
        model.train()
        return bits / tokens

    def _recordings(self) -> tuple["_Recordings", list[Stream]]:
        task = self._task
        if task.data is None:
            length = self._model.input_size + 1
            drawn = np.random.default_rng(task.seed).integers(0, VALUES, (task.batch, length))
            return _Recordings(list(drawn.astype(np.uint8))), []
        from ours import held_out, task_data

        data = task_data(task)
        long = [data.tokens(item) for item in data.items("train") if item.length >= self._model.output_size]
        if not long:
            raise SeqgenError(f"no recording of {task.data} has the {self._model.output_size} targets of its windows")
        return _Recordings(long), held_out(data, task)

    def _row(self, audio: np.ndarray) -> Any:
        """One row of a batch, made by its own code."""
        self._rows += 1
        return self._utils.audio_to_onehot(audio, self._model.output_size, VALUES)

    def _tick(self) -> float:
        """Its trainer asks for the time when a batch is there and when the optimiser has stepped."""
        now = time.perf_counter()
        if self._started is None:
            self._started = now
        else:
            self._seconds, self._started = now - self._started, None
        return now

    def _logger(self, after_step: AfterStep) -> Callable[[str, float, int], None]:
        def add_scalar(name: str, value: float, step: int) -> None:
            if name == "train_loss":
                rows, self._rows = self._rows, 0
                after_step(self._seconds, rows * self._model.output_size)

        return add_scalar


class _Recordings:
    """Recordings, uint8 (N,) each, to be read as if from the file that its data set would write."""

    def __init__(self, recordings: list[np.ndarray]) -> None:
        self._recordings = recordings

    def __len__(self) -> int:
        return len(self._recordings)

    def __getitem__(self, number: str) -> "_Recording":
        return _Recording(self._recordings[int(number)])

    def __enter__(self) -> "_Recordings":
        return self

    def __exit__(self, *details: object) -> None: ...


class _Recording:
    def __init__(self, tokens: np.ndarray) -> None:
        self.attrs, self._tokens = {"length": len(tokens)}, tokens

    def __getitem__(self, name: str) -> np.ndarray:
        assert name == "audio"
        return self._tokens[None]


class _Sorted(list):
    """As much of a sorted list as it asks for."""

    def bisect_right(self, value: int) -> int:
        return bisect.bisect_right(self, value)


class _Hidden:
    """A progress bar that nobody sees."""

    def __init__(self, total: int) -> None: ...

    def __enter__(self) -> "_Hidden":
        return self

    def __exit__(self, *details: object) -> None: ...

    def update(self, count: int) -> None: ...
