"""The training loop: from a run folder's last checkpoint (or nothing) to its limit, a stop, or a failure.

Everything that decides the next weights is in the checkpoint or follows from (settings, step), so on one machine's CPU
N steps, a stop and N more give the very weights of 2N steps, unless a limit in time shapes the learning rate.

On several devices each process walks this loop over its own rows of every batch. What decides where the loop goes (the
clock, a wish to stop, the loss) is told to all of them after each step, so that they take every turn together; the
main process alone speaks and writes.
"""

import copy
import math
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgen_core import models
from seqgen_core.data.store import PreparedData
from seqgen_core.devices import choose_device, memory_guard, use_threads
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.previews import Preview
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import Checkpoint, RunFolder
from seqgen_core.streams import Stream
from seqgen_core.training.average import MovingAverage
from seqgen_core.training.distributed import ALONE, Group, peer_lost
from seqgen_core.training.feeding import Feeder, training_windows, within_budget
from seqgen_core.training.interval import Interval
from seqgen_core.training.journal import Journal
from seqgen_core.training.objective import Objective, descend, gradient
from seqgen_core.training.parallel import Parallel, whole
from seqgen_core.training.schedule import Schedule
from seqgen_core.training.snapshot import optimizer_tensors, restore_optimizer
from seqgen_core.training.state import TrainState
from seqgen_core.training.stopping import StopAsked, StopSignals

CARRIED = "carried."
"""Begins the names of the state that windows hand on, among the tensors of the optimiser."""
MEMORY_HINT = "Lower train.batch_size, or raise train.accumulate; then lower train.window or take a smaller model."
STOPS = ("", "Ctrl-C", "SIGTERM")
"""Why a stop was asked for, as processes tell it each other by its number."""

DrawSamples = Callable[[CausalModel, int], Iterable[Preview]]
"""(model, step) → clips to show; hands the loop what was drawn without tying it to generation."""
OnValidation = Callable[[int, float], bool]
"""(step, held-out bits) → whether to go on."""


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
    run: RunFolder,
    data: PreparedData,
    progress: Progress | None = None,
    draw_samples: DrawSamples | None = None,
    *,
    group: Group = ALONE,
    on_validation: OnValidation | None = None,
) -> TrainReport:
    """Train the run on the data until its limit, Ctrl-C or SIGTERM, resuming from its last checkpoint.

    group: the processes that do so together, each calling this. on_validation: asked after each validation.
    Raises SeqgenError when the loss is no number any more (the last checkpoint stays good), when memory runs out,
    when another process holds the run, or when one of the group is lost (what was trained is kept).
    """
    with ExitStack() as stack:
        stack.enter_context(memory_guard(MEMORY_HINT))
        group.from_main(lambda: stack.enter_context(run.locked()))
        stop = stack.enter_context(StopSignals(patient=group.size > 1))
        trainer = _Trainer(run, data, progress or Silent(), draw_samples, on_validation, stop, group)
        stack.enter_context(trainer.feeder)
        if not group.main:
            return trainer.run_to_the_end(None)
        run.set_status("running", trainer.state.step)
        try:
            with Journal(run, trainer.state.step, tensorboard=run.settings.train.tensorboard) as journal:
                report = trainer.run_to_the_end(journal)
        except KeyboardInterrupt:
            run.set_status("interrupted", trainer.state.step, "stopped at once by a second Ctrl-C")
            raise
        except BaseException as error:
            run.set_status("failed", trainer.state.step, str(error) or type(error).__name__)
            raise
        run.set_status(report.status, report.step, report.reason)
        return report


