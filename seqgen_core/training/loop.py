"""The training loop: from a run folder's last checkpoint (or nothing) to its limit, a stop, or a failure.

Everything that decides the next weights is in the checkpoint or follows from (settings, step), so on one machine's CPU
N steps, a stop and N more give the very weights of 2N steps, unless a limit in time shapes the learning rate.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqgen_core import models
from seqgen_core.data.store import PreparedData
from seqgen_core.devices import choose_device, memory_guard, use_threads
from seqgen_core.errors import SeqgenError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.previews import Preview
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import Checkpoint, RunFolder
from seqgen_core.streams import Stream
from seqgen_core.training.average import MovingAverage
from seqgen_core.training.feeding import training_windows
from seqgen_core.training.interval import Interval
from seqgen_core.training.journal import Journal
from seqgen_core.training.objective import batch_bits, gradient_step
from seqgen_core.training.schedule import Schedule
from seqgen_core.training.snapshot import optimizer_tensors, restore_optimizer
from seqgen_core.training.stopping import StopAsked, StopSignals

CARRIED = "carried."
"""Begins the names of the state that windows hand on, among the tensors of the optimiser."""
MEMORY_HINT = "Lower train.batch_size first, then train.window; a smaller model or train.context helps too."

DrawSamples = Callable[[CausalModel, int], Iterable[Preview]]
"""(model, step) → clips to show; hands the loop what was drawn without tying it to generation."""


@dataclass(frozen=True)
class TrainReport:
    """How a training ended.

    status: finished or interrupted, with the reason in words. bits: held-out bits per token of the last and of the
    best validation (None without a validation split). seconds: training time in all, earlier sittings included.
    """

    status: str
    reason: str
    step: int
    seconds: float
    tokens: int
    valid_bits: float | None
    best_bits: float | None
    best_step: int | None


def train(
    run: RunFolder, data: PreparedData, progress: Progress | None = None, draw_samples: DrawSamples | None = None
) -> TrainReport:
    """Train the run on the data until its limit, Ctrl-C or SIGTERM, resuming from its last checkpoint.

    Raises SeqgenError when the loss is no number any more (the last checkpoint stays good), when memory runs out,
    or when another process holds the run.
    """
    with run.locked(), memory_guard(MEMORY_HINT), StopSignals() as stop:
        trainer = _Trainer(run, data, progress or Silent(), draw_samples, stop)
        run.set_status("running", trainer.step)
        try:
            with Journal(run, trainer.step, tensorboard=run.settings.train.tensorboard) as journal:
                report = trainer.run_to_the_end(journal)
        except KeyboardInterrupt:
            run.set_status("interrupted", trainer.step, "stopped at once by a second Ctrl-C")
            raise
        except BaseException as error:
            run.set_status("failed", trainer.step, str(error) or type(error).__name__)
            raise
        run.set_status(report.status, report.step, report.reason)
        return report


_BEFORE_TRAINING: dict[str, Any] = {
    "tokens": 0,
    "elapsed": 0.0,
    "valid_bits": None,
    "best_bits": None,
    "best_step": None,
    "validations_without_better": 0,
    "validated_step": 0,
    "interval": {},
}
"""Account of a checkpoint that no training wrote, such as imported weights."""


class _Trainer:
    def __init__(
        self,
        run: RunFolder,
        data: PreparedData,
        progress: Progress,
        draw_samples: DrawSamples | None,
        stop: StopSignals,
    ) -> None:
        settings = run.settings.train
        self.run, self.data, self.settings = run, data, settings
        self.progress, self.draw_samples, self.stop = progress, draw_samples, stop
        use_threads(settings.threads)
        self.device = choose_device(settings.device)
        torch.manual_seed(settings.seed)
        self.model = models.build(run.settings.model, run.settings.tokens).to(self.device)
        self.average = MovingAverage(self.model, settings.ema) if settings.ema else None
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
        )
        self.windows = training_windows(self.model, data, settings)
        self.carried: list[Tensor] | None = None
        self.schedule = Schedule(settings, self.windows.steps_per_epoch)
        self.valid_streams = _within_budget(data, settings.validate_tokens)
        self.step, self.tokens, self.elapsed_before = 0, 0, 0.0
        self.valid_bits: float | None = None
        self.best_bits: float | None = None
        self.best_step: int | None = None
        self.validations_without_better = 0
        self.validated_step = 0
        self.interval = Interval()
        if run.steps():
            self._restore(run.load("last"))
        self.started = self.saved = time.monotonic()

    @property
    def elapsed(self) -> float:
        return self.elapsed_before + time.monotonic() - self.started

    def run_to_the_end(self, journal: Journal) -> TrainReport:
        self._rehearse()
        status, reason = self._steps(journal)
        if not self.run.steps() or self.run.choose("last") != self.step:
            self._save()
        return TrainReport(
            status, reason, self.step, self.elapsed, self.tokens, self.valid_bits, self.best_bits, self.best_step
        )

    def _steps(self, journal: Journal) -> tuple[str, str]:
        settings = self.settings
        self.interval.go_on()
        self.progress.begin("training", self.schedule.steps, "steps")
        try:
            while not self.stop.requested:
                over = self.schedule.progress(self.step, self.elapsed) >= 1
                # Asked before a step, not after one, so that a validation that a stop cut short is made up for.
                due = (over or self.step % settings.validate_every == 0) and self.validated_step != self.step
                if due:
                    self._validate(journal)
                    self.interval.go_on()
                    if settings.patience is not None and self.validations_without_better >= settings.patience:
                        return "finished", f"no better validation in {settings.patience}, so it stopped early"
                if over:
                    return "finished", "its limit is reached"
                self._one_step()
                if self.step % settings.log_every == 0 and self.interval.bits:
                    journal.figures("train", self.step, **self.interval.figures(), elapsed=self.elapsed)
                    self.interval = Interval()
                if settings.sample_every and self.step % settings.sample_every == 0:
                    self._draw(journal)
                if time.monotonic() - self.saved >= settings.save_every:
                    self._save()
        except StopAsked:
            pass
        finally:
            self.progress.end()
        return "interrupted", f"stopped by {self.stop.requested}"

    def _one_step(self) -> None:
        batch = self.windows.batch(self.step)
        rate = self.schedule.learning_rate(self.step, self.elapsed)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        bits, self.carried = batch_bits(self.model, batch, self.device, self.settings.precision, self.carried)
        value, norm = gradient_step(self.model, self.optimizer, bits, self.settings.clip_norm)
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise self._diverged(
                f"The loss is no number any more at step {self.step + 1} (bits {value}, gradient norm {norm})"
            )
        self.step += 1
        self.tokens += batch.scored
        if self.average is not None:
            self.average.update(self.model, self.step)
        self.interval.add(value, norm, rate, batch.scored)
        shown: dict[str, float | str] = {"bits": value, "tokens/s": f"{self.interval.speed():,.0f}"}
        if self.valid_bits is not None:
            shown["held-out bits"] = self.valid_bits
        if self.schedule.steps is None and self.settings.max_time is not None:
            shown["time left"] = f"{max(0.0, self.settings.max_time - self.elapsed):.0f} s"
        self.progress.update(self.step, **shown)

    def _rehearse(self) -> None:
        """Score and save nothing yet, but run validation's path once, so that it cannot break after an hour."""
        for stream in self.valid_streams[:1]:
            score_streams(self.model.eval(), [stream.cut(1024)])

    def _validate(self, journal: Journal) -> None:
        better = False
        self.progress.update(self.step, now="validating")
        self._check_weights()
        if self.valid_streams:
            score = self._score(self.valid_streams)
            self.valid_bits = score.bits_per_token
            if not math.isfinite(self.valid_bits):
                raise self._diverged(f"The held-out loss is no number after step {self.step} (bits {self.valid_bits})")
            better = self.best_bits is None or self.valid_bits < self.best_bits
            if better:
                self.best_bits, self.best_step, self.validations_without_better = self.valid_bits, self.step, 0
            else:
                self.validations_without_better += 1
            journal.figures(
                "valid",
                self.step,
                bits=self.valid_bits,
                accuracy=score.accuracy,
                tokens=score.tokens,
                elapsed=self.elapsed,
            )
            self.progress.say(
                f"step {self.step:,}: held-out {self.valid_bits:.3f} bits per token"
                f" ({score.accuracy:.1%} right){', the best so far' if better else ''}"
            )
        self.validated_step = self.step
        self._save(better=better)
        if self.settings.stats:
            journal.histograms(self.step, self.model)
        if better and not self.settings.sample_every:
            self._draw(journal)

    def _score(self, streams: list[Stream]) -> Score:
        def check_stop(tokens: int) -> None:
            if self.stop.requested:
                raise StopAsked

        with self._averaged():
            scores = score_streams(self.model.eval(), streams, advanced=check_stop)
        return sum(scores, Score(0.0, 0, 0))

    def _draw(self, journal: Journal) -> None:
        if self.draw_samples is not None and self.settings.sample_count:
            self.progress.update(self.step, now="drawing a sample")
            # Drawing can take minutes; what it had not yet drawn is no loss. The weights come back outside of it.
            with self._averaged(), self.stop.at_once():
                drawing = copy.deepcopy(self.model).eval().fold()  # weight normalisation would be done at each step
                journal.previews(self.step, list(self.draw_samples(drawing, self.step)))

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.applied_to(self.model) if self.average is not None else nullcontext()

    def _check_weights(self) -> None:
        """Raise before weights that are no numbers replace the last good checkpoint."""
        for name, value in self.model.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise self._diverged(f"The weights {name} are no numbers any more after step {self.step}")

    def _diverged(self, what: str) -> SeqgenError:
        there = self.run.steps()
        rate, clip = self.settings.learning_rate, self.settings.clip_norm
        changes = [f"train.learning_rate (now {rate:g})", f"train.clip_norm (now {clip or 'none'})"]
        hint = f"Lower {' or '.join(changes)}" + (
            ", or use precision fp32" if self.settings.precision == "bf16" else ""
        )
        start = f"its last good checkpoint, step {there[-1]:,}" if there else "the start"
        again = f"`seqgen train --resume {self.run.path} --learning-rate {rate / 3:.1g}` goes on from {start}"
        return SeqgenError(f"{what}.", hint=f"{hint}: {again}.")

    def _save(self, *, better: bool = False) -> None:
        self._check_weights()
        account = {
            "step": self.step,
            "epoch": self.step / self.windows.steps_per_epoch,
            "elapsed": self.elapsed,
            "tokens": self.tokens,
            "valid_bits": self.valid_bits,
            "best_bits": self.best_bits,
            "best_step": self.best_step,
            "validations_without_better": self.validations_without_better,
            "validated_step": self.validated_step,
            "interval": self.interval.account(),
        }
        average = self.average.weights if self.average is not None else {}
        # Where nothing was ever validated, the best that is known is the last.
        best = better or self.best_bits is None
        optimizer = optimizer_tensors(self.model, self.optimizer, self.device)
        # copies, since parts of a state may be views of one tensor, which safetensors does not write
        optimizer |= {f"{CARRIED}{place}": part.clone() for place, part in enumerate(self.carried or [])}
        self.run.save(
            Checkpoint(self.model.state_dict(), average, optimizer, account), best=best, keep=self.settings.keep
        )
        self.saved = time.monotonic()

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self.model.load_state_dict(checkpoint.model)
        except RuntimeError as error:
            raise SeqgenError(
                f"The last checkpoint of {self.run.path} does not hold the weights of its model: {error}."
            ) from error
        if self.average is not None:
            self.average.load(checkpoint.ema or checkpoint.model)  # imported weights come without an average
        restore_optimizer(checkpoint.optimizer, self.model, self.optimizer, self.device)
        carried = [name for name in checkpoint.optimizer if name.startswith(CARRIED)]
        if carried:
            parts = [checkpoint.optimizer[f"{CARRIED}{place}"] for place in range(len(carried))]
            self.carried = [part.to(self.device) for part in parts]
        account = {**_BEFORE_TRAINING, **checkpoint.account}
        self.step, self.tokens, self.elapsed_before = account["step"], account["tokens"], account["elapsed"]
        self.valid_bits, self.best_bits = account["valid_bits"], account["best_bits"]
        self.best_step = account["best_step"]
        self.validations_without_better = account["validations_without_better"]
        self.validated_step = account["validated_step"]
        self.interval = Interval(**account["interval"])


def _within_budget(data: PreparedData, budget: int) -> list[Stream]:
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
