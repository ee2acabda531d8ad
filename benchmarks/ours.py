"""Our side of a benchmark of training: steps of `seqgen train`. Nothing else here depends on how it trains."""

import time
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from trainees import AfterStep, Task

from seqgen_core.data.store import Item, Manifest, PreparedData
from seqgen_core.errors import SeqgenError
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.run import DataAccount, RunSettings
from seqgen_core.settings.train import TrainSettings
from seqgen_core.streams import Stream, token_dtype
from seqgen_core.training.distributed import ALONE
from seqgen_core.training.learner import Learner

WINDOWS = 64
"""Windows of each of the recordings that are drawn at random."""


class OurTraining:
    """A learner as `seqgen train` has it without being told more; its learning rate does not rise or fall.

    Reading windows counts as a step's time, as far as it is waited for. What is scored are the averaged weights.
    """

    def __init__(self, task: Task) -> None:
        data = task_data(task)
        account = DataAccount(codec=data.manifest.codec)
        settings = RunSettings(model=task.settings, tokens=task.tokens, data=account, train=train_settings(task))
        self._rate = task.learning_rate
        self._learner = Learner(settings, data, ALONE)
        self._held_out = [] if task.data is None else held_out(data, task)

    def train(self, after_step: AfterStep) -> NoReturn:
        """One step after another."""
        with self._learner as learner:
            step = 0
            while True:
                started = time.perf_counter()
                tokens = learner.step(step, self._rate).tokens
                step += 1
                after_step(time.perf_counter() - started, tokens)

    def score(self) -> float:
        """Mean bits of the held-out tokens."""
        with self._learner.averaged() as model:
            return sum(score_streams(model, self._held_out), Score(0.0, 0, 0)).bits_per_token


def train_settings(task: Task) -> TrainSettings:
    """What `seqgen train` would be told."""
    return TrainSettings(
        batch_size=task.batch,
        window=task.targets,
        carry=task.carry or None,
        learning_rate=task.learning_rate,
        precision=task.precision,
        device="cpu",
        threads=task.threads,
        seed=task.seed,
    )


def task_data(task: Task) -> PreparedData:
    """The recordings that a task is about."""
    return RandomData(task) if task.data is None else PreparedData.open(task.data)


class RandomData(PreparedData):
    """As many recordings as a batch has windows, of tokens drawn at random, in memory; or images."""

    def __init__(self, task: Task) -> None:
        length = 1 + task.targets * (WINDOWS if task.carry else 1)
        items = tuple(
            Item(key=str(row), origin="random", split="train", shard="", offset=0, length=length, sha256="")
            for row in range(task.batch)
        )
        # The codec is that of sound whatever the tokens are: nothing is decoded.
        super().__init__(Path("random"), Manifest(codec=AudioCodecSettings(), tokens=task.tokens, items=items))
        drawn = np.random.default_rng(task.seed).integers(
            0, task.tokens.values, (task.batch, length, *task.tokens.shape)
        )
        self._drawn = drawn.astype(token_dtype(task.tokens.values))

    def tokens(self, item: Item) -> NDArray[np.unsignedinteger]:
        """Tokens (length, *shape) of an item."""
        return self._drawn[int(item.key)]


def held_out(data: PreparedData, task: Task) -> list[Stream]:
    """Stretches from the middle of the validation split's longest recordings, each after its context, which is given.

    They are as few recordings as keep what is given below what is scored. Raises SeqgenError where there are none.
    """
    items = sorted(data.items("valid"), key=lambda item: item.length, reverse=True)
    items = [item for item in items if item.length > item.given][: max(1, task.held_out // max(1, task.context))]
    if not items:
        raise SeqgenError(f"The validation split of {data.path} holds no recording.", hint="Raise its --valid-share.")
    streams, each = [], max(1, task.held_out // len(items))
    for item in items:
        first = max(item.given, (item.length - each) // 2)
        begin = max(0, first - task.context)
        streams.append(Stream(item.origin, data.tokens(item)[begin : first + each], given=first - begin))
    return streams