class _Trainer:
    def __init__(
        self,
        run: RunFolder,
        data: PreparedData,
        progress: Progress,
        draw_samples: DrawSamples | None,
        on_validation: OnValidation | None,
        stop: StopSignals,
        group: Group,
    ) -> None:
        settings = run.settings.train
        self.run, self.settings, self.group, self.stop = run, settings, group, stop
        self.progress = progress if group.main else Silent()
        self.draw_samples, self.on_validation = draw_samples, on_validation
        alone = group.size == 1
        use_threads(settings.threads, group.place.local_size)
        self.device = choose_device(settings.device, None if alone else group.place.local_rank)
        _check_sharding(settings.shard, settings.stats, alone)
        torch.manual_seed(settings.seed)
        self.model = models.build(run.settings.model, run.settings.tokens)
        checkpoint = run.load("last") if run.steps() else None
        if checkpoint is not None:
            _load_weights(run, self.model, checkpoint)
        self.model.to(self.device)
        objective = Objective(self.model, settings.precision)
        if settings.compile:
            objective.compile()
        self.parallel = Parallel(objective, group, self.device, shard=settings.shard)
        self.average = MovingAverage(self.model, settings.ema) if settings.ema else None
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.windows = training_windows(self.model, data, settings)
        own = group.rows(settings.batch_size)
        self.feeder = Feeder(self.windows, self.model, self.device, own, settings.accumulate)
        self.carried: list[list[Tensor] | None] = [None] * len(self.feeder.parts)
        self.schedule = Schedule(settings, self.windows.steps_per_epoch)
        self.valid_streams = within_budget(data, settings.validate_tokens)
        self.state = TrainState()
        if checkpoint is not None:
            self._restore(checkpoint)
        self.elapsed_before = self.saved = self.agreed = self.state.elapsed
        self.stop_agreed = ""
        self.checkpointed = self.state.step if checkpoint is not None else -1
        if not group.main:  # its own dropout, which no checkpoint keeps
            torch.manual_seed(hash((settings.seed, group.rank, self.state.step)))
        self.started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training in all; in a group, by the main process's clock at the end of the last step."""
        if self.group.size > 1:
            return self.agreed
        return self.elapsed_before + time.monotonic() - self.started

    @property
    def stop_reason(self) -> str:
        """Why all processes are to stop; empty while they are to go on."""
        return self.stop_agreed if self.group.size > 1 else self.stop.requested

    def run_to_the_end(self, journal: Journal | None) -> TrainReport:
        try:
            self._rehearse()
            status, reason = self._steps(journal)
            if self.checkpointed != self.state.step:
                self._save()
        except BaseException as error:
            if self.group.size > 1 and peer_lost(error):
                raise self._rescue() from error
            raise
        state = self.state
        return TrainReport(
            status,
            reason,
            state.step,
            self.elapsed,
            state.tokens,
            state.valid_bits,
            state.best_bits,
            state.best_step,
        )

    def _steps(self, journal: Journal | None) -> tuple[str, str]:
        settings, state = self.settings, self.state
        state.interval.go_on()
        self.progress.begin("training", self.schedule.steps, "steps")
        try:
            while not self.stop_reason:
                over = self.schedule.progress(state.step, self.elapsed) >= 1
                # Asked before a step, not after one, so that a validation that a stop cut short is made up for.
                due = (over or state.step % settings.validate_every == 0) and state.validated_step != state.step
                if due:
                    go_on = self._validate(journal)
                    state.interval.go_on()
                    if not go_on:
                        return "finished", "stopped by its search"
                    if settings.patience is not None and state.validations_without_better >= settings.patience:
                        return "finished", f"no better validation in {settings.patience}, so it stopped early"
                if over:
                    return "finished", "its limit is reached"
                self._one_step()
                if state.step % settings.log_every == 0 and state.interval.bits:
                    if journal is not None:
                        journal.figures("train", state.step, **state.interval.figures(), elapsed=self.elapsed)
                    state.interval = Interval()
                if settings.sample_every and state.step % settings.sample_every == 0:
                    self._draw(journal)
                if self.elapsed - self.saved >= settings.save_every:
                    self._save()
        except StopAsked:
            pass
        finally:
            self.progress.end()
        return "interrupted", f"stopped by {self.stop_reason or self.stop.requested}"

    def _one_step(self) -> None:
        state, settings = self.state, self.settings
        rate = self.schedule.learning_rate(state.step, self.elapsed)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        parts, own = self.feeder.batch(state.step), 0.0
        total = parts[0].total
        for number, part in enumerate(parts):
            with self.parallel.part(last=number == len(parts) - 1):
                bits, self.carried[number] = self.parallel.run(part, self.carried[number])
                gradient(bits, total, self.group.size)
            own += bits.item()
        norm = descend(self.model.parameters(), self.optimizer, settings.clip_norm)
        if math.isfinite(norm):
            # Before the others are heard: should one of them be lost, weights and count agree.
            state.step += 1
            state.tokens += total
            if self.average is not None:
                self.average.update(self.model, state.step)
        value = self._agree(own) / max(1, total)
        if not (math.isfinite(value) and math.isfinite(norm)):
            at = state.step + (not math.isfinite(norm))
            raise self._diverged(f"The loss is no number any more at step {at} (bits {value}, gradient norm {norm})")
        state.interval.add(value, norm, rate, total)
        shown: dict[str, float | str] = {"bits": value, "tokens/s": f"{state.interval.speed():,.0f}"}
        if state.valid_bits is not None:
            shown["held-out bits"] = state.valid_bits
        if self.schedule.steps is None and settings.max_time is not None:
            shown["time left"] = f"{max(0.0, settings.max_time - self.elapsed):.0f} s"
        self.progress.update(state.step, **shown)

    def _agree(self, bits: float) -> float:
        """Tell the other processes the bits of this one's rows, its clock and its wish to stop; the sum of all bits."""
        if self.group.size == 1:
            return bits
        clock = self.elapsed_before + time.monotonic() - self.started
        told = self.group.figures(bits, clock, STOPS.index(self.stop.requested))
        self.agreed = float(told[0, 1])
        self.stop_agreed = STOPS[int(told[:, 2].max())]
        return float(told[:, 0].sum())

    def _rehearse(self) -> None:
        """Score and save nothing yet, but run validation's path once, so that it cannot break after an hour."""
        if self.settings.shard:
            return
        for stream in self.valid_streams[:1]:
            score_streams(self.model.eval(), [stream.cut(1024)])

    def _validate(self, journal: Journal | None) -> bool:
        """Score the held-out recordings, keep a checkpoint, draw if they went better than ever; whether to go on."""
        state, better, go_on = self.state, False, True
        self.progress.update(state.step, now="validating")
        self._check_weights()
        if self.valid_streams:
            score = self._score(self.valid_streams)
            if not math.isfinite(score.bits_per_token):
                raise self._diverged(
                    f"The held-out loss is no number after step {state.step} (bits {score.bits_per_token})"
                )
            better = state.validated(score.bits_per_token)
            if journal is not None:
                figures = {"bits": score.bits_per_token, "accuracy": score.accuracy, "tokens": score.tokens}
                journal.figures("valid", state.step, **figures, elapsed=self.elapsed)
            self.progress.say(
                f"step {state.step:,}: held-out {score.bits_per_token:.3f} bits per token"
                f" ({score.accuracy:.1%} right){', the best so far' if better else ''}"
            )
            if self.on_validation is not None:
                go_on = self.on_validation(state.step, score.bits_per_token)
        state.validated_step = state.step
        self._save(better=better)
        if self.settings.stats and journal is not None:
            journal.histograms(state.step, self.model)
        if better and not self.settings.sample_every:
            self._draw(journal)
        return go_on

    def _score(self, streams: list[Stream]) -> Score:
        """All recordings, each process some of them. A stop leaves it, in all processes together."""

        def check_stop(tokens: int) -> None:
            if self.stop.requested:
                raise StopAsked

        with self._averaged() as model:
            try:
                own: list[Score] | None = score_streams(
                    model, streams[self.group.rank :: self.group.size], advanced=check_stop
                )
            except StopAsked:
                own = None
            scores = self.group.everyone(own)
        if any(part is None for part in scores):
            raise StopAsked
        return sum((score for part in scores for score in part or []), Score(0.0, 0, 0))

    def _draw(self, journal: Journal | None) -> None:
        if self.draw_samples is None or not self.settings.sample_count:
            return
        self.progress.update(self.state.step, now="drawing a sample")
        # Drawing can take minutes; what it had not yet drawn is no loss. The weights come back outside of it.
        with self._averaged() as model:
            if journal is None:
                return
            try:
                with self.stop.at_once():
                    drawing = copy.deepcopy(model).fold()  # weight normalisation would be done at each step
                    journal.previews(self.state.step, list(self.draw_samples(drawing, self.state.step)))
            except StopAsked:
                if self.group.size == 1:  # otherwise they stop together, after the next step
                    raise

    @contextmanager
    def _averaged(self) -> Generator[CausalModel]:
        """The model to be measured and heard, in evaluation mode, with the averages of its weights if there are any."""
        if self.settings.shard:
            model = models.build(self.run.settings.model, self.run.settings.tokens)
            weights = self.model.state_dict() if self.average is None else self.average.weights
            model.load_state_dict(whole(weights))
            yield model.to(self.device).eval()
            return
        with self.average.applied_to(self.model) if self.average is not None else nullcontext():
            yield self.model.eval()

    def _check_weights(self) -> None:
        """Raise before weights that are no numbers replace the last good checkpoint."""
        for name, value in whole(self.model.state_dict()).items():
            if not bool(torch.isfinite(value).all()):
                raise self._diverged(f"The weights {name} are no numbers any more after step {self.state.step}")

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
        """Write a checkpoint; in a group all processes give their share, and the main one writes."""
        self._check_weights()
        weights = whole(self.model.state_dict())
        average = whole(self.average.weights) if self.average is not None else {}
        optimizer = whole(optimizer_tensors(self.model, self.optimizer, self.device))
        optimizer |= {f"{CARRIED}{place}": part for place, part in enumerate(self._all_carried())}
        self.group.from_main(lambda: self._write(weights, average, optimizer, better))
        self.saved, self.checkpointed = self.elapsed, self.state.step

    def _write(
        self, weights: dict[str, Tensor], average: dict[str, Tensor], optimizer: dict[str, Tensor], better: bool
    ) -> None:
        self.state.elapsed = self.elapsed
        account = {**self.state.account(), "epoch": self.state.step / self.windows.steps_per_epoch}
        # Where nothing was ever validated, the best that is known is the last.
        best = better or self.state.best_bits is None
        self.run.save(Checkpoint(weights, average, optimizer, account), best=best, keep=self.settings.keep)

    def _all_carried(self) -> list[Tensor]:
        """What windows hand on, (rows of all parts and processes, …), in the main process; empty where nothing is."""
        own = [part for part in self.carried if part is not None]
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
        self.state = TrainState.of(checkpoint.account)

    def _rescue(self) -> SeqgenError:
        """Keep what was trained when another process is lost; what to tell of it.

        Every process that is left has all the weights, and the first that gets hold of the run writes them. That is
        not so where they are cut over devices, or where each process carries a state of its own.
        """
        step, again = self.state.step, f"`seqgen train --resume {self.run.path}` goes on, on any number of devices"
        lost = "Another process of this training is lost"
        if self.settings.shard or any(part is not None for part in self.carried):
            last = f"step {self.run.choose('last'):,}" if self.run.steps() else "the start"
            return SeqgenError(f"{lost}.", hint=f"{again}, from {last}.")
        with nullcontext() if self.group.main else _once_free(self.run):
            if not self.run.steps() or self.run.choose("last") < step:
                average = self.average.weights if self.average is not None else {}
                optimizer = optimizer_tensors(self.model, self.optimizer, self.device)
                self._write(self.model.state_dict(), average, optimizer, better=False)
                self.run.set_status("failed", step, lost)
        return SeqgenError(f"{lost}; step {step:,} is kept.", hint=f"{again}.")


@contextmanager
def _once_free(run: RunFolder, patience: float = 20.0) -> Generator[None]:
    """Hold the run as soon as no process does. Raises SeqgenError where that takes more than `patience` seconds."""
    until = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(run.locked())
                break
            except SeqgenError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield


def _load_weights(run: RunFolder, model: CausalModel, checkpoint: Checkpoint) -> None:
    try:
        model.load_state_dict(checkpoint.model)
    except RuntimeError as error:
        raise SeqgenError(
            f"The last checkpoint of {run.path} does not hold the weights of its model: {error}."
        ) from error


def _check_sharding(shard: bool, stats: bool, alone: bool) -> None:
    if shard and alone:
        raise UsageError("train.shard = true cuts a model over devices, and this is one.", hint="Add --devices N.")
    if shard and stats:
        raise UsageError("train.stats = true needs whole weights on a device.", hint="Set stats=false or shard=false.")
