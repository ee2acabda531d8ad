"""The search: trials one after another, each a run of its own, with what was learnt from those before.

Values are proposed by the tree-structured Parzen estimator (Bergstra et al. 2011, section 4), as Optuna has it; trials
that are worse than the median of the others at the same stage end early (Golovin et al. 2017, section 3.2.2, its
performance curve taken at one point). The proposal of a trial follows from the seed, its number and the trials before,
so a search that was stopped or killed goes on as it would have.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import RunFolder
from seqgen_core.settings.project import Project
from seqgen_core.training import loop
from seqgen_core.tuning.folder import SearchFolder
from seqgen_core.tuning.report import SearchReport, shown, trial_reports
from seqgen_core.tuning.space import Dimension, Value, assigned, dimensions

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import TPESampler
    from optuna.trial import FrozenTrial

MakeRun = Callable[[Path, Project], RunFolder]
"""(folder, settings) → a new run there."""

STAGES = 10
"""Equal parts of a trial, at whose ends it is compared with the others."""
_UNHURT_STAGES = 2  # no trial ends before: too early to tell
_UNHURT_TRIALS = 4  # trials run in full before any is compared
_RANDOM_TRIALS = 5  # drawn evenly before the estimator has something to go by
_DRAWS = 20  # of a proposal by the estimator, until it is none that was tried before
_EVEN_DRAWS = 80  # by an even draw, after these
_VALIDATIONS = 8  # wanted of a trial whose steps are counted, at least


def limits(project: Project) -> dict[str, float | int | None]:
    """How long each trial trains: `steps` and `max_time`. Raises UsageError where neither is said."""
    tune, train = project.tune, project.train
    steps, seconds = tune.steps_per_trial, tune.max_time_per_trial
    if steps is None and seconds is None:
        steps, seconds = train.steps, train.max_time
    if steps is None and seconds is None:
        raise UsageError(
            "Nothing says how long a trial is to train.",
            hint="Name --max-time-per-trial 5m, or --steps-per-trial 2000.",
        )
    return {"steps": steps, "max_time": seconds}


def search(
    folder: SearchFolder, data: PreparedData, make_run: MakeRun, progress: Progress | None = None
) -> SearchReport:
    """Run trials until there are as many as wanted, beginning with one that was left unfinished; or until Ctrl-C.

    A trial that fails (it diverged, or memory ran out) counts as one. Raises UsageError for a search that cannot be
    as described or data without held-out recordings, SeqgenError while another process is at work on it, OSError where
    the disk is full; what is finished is kept.
    """
    wanted = dimensions(folder.project)
    limits(folder.project)
    if not data.items("valid"):
        raise UsageError(
            f"{data.path} has no held-out recordings to compare trials by.",
            hint="Prepare it with some: `seqgen preprocess --valid-share 0.1`.",
        )
    with folder.locked():
        study = folder.study()
        if study.user_attrs.get("data", data.content_hash()) != data.content_hash():
            raise UsageError(
                f"{data.path} has changed since {folder.path} was begun.",
                hint="Trials on other data cannot be compared: restore the data, or begin a new search.",
            )
        study.set_user_attr("data", data.content_hash())
        searching = _Search(folder, study, wanted, data, make_run, progress or Silent())
        interrupted = searching.run()
        return SearchReport(folder, wanted, trial_reports(folder, study, wanted), interrupted)


def standing(folder: SearchFolder) -> SearchReport:
    """How a search stands, while nobody is at work on it."""
    wanted = dimensions(folder.project)
    with folder.locked():
        return SearchReport(folder, wanted, trial_reports(folder, folder.study(), wanted))


class _Search:
    def __init__(
        self,
        folder: SearchFolder,
        study: "Study",
        wanted: list[Dimension],
        data: PreparedData,
        make_run: MakeRun,
        progress: Progress,
    ) -> None:
        self.folder, self.study, self.wanted, self.data = folder, study, wanted, data
        self.make_run, self.progress = make_run, progress
        self.project = folder.project
        self.told_of_validations = False

    def run(self) -> str:
        """All trials; by what they were interrupted, or nothing."""
        from optuna.trial import TrialState

        if not self.study.get_trials(deepcopy=False):
            now = {one.name: standing for one in self.wanted if (standing := one.stands(self.project)) is not None}
            if now:
                self.study.enqueue_trial(now)
        while True:
            there = self.study.get_trials(deepcopy=False)
            unfinished = [trial for trial in there if trial.state == TrialState.RUNNING]
            over = sum(trial.state.is_finished() for trial in there)
            if over >= self.project.tune.trials:
                return ""
            trial = self._go_on(unfinished[0]) if unfinished else self._ask(over)
            interrupted = self._try(trial)
            if interrupted:
                return interrupted
            self._keep_best()

    def _ask(self, number: int) -> "Trial":
        self._prepare(number, fresh=True)
        return self.study.ask()

    def _go_on(self, frozen: "FrozenTrial") -> "Trial":
        from optuna import Trial

        self._prepare(frozen.number)
        return Trial(self.study, frozen._trial_id)

    def _prepare(self, number: int, *, fresh: bool = False) -> None:
        """Let the draws of a trial depend on its number, not on how many this process made before."""
        from optuna.pruners import MedianPruner, NopPruner

        draw = 0
        while fresh and draw < _DRAWS + _EVEN_DRAWS and self._would_repeat(self._sampler(number, draw)):
            draw += 1
        self.study.sampler = self._sampler(number, draw)  # a new one: the rehearsal has drawn from the other
        pruner = MedianPruner(n_startup_trials=_UNHURT_TRIALS, n_warmup_steps=_UNHURT_STAGES)
        self.study.pruner = pruner if self.project.tune.pruning == "median" else NopPruner()

    def _sampler(self, number: int, draw: int) -> "TPESampler":
        from optuna.samplers import TPESampler

        seed = np.random.SeedSequence((self.project.tune.seed, number, draw)).generate_state(1)[0]
        evenly = _RANDOM_TRIALS if draw < _DRAWS else 1 + number
        return TPESampler(n_startup_trials=evenly, seed=int(seed))

    def _would_repeat(self, sampler: "TPESampler") -> bool:
        """Whether a sampler would propose what was tried, while something is left that was not."""
        import optuna

        there = self.study.get_trials(deepcopy=False)
        tried = [trial.params for trial in there]
        left = math.prod(one.size for one in self.wanted) - len({frozenset(params.items()) for params in tried})
        if math.isinf(left) or left <= 0 or not all(trial.state.is_finished() for trial in there):
            return False
        rehearsal = optuna.create_study(sampler=sampler)
        rehearsal.add_trials(there)
        trial = rehearsal.ask()
        for one in self.wanted:
            one.suggest(trial)
        return trial.params in tried

    def _try(self, trial: "Trial") -> str:
        """One trial, from its start or its last checkpoint; by what it was interrupted, or nothing."""
        from optuna.trial import TrialState

        values = {one.name: one.suggest(trial) for one in self.wanted}
        stages = _Stages(trial, self.project)
        try:
            if not stages.stopped:
                run = self._run(trial.number, values)
                stages.elapsed_before = run.account("last").get("elapsed", 0.0) if run.steps() else 0.0
                listener = _OneTrial(
                    self.progress, f"trial {trial.number} ({trial.number + 1} of {self.project.tune.trials})"
                )
                report = loop.train(run, self.data, listener, on_validation=stages)
                trial.set_user_attr("steps", report.step)
                trial.set_user_attr("seconds", report.seconds)
                if report.status == "interrupted":
                    return report.reason
                bits = report.best_bits
            if stages.stopped:
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, bits)
        except SeqgenError as error:
            trial.set_user_attr("reason", error.got)
            self.study.tell(trial, state=TrialState.FAIL)
        self._tell(trial.number, stages)
        return ""

    def _run(self, number: int, values: dict[str, Value]) -> RunFolder:
        path = self.folder.trial(number)
        if (path / "settings.toml").exists():
            return RunFolder.open(path)
        project = assigned(self.project, values)
        length = limits(self.project)
        steps = length["steps"]
        often = min(project.train.validate_every, math.ceil(steps / _VALIDATIONS)) if steps else None
        ours = {"steps": steps, "max_time": length["max_time"], "epochs": None, "sample_count": 0}
        ours |= {"validate_every": often} if often else {}
        return self.make_run(path, project.model_copy(update={"train": project.train.model_copy(update=ours)}))

    def _tell(self, number: int, stages: "_Stages") -> None:
        report = next(one for one in trial_reports(self.folder, self.study, self.wanted) if one.number == number)
        tried = ", ".join(f"{name.partition('.')[2]} {shown(value)}" for name, value in report.settings.items())
        came = f": {report.bits:.4f} bits" if report.bits is not None else ""
        why = f" ({report.reason})" if report.reason else ""
        self.progress.say(f"trial {number} {report.state}{came}{why}; {tried}")
        few = report.state == "finished" and stages.validations < 3
        if few and not self.told_of_validations and self.project.tune.pruning == "median":
            self.told_of_validations = True
            often = ("never", "once", "twice")[stages.validations]
            self.progress.warn(
                f"trial {number} was validated {often}, too seldom to end bad trials early:"
                f" lower train.validate_every (now {self.project.train.validate_every}), or train longer"
            )

    def _keep_best(self) -> None:
        best = SearchReport(self.folder, self.wanted, trial_reports(self.folder, self.study, self.wanted)).best
        if best is not None:
            told = f"Trial {best.number} of {self.folder.path}: {best.bits:.4f} held-out bits per token."
            self.folder.write_best(assigned(self.project, best.settings), told)


class _Stages:
    """Called after each validation: reports the stages that a trial has come through, and whether it is to go on."""

    def __init__(self, trial: "Trial", project: Project) -> None:
        self.trial, self.limits = trial, limits(project)
        known: dict[int, float] = trial.storage.get_trial(trial._trial_id).intermediate_values
        self.come_to = max(known, default=0)
        self.stopped = bool(trial.user_attrs.get("stopped"))
        self.validations = len(known)
        self.elapsed_before = 0.0
        self.started = time.monotonic()

    def __call__(self, step: int, bits: float) -> bool:
        steps, seconds = self.limits["steps"], self.limits["max_time"]
        elapsed = self.elapsed_before + time.monotonic() - self.started
        share = max(step / steps if steps else 0.0, elapsed / seconds if seconds else 0.0)
        self.validations += 1
        stage = min(STAGES, int(share * STAGES))
        for passed in range(self.come_to + 1, stage + 1):
            self.trial.report(bits, passed)
        if stage <= self.come_to:  # or trained once more, from a checkpoint before it
            return True
        self.come_to = stage
        if share >= 1:
            return True
        self.stopped = self.trial.should_prune()
        if self.stopped:
            self.trial.set_user_attr("stopped", True)  # so that a kill before its checkpoint does not undo it
            self.trial.set_user_attr("steps", step)
            self.trial.set_user_attr("seconds", elapsed)
        return not self.stopped


class _OneTrial(Silent):
    """Shows the training of one trial under its name, without a line for each validation."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def begin(self, task: str, total: float | None, unit: str) -> None:
        self._progress.begin(self._name, total, unit)

    def update(self, done: float, **figures: float | str) -> None:
        self._progress.update(done, **figures)

    def end(self) -> None:
        self._progress.end()

    def warn(self, line: str) -> None:
        self._progress.warn(f"{self._name}: {line}")
