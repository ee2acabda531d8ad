"""The training loop: from a run folder's last checkpoint (or nothing) to its limit, a stop, or a failure.

Everything that decides the next weights is in the checkpoint or follows from (settings, step), so on one machine's CPU
N steps, a stop and N more give the very weights of 2N steps, unless a limit in time shapes the learning rate.
"""

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqgen_core import models
from seqgen_core.data.store import Item, PreparedData
from seqgen_core.data.windows import Windows
from seqgen_core.devices import choose_device, memory_guard
from seqgen_core.errors import SeqgenError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import Checkpoint, RunFolder
from seqgen_core.training.average import MovingAverage
from seqgen_core.training.journal import Journal
from seqgen_core.training.objective import batch_bits, gradient_step
from seqgen_core.training.schedule import Schedule
from seqgen_core.training.stopping import StopSignals

MEMORY_HINT = "Lower train.batch_size first, then train.window; a smaller model or train.context helps too."

DrawSamples = Callable[[CausalModel, int], Iterable[tuple[str, np.ndarray, int]]]
"""(model, step) → clips (name, float32 waveform, rate); hands the loop sounds without tying it to generation."""


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


class _StopAsked(Exception):
    pass


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
        except BaseException as error:
            run.set_status("failed", trainer.step, str(error) or type(error).__name__)
            raise
        run.set_status(report.status, report.step, report.reason)
        return report


