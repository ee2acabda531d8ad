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
from typing import Any

from seqgen_core.data.store import PreparedData
from seqgen_core.devices import memory_guard
from seqgen_core.errors import SeqgenError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.previews import Preview
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import Checkpoint, RunFolder
from seqgen_core.streams import Stream
from seqgen_core.training.distributed import ALONE, Group, peer_lost
from seqgen_core.training.feeding import within_budget
from seqgen_core.training.interval import Interval
from seqgen_core.training.journal import Journal
from seqgen_core.training.learner import Learner
from seqgen_core.training.memory import taken_at_most
from seqgen_core.training.schedule import Schedule
from seqgen_core.training.state import TrainState
from seqgen_core.training.stopping import StopAsked, StopSignals
from seqgen_core.training.unchanged import Unchanged

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
    when another process holds the run, when its data are not those that it was begun on, when no checkpoint of it is
    whole, when the disk is full, or when one of the group is lost (what was trained is kept).
    """
    with ExitStack() as stack:
        stack.enter_context(memory_guard(MEMORY_HINT))
        shown = progress if progress is not None and group.main else Silent()
        unchanged = Unchanged(run, data, shown)

        def begin() -> None:
            stack.enter_context(run.locked())
            run.set_damaged_aside(shown)
            unchanged.begin()

        group.from_main(begin)
        stop = stack.enter_context(StopSignals(patient=group.size > 1))
        checkpoint = run.load("last") if run.steps() else None
        learner = stack.enter_context(Learner(run.settings, data, group, checkpoint))
        state = TrainState() if checkpoint is None else TrainState.of(checkpoint.account)
        streams = within_budget(data, run.settings.train.validate_tokens)
        trainer = _Trainer(run, learner, state, streams, unchanged, shown, draw_samples, on_validation, stop)
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
        learner: Learner,
        state: TrainState,
        valid_streams: list[Stream],
        unchanged: Unchanged,
        progress: Progress,
        draw_samples: DrawSamples | None,
        on_validation: OnValidation | None,
        stop: StopSignals,
    ) -> None:
        self.run, self.settings, self.learner, self.state = run, run.settings.train, learner, state
        self.group, self.stop, self.unchanged, self.progress = learner.group, stop, unchanged, progress
        self.valid_streams, self.draw_samples, self.on_validation = valid_streams, draw_samples, on_validation
        self.schedule = Schedule(self.settings, learner.windows.steps_per_epoch)
        self.elapsed_before = self.saved_at = self.agreed_elapsed = state.elapsed
        self.agreed_stop = ""
        self.checkpointed = state.step if run.steps() else None
        self.unit = run.settings.data.codec.unit
        self.started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training in all; in a group, by the main process's clock at the end of the last step."""
        if self.group.size > 1:
            return self.agreed_elapsed
        return self.elapsed_before + time.monotonic() - self.started

    @property
    def stop_reason(self) -> str:
        """Why all processes are to stop; empty while they are to go on."""
        return self.agreed_stop if self.group.size > 1 else self.stop.requested

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
                        taken = taken_at_most(self.learner.device)
                        figures = {**state.interval.figures(), "elapsed": self.elapsed, "memory": taken}
                        journal.figures("train", state.step, **figures)
                    state.interval = Interval()
                if settings.sample_every and state.step % settings.sample_every == 0:
                    self._draw(journal)
                if self.elapsed - self.saved_at >= settings.save_every:
                    self._save()
        except StopAsked:
            pass
        finally:
            self.progress.end()
        return "interrupted", f"stopped by {self.stop_reason or self.stop.requested}"

    def _one_step(self) -> None:
        state, settings = self.state, self.settings
        rate = self.schedule.learning_rate(state.step, self.elapsed)
        stepped = self.learner.step(state.step, rate)
        moved = math.isfinite(stepped.norm)
        if moved:  # counted before the others are heard: should one of them be lost, weights and count agree
            state.step += 1
            state.tokens += stepped.tokens
        bits = self._agree(stepped.bits) / max(1, stepped.tokens)
        if not (moved and math.isfinite(bits)):
            at = state.step + (not moved)
            raise self._diverged(
                f"The loss is no number any more at step {at} (bits {bits}, gradient norm {stepped.norm})"
            )
        state.interval.add(bits, stepped.norm, rate, stepped.tokens)
        shown: dict[str, float | str] = {"bits": bits}
        if settings.max_time is not None:
            shown["time left"] = max(0.0, settings.max_time - self.elapsed)  # seconds
        if state.valid_bits is not None:
            shown["held-out"] = state.valid_bits
        shown[f"{self.unit}s/s"] = f"{state.interval.speed():,.0f}"
        self.progress.update(state.step, **shown)

    def _agree(self, bits: float) -> float:
        """Tell the other processes the bits of this one's rows, its clock and its wish to stop; the sum of all bits."""
        if self.group.size == 1:
            return bits
        clock = self.elapsed_before + time.monotonic() - self.started
        told = self.group.figures(bits, clock, STOPS.index(self.stop.requested))
        self.agreed_elapsed = float(told[0, 1])
        self.agreed_stop = STOPS[int(told[:, 2].max())]
        return float(told[:, 0].sum())

    def _rehearse(self) -> None:
        """Score and save nothing yet, but run validation's path once, so that it cannot break after an hour."""
        if self.settings.shard:
            return
        for stream in self.valid_streams[:1]:
            score_streams(self.learner.model.eval(), [stream.cut(1024)])

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
                f"step {state.step:,}: held-out {score.bits_per_token:.3f} bits per {self.run.settings.data.codec.unit}"
                f" ({score.accuracy:.1%} right){', the best so far' if better else ''}"
            )
            if self.on_validation is not None:
                go_on = self.on_validation(state.step, score.bits_per_token)
        state.validated_step = state.step
        if self.settings.stats and journal is not None:  # before the checkpoint, so that a kill in between loses none
            journal.histograms(state.step, self.learner.model)
        self._save(better=better)
        if better and not self.settings.sample_every:
            self._draw(journal)
        return go_on

    def _score(self, streams: list[Stream]) -> Score:
        """All recordings, each process some of them. A stop leaves it, in all processes together."""
        own_streams = streams[self.group.rank :: self.group.size]
        total, done = sum(len(stream.tokens) for stream in own_streams), 0

        def check_stop(tokens: int) -> None:
            nonlocal done
            done += tokens
            self.progress.update(self.state.step, now=f"validating {done / max(1, total):.0%}")
            if self.stop.requested:
                raise StopAsked

        with self.learner.averaged() as model:
            try:
                own: list[Score] | None = score_streams(model, own_streams, advanced=check_stop)
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
        with self.learner.averaged() as model:
            if journal is None:
                return
            try:
                with self.stop.at_once():
                    drawing = copy.deepcopy(model).fold()  # weight normalisation would be done at each step
                    journal.previews(self.state.step, list(self.draw_samples(drawing, self.state.step)))
            except StopAsked:
                if self.group.size == 1:  # otherwise they stop together, after the next step
                    raise

    def _check_weights(self) -> None:
        """Raise before weights that are no numbers replace the last good checkpoint."""
        name = self.learner.unfit_weight()
        if name is not None:
            raise self._diverged(f"The weights {name} are no numbers any more after step {self.state.step}")

    def _diverged(self, what: str) -> SeqgenError:
        there = self.run.steps()
        rate, clip = self.settings.learning_rate, self.settings.clip_norm
        changes = [f"train.learning_rate (now {rate:g})", f"train.clip_norm (now {clip or 'none'})"]
        hint = f"Lower {' or '.join(changes)}" + (
            ", or use precision fp32" if self.settings.precision != "fp32" else ""
        )
        start = f"its last good checkpoint, step {there[-1]:,}" if there else "the start"
        again = f"`seqgen train --resume {self.run.path} --learning-rate {rate / 3:.1g}` goes on from {start}"
        return SeqgenError(f"{what}.", hint=f"{hint}: {again}.")

    def _save(self, *, better: bool = False) -> None:
        """Write a checkpoint; in a group all processes give their share, and the main one writes."""
        self.progress.update(self.state.step, now="saving")
        self._check_weights()
        checkpoint = self.learner.checkpoint(self._account())
        self.group.from_main(lambda: self._write(checkpoint, better))
        self.saved_at, self.checkpointed = self.elapsed, self.state.step

    def _account(self) -> dict[str, Any]:
        self.state.elapsed = self.elapsed
        return {**self.state.account(), "epoch": self.state.step / self.learner.windows.steps_per_epoch}

    def _write(self, checkpoint: Checkpoint, better: bool) -> None:
        self.unchanged.check()
        # Where nothing was ever validated, the best that is known is the last.
        self.run.save(checkpoint, best=better or self.state.best_bits is None, keep=self.settings.keep)

    def _rescue(self) -> SeqgenError:
        """Keep what was trained when another process is lost; what to tell of it.

        Every process that is left has all the weights, and the first that gets hold of the run writes them. That is
        not so where they are cut over devices, or where each process carries a state of its own.
        """
        step, again = self.state.step, f"`seqgen train --resume {self.run.path}` goes on, on any number of devices"
        lost = "Another process of this training is lost"
        if self.settings.shard or self.learner.carries:
            last = f"step {self.run.choose('last'):,}" if self.run.steps() else "the start"
            return SeqgenError(f"{lost}.", hint=f"{again}, from {last}.")
        with nullcontext() if self.group.main else _once_free(self.run):
            if not self.run.steps() or self.run.choose("last") < step:
                self._write(self.learner.checkpoint(self._account(), together=False), better=False)
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
