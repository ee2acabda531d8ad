"""A model with all that changes beside it while it learns, on one device or over several.

Its weights, their average, the optimiser's tensors, the state that windows hand on, the random state: together with the
number of the step they decide every later weight, and make up a checkpoint.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgen_core import models
from seqgen_core.data.store import PreparedData
from seqgen_core.devices import choose_device, keep_memory, use_precision, use_threads
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.runs import Checkpoint
from seqgen_core.settings.run import RunSettings
from seqgen_core.training.average import MovingAverage
from seqgen_core.training.distributed import Group
from seqgen_core.training.feeding import Feeder, training_windows
from seqgen_core.training.objective import Objective, descend, gradient
from seqgen_core.training.parallel import Parallel, whole
from seqgen_core.training.snapshot import optimizer_tensors, restore_optimizer

CARRIED = "carried."
"""Begins the names of the state that windows hand on, among the tensors of the optimiser."""


@dataclass(frozen=True)
class Stepped:
    """One step: bits of this process's rows, summed; the gradient's L2 norm; tokens scored by all processes."""

    bits: float
    norm: float
    tokens: int


class Learner:
    """What learns, from a checkpoint or from the start. Use as a context manager.

    group: the processes that do so together. Every method but `step` has to be called by all of them together.
    Raises SeqgenError where the checkpoint does not hold the weights of this model, UsageError where settings do not
    go together.
    """

    def __init__(
        self, settings: RunSettings, data: PreparedData, group: Group, checkpoint: Checkpoint | None = None
    ) -> None:
        training = settings.train
        alone = group.size == 1
        if training.shard and alone:
            raise UsageError(
                "train.shard = true cuts a model over devices, and this is one.",
                hint="Add --devices N, or set shard=false.",
            )
        if training.shard and training.stats:
            raise UsageError(
                "train.stats = true needs whole weights on a device.", hint="Set stats=false or shard=false."
            )
        self.settings, self.group = settings, group
        use_threads(training.threads, group.place.local_size)
        self.device = choose_device(training.device, None if alone else group.place.local_rank)
        use_precision(training.precision, self.device)
        if self.device.type == "cpu":
            keep_memory()
        torch.manual_seed(training.seed)
        self.model = models.build(settings.model, settings.tokens)
        if checkpoint is not None:
            _load_weights(self.model, checkpoint)
        self.model.to(self.device)
        objective = Objective(self.model, training.precision)
        if training.compile:
            objective.compile()
        self.parallel = Parallel(objective, group, self.device, shard=training.shard)
        self.average = MovingAverage(self.model, training.ema) if training.ema else None
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.epsilon,
            weight_decay=training.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.windows = training_windows(self.model, data, training)
        own = group.rows(training.batch_size)
        self.feeder = Feeder(self.windows, self.model, self.device, own, training.accumulate)
        self.carried: list[list[Tensor] | None] = [None] * len(self.feeder.parts)
        if checkpoint is not None:
            self._restore(checkpoint)
        if not group.main:  # its own dropout, which no checkpoint keeps
            begun = 0 if checkpoint is None else checkpoint.account["step"]
            torch.manual_seed(hash((training.seed, group.rank, begun)))

    def __enter__(self) -> "Learner":
        return self

    def __exit__(self, *details: object) -> None:
        self.feeder.close()

    def step(self, number: int, rate: float) -> Stepped:
        """Learn from batch `number`, at a learning rate. No weight moves where the gradient is no number."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        parts, bits = self.feeder.batch(number), 0.0
        total = parts[0].total
        for place, part in enumerate(parts):
            with self.parallel.part(last=place == len(parts) - 1):
                summed, self.carried[place] = self.parallel.run(part, self.carried[place])
                gradient(summed, total, self.group.size)
            bits += summed.item()
        norm = descend(self.model.parameters(), self.optimizer, self.settings.train.clip_norm)
        if self.average is not None and math.isfinite(norm):
            self.average.update(self.model, number + 1)
        return Stepped(bits, norm, total)

    @contextmanager
    def averaged(self) -> Generator[CausalModel]:
        """The model to be measured and heard, in evaluation mode, with the averages of its weights if there are any."""
        if self.settings.train.shard:
            model = models.build(self.settings.model, self.settings.tokens)
            weights = self.model.state_dict() if self.average is None else self.average.weights
            model.load_state_dict(whole(weights))
            yield model.to(self.device).eval()
            return
        with self.average.applied_to(self.model) if self.average is not None else nullcontext():
            yield self.model.eval()

    @property
    def carries(self) -> bool:
        """Whether each process has a state of its own, which windows hand on."""
        return any(part is not None for part in self.carried)

    def unfit_weight(self) -> str | None:
        """The name of a weight that is no number, if there is one."""
        for name, value in whole(self.model.state_dict()).items():
            if not bool(torch.isfinite(value).all()):
                return name
        return None

    def checkpoint(self, account: dict, *, together: bool = True) -> Checkpoint:
        """Everything that decides the next weights; together: with what the other processes have of it."""
        weights = whole(self.model.state_dict())
        average = whole(self.average.weights) if self.average is not None else {}
        optimizer = whole(optimizer_tensors(self.model, self.optimizer, self.device))
        if together:
            optimizer |= {f"{CARRIED}{place}": part for place, part in enumerate(self._all_carried())}
        return Checkpoint(weights, average, optimizer, account)

    def _all_carried(self) -> list[Tensor]:
        """What windows hand on, (rows of all parts and processes, …), in the main process; empty where nothing is."""
        both = zip(self.feeder.parts, self.carried, strict=True)
        # a process without rows computes one of which nothing counts, and which has no place in the state
        own = [[piece[: rows.stop - rows.start] for piece in part] for rows, part in both if part is not None]
        # copies, since parts of a state may be views of one tensor, which safetensors does not write
        joined = [torch.cat(pieces).cpu() for pieces in zip(*own, strict=True)]
        everyone = [pieces for pieces in self.group.to_main(joined) if pieces]
        return [torch.cat(pieces) for pieces in zip(*everyone, strict=True)]

    def _restore(self, checkpoint: Checkpoint) -> None:
        if self.average is not None:
            self.average.load(checkpoint.ema or checkpoint.model)  # imported weights come without an average
        restore_optimizer(checkpoint.optimizer, self.model, self.optimizer, self.device)
        count = sum(name.startswith(CARRIED) for name in checkpoint.optimizer)
        if count:
            state = [checkpoint.optimizer[f"{CARRIED}{place}"] for place in range(count)]
            self.carried = [[part[rows].to(self.device) for part in state] for rows in self.feeder.parts]


def _load_weights(model: CausalModel, checkpoint: Checkpoint) -> None:
    try:
        model.load_state_dict(checkpoint.model)
    except RuntimeError as error:
        raise SeqgenError(f"The last checkpoint does not hold the weights of its model: {error}.") from error