class _Trainer:
    def __init__(
        self, run: RunFolder, data: PreparedData, progress: Progress, draw_samples: DrawSamples | None, stop: StopSignals
    ) -> None:
        settings = run.settings.train
        self.run, self.data, self.settings = run, data, settings
        self.progress, self.draw_samples, self.stop = progress, draw_samples, stop
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.device = choose_device(settings.device)
        torch.manual_seed(settings.seed)
        self.model = models.build(run.settings.model, run.settings.tokens).to(self.device)
        self.names = {parameter: name for name, parameter in self.model.named_parameters()}
        self.average = MovingAverage(self.model, settings.ema) if settings.ema else None
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
        )
        reach = self.model.receptive_field
        context = settings.context if settings.context is not None else (reach - 1 if reach is not None else 0)
        self.windows = Windows(
            data,
            data.items("train"),
            window=settings.window,
            context=context,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )
        self.schedule = Schedule(settings, self.windows.steps_per_epoch)
        self.valid_items = _within_budget(data.items("valid"), settings.validate_tokens)
        self.step, self.tokens, self.elapsed_before = 0, 0, 0.0
        self.valid_bits: float | None = None
        self.best_bits: float | None = None
        self.best_step: int | None = None
        self.validations_without_better = 0
        if run.steps():
            self._restore(run.load("last"))
        self.started = time.monotonic()

    @property
    def elapsed(self) -> float:
        return self.elapsed_before + time.monotonic() - self.started

    def run_to_the_end(self, journal: Journal) -> TrainReport:
        self._rehearse()
        status, reason = self._steps(journal)
        if not self.run.steps() or self.run.choose("last") != self.step:
            self._save(best=False)
        return TrainReport(
            status, reason, self.step, self.elapsed, self.tokens, self.valid_bits, self.best_bits, self.best_step
        )

    def _steps(self, journal: Journal) -> tuple[str, str]:
        settings, since, interval = self.settings, time.monotonic(), _Interval()
        self.progress.begin("training", self.schedule.steps, "steps")
        try:
            while not self.stop.requested:
                if self.schedule.progress(self.step, self.elapsed) >= 1:
                    if self.valid_items and not self._validated_now():
                        self._validate(journal)
                    return "finished", "its limit is reached"
                self._one_step(interval)
                if self.step % settings.log_every == 0:
                    now = time.monotonic()
                    journal.figures("train", self.step, **interval.figures(now - since), elapsed=self.elapsed)
                    interval, since = _Interval(), now
                if self.step % settings.validate_every == 0:
                    self._validate(journal)
                    since = time.monotonic()
                    if settings.patience is not None and self.validations_without_better >= settings.patience:
                        return "finished", f"no better validation in {settings.patience}, so it stopped early"
                if settings.sample_every and self.step % settings.sample_every == 0:
                    self._draw(journal)
        except _StopAsked:
            pass
        finally:
            self.progress.end()
        return "interrupted", f"stopped by {self.stop.requested}"

    def _one_step(self, interval: "_Interval") -> None:
        batch = self.windows.batch(self.step)
        rate = self.schedule.learning_rate(self.step, self.elapsed)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        bits = batch_bits(self.model, batch, self.device, self.settings.precision)
        value, norm = gradient_step(self.model, self.optimizer, bits, self.settings.clip_norm)
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise SeqgenError(
                f"The loss is no number any more at step {self.step + 1} (bits {value}, gradient norm {norm}).",
                hint=f"Lower train.learning_rate (now {self.settings.learning_rate:g}) or train.clip_norm"
                + (", or use precision fp32" if self.settings.precision == "bf16" else "")
                + f"; `seqgen train --resume {self.run.path}` goes on from its last good checkpoint.",
            )
        self.step += 1
        self.tokens += batch.scored
        if self.average is not None:
            self.average.update(self.model, self.step)
        interval.add(value, norm, rate, batch.scored)
        shown: dict[str, float | str] = {"bits": value, "tokens/s": f"{interval.speed():,.0f}"}
        if self.valid_bits is not None:
            shown["held-out bits"] = self.valid_bits
        if self.schedule.steps is None and self.settings.max_time is not None:
            shown["time left"] = f"{max(0.0, self.settings.max_time - self.elapsed):.0f} s"
        self.progress.update(self.step, **shown)

    def _rehearse(self) -> None:
        """Score and save nothing yet, but run validation's path once, so that it cannot break after an hour."""
        for item in self.valid_items[:1]:
            short = self.data.tokens(item)[:1024]
            score_streams(self.model.eval(), [short], [item.label])

    def _validated_now(self) -> bool:
        return bool(self.run.steps()) and self.run.choose("last") == self.step

    def _validate(self, journal: Journal) -> None:
        better = False
        if self.valid_items:
            score = self._score(self.valid_items)
            self.valid_bits = score.bits_per_token
            better = self.best_bits is None or self.valid_bits < self.best_bits
            if better:
                self.best_bits, self.best_step, self.validations_without_better = self.valid_bits, self.step, 0
            else:
                self.validations_without_better += 1
            journal.figures(
                "valid", self.step, bits=self.valid_bits, accuracy=score.accuracy, tokens=score.tokens, elapsed=self.elapsed
            )
            self.progress.say(
                f"step {self.step:,}: held-out {self.valid_bits:.3f} bits per token"
                f" ({score.accuracy:.1%} right){', the best so far' if better else ''}"
            )
        self._save(best=better)
        if self.settings.stats:
            journal.histograms(self.step, self.model)
        if better and not self.settings.sample_every:
            self._draw(journal)

    def _score(self, items: list[Item]) -> Score:
        def check_stop(tokens: int) -> None:
            if self.stop.requested:
                raise _StopAsked

        streams, labels = [self.data.tokens(item) for item in items], [item.label for item in items]
        with self._averaged():
            scores = score_streams(self.model.eval(), streams, labels, advanced=check_stop)
        return sum(scores, Score(0.0, 0, 0))

    def _draw(self, journal: Journal) -> None:
        if self.draw_samples is not None and self.settings.sample_count:
            with self._averaged():
                journal.sounds(self.step, self.draw_samples(self.model.eval(), self.step))

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.applied_to(self.model) if self.average is not None else nullcontext()

    def _save(self, *, best: bool) -> None:
        optimizer: dict[str, Tensor] = {"rng.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            optimizer["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        for parameter, state in self.optimizer.state.items():
            for key, value in state.items():
                optimizer[f"{key}.{self.names[parameter]}"] = value
        account = {
            "step": self.step,
            "epoch": self.step / self.windows.steps_per_epoch,
            "elapsed": self.elapsed,
            "tokens": self.tokens,
            "valid_bits": self.valid_bits,
            "best_bits": self.best_bits,
            "best_step": self.best_step,
            "validations_without_better": self.validations_without_better,
        }
        average = self.average.weights if self.average is not None else {}
        self.run.save(
            Checkpoint(self.model.state_dict(), average, optimizer, account), best=best, keep=self.settings.keep
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(checkpoint.model)
        if self.average is not None and checkpoint.ema:
            self.average.load(checkpoint.ema)
        for parameter, name in self.names.items():
            state = {
                key: checkpoint.optimizer[f"{key}.{name}"]
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}.{name}" in checkpoint.optimizer
            }
            if state:
                moved = {key: value if key == "step" else value.to(self.device) for key, value in state.items()}
                self.optimizer.state[parameter] = moved
        if "rng.cpu" in checkpoint.optimizer:
            torch.set_rng_state(checkpoint.optimizer["rng.cpu"])
        if "rng.cuda" in checkpoint.optimizer and self.device.type == "cuda":
            torch.cuda.set_rng_state(checkpoint.optimizer["rng.cuda"], self.device)
        account = checkpoint.account
        self.step, self.tokens, self.elapsed_before = account["step"], account["tokens"], account["elapsed"]
        self.valid_bits, self.best_bits = account["valid_bits"], account["best_bits"]
        self.best_step = account["best_step"]
        self.validations_without_better = account["validations_without_better"]


class _Interval:
    """Figures between two lines of the log."""

    def __init__(self) -> None:
        self.bits: list[float] = []
        self.norm, self.rate, self.tokens = 0.0, 0.0, 0
        self.since = time.monotonic()

    def add(self, bits: float, norm: float, rate: float, tokens: int) -> None:
        self.bits.append(bits)
        self.norm, self.rate, self.tokens = max(self.norm, norm), rate, self.tokens + tokens

    def speed(self) -> float:
        return self.tokens / max(1e-9, time.monotonic() - self.since)

    def figures(self, seconds: float) -> dict[str, float]:
        return {
            "bits": sum(self.bits) / len(self.bits),
            "gradient_norm": self.norm,
            "learning_rate": self.rate,
            "tokens_per_second": self.tokens / max(1e-9, seconds),
        }


def _within_budget(items: tuple[Item, ...], budget: int) -> list[Item]:
    """Whole recordings, evenly picked over the split, that hold about `budget` tokens together (0: all of them)."""
    usable = [item for item in items if item.length >= 2]
    total = sum(item.length for item in usable)
    if not budget or total <= budget:
        return usable
    every = math.ceil(total / budget)
    return usable[::every]
