"""seqgen tune: search a few settings, each trial a run of its own."""

import datetime
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqgen_cli.creating import create_run, run_path
from seqgen_cli.errors import INTERRUPTED
from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_cli.trials import duration, trial_table
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import Project
from seqgen_core.settings.train import TrainSettings
from seqgen_core.settings.tune import TuneSettings

if TYPE_CHECKING:
    from seqgen_core.runs import RunFolder
    from seqgen_core.tuning.folder import SearchFolder
    from seqgen_core.tuning.report import SearchReport

LONGER = 10
"""How many times as long as a trial the command at the end trains the best."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "tune")(tune)


def tune(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]", help="Name of the search among the runs, or a path; and overrides."),
    ] = None,
    model: Annotated[str | None, typer.Option(help=f"Kind of model: {', '.join(MODEL_KINDS)}.")] = None,
    preset: Annotated[str | None, typer.Option(help="Named settings; `seqgen info presets` lists them.")] = None,
    data: Annotated[Path | None, flag(TrainSettings, "data")] = None,
    search: Annotated[list[str] | None, flag(TuneSettings, "search", metavar="WHAT")] = None,
    trials: Annotated[int | None, flag(TuneSettings, "trials")] = None,
    max_time_per_trial: Annotated[str | None, flag(TuneSettings, "max_time_per_trial", metavar="DURATION")] = None,
    steps_per_trial: Annotated[int | None, flag(TuneSettings, "steps_per_trial")] = None,
    pruning: Annotated[str | None, flag(TuneSettings, "pruning")] = None,
    seed: Annotated[int | None, flag(TuneSettings, "seed")] = None,
    device: Annotated[str | None, flag(TrainSettings, "device")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search NAME, or the newest; --trials N for more of them.")
    ] = False,
) -> None:
    """Search settings that learn well: trials one after another, the unpromising ones ended early.

    --search is given once for each setting: "learning_rate=1e-4..1e-2 log", "model.levels=6..10",
    "model.dropout=0..0.5 step 0.1", "model.features=32,64,96".
    """
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(
            f"One search at a time; got {' '.join(ordinary)}.", hint="The form is `seqgen tune [NAME] [KEY=VALUE…]`."
        )
    flags = {
        "model.kind": model,
        "train.data": data,
        "train.device": device,
        "tune.search": tuple(search) if search else None,
        "tune.max_time_per_trial": max_time_per_trial,
        "tune.steps_per_trial": steps_per_trial,
        "tune.pruning": pruning,
        "tune.seed": seed,
        "tune.trials": trials,
    }
    project = shared.project(["train", "model"], flags, overrides=overrides, preset=preset)

    from seqgen_core.data.store import PreparedData
    from seqgen_core.tuning import plot
    from seqgen_core.tuning import search as searching
    from seqgen_core.tuning.folder import SearchFolder

    _check_installed()
    named = ordinary[0] if ordinary else None
    if resume:
        changed = [name for name, value in flags.items() if value is not None and name != "tune.trials"]
        changed += [text.partition("=")[0] for text in [*shared.overrides, *overrides]]
        folder = _folder_to_resume(named, project, [*changed, *(["--preset"] if preset else [])], trials)
    else:
        _check(project)
        prepared = PreparedData.open(project.train.data)
        folder = SearchFolder.create(_new_path(named, project), project)
    prepared = PreparedData.open(folder.project.train.data)
    shared.screen.say(_opening_line(folder))

    def make_run(path: Path, settings: Project) -> "RunFolder":
        return create_run(path, settings, prepared, shared.screen, preset=preset)

    report = searching.search(folder, prepared, make_run, shared.screen)
    plot.draw(report)
    show(shared, report)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.best is None:
        why = next((trial.reason for trial in report.trials if trial.reason), "none came to its end")
        raise SeqgenError(
            f"None of {len(report.trials)} trials succeeded: {why}",
            hint=f"Search other values; the runs are in {folder.path}.",
        )


def _check_installed() -> None:
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`seqgen tune` needs the Python package {error.name}, which is not installed.",
            hint="`pip install 'seqgen[tune]'` brings it.",
        ) from error


def _check(project: Project) -> None:
    """Raise UsageError, before anything is written, for a search that cannot be as described."""
    from seqgen_core.tuning.search import limits
    from seqgen_core.tuning.space import dimensions

    dimensions(project)
    limits(project)
    if project.train.devices > 1:
        raise UsageError(
            f"train.devices is {project.train.devices}, but trials train on one device each.",
            hint="Add devices=1; the best can be trained on more afterwards.",
        )


def _new_path(named: str | None, project: Project) -> Path:
    return run_path(named or f"{datetime.datetime.now():%Y%m%d-%H%M%S}-tune-{project.model.kind}", project.train.runs)


def _folder_to_resume(named: str | None, project: Project, changed: list[str], trials: int | None) -> "SearchFolder":
    """The search to go on with, given more trials where they are named. Raises UsageError for any other change."""
    from seqgen_core.tuning.folder import SearchFolder
    from seqgen_core.tuning.search import standing

    if changed:
        raise UsageError(
            f"A search that goes on cannot change: {', '.join(changed)}.",
            hint="Only --trials may be given with --resume; another name starts a new search.",
        )
    runs = project.train.runs
    folder = SearchFolder.newest(runs) if named is None else SearchFolder.open(run_path(named, runs))
    held = folder.project.tune
    over = sum(trial.state != "unfinished" for trial in standing(folder).trials)
    wanted = trials or held.trials
    if over >= wanted:
        raise UsageError(
            f"{folder.path} has had {over} trials of {wanted}.", hint=f"Name more: `--resume --trials {over + 10}`."
        )
    if wanted != held.trials:
        tune = held.model_copy(update={"trials": wanted})
        folder.replace_project(folder.project.model_copy(update={"tune": tune}))
    return folder


def _opening_line(folder: "SearchFolder") -> str:
    from seqgen_core.tuning.search import limits
    from seqgen_core.tuning.space import dimensions

    held = limits(folder.project)
    steps, seconds = held["steps"], held["max_time"]
    each = [*([f"{steps:,} steps"] if steps else []), *([duration(seconds)] if seconds else [])]
    names = ", ".join(dimension.name for dimension in dimensions(folder.project))
    trials = folder.project.tune.trials
    total = f" ({duration(trials * seconds)} at most)" if seconds else ""
    return f"{folder.path}: {trials} trials of {' or '.join(each)}{total} over {names}; Ctrl-C stops, --resume goes on"


def show(shared: Shared, report: "SearchReport") -> None:
    """All trials, the best first, and what to do with it."""
    screen, folder, best = shared.screen, report.folder, report.best
    columns, rows = trial_table([d.name for d in report.dimensions], report.trials)
    over = sum(trial.state != "unfinished" for trial in report.trials)
    screen.table(f"{folder.path}: {over} of {folder.project.tune.trials} trials", columns, rows)
    for trial in report.trials:
        if trial.reason:
            screen.line(f"trial {trial.number} failed: {trial.reason}")
    following = {"longer": longer(report), "draw": None, "resume": None}
    if best is not None:
        following["draw"] = f"seqgen generate {shlex.quote(str(best.run))} --conditional"
        screen.line(f"best: trial {best.number}, {best.bits:.4f} bits per token held out; picture: {folder.plot}")
        screen.line(f"train it for longer: {following['longer']}")
        screen.line(f"draw from it: {following['draw']}")
    if report.interrupted:
        following["resume"] = f"seqgen tune {shlex.quote(str(folder.path))} --resume"
        screen.line(f"{report.interrupted}; go on: {following['resume']}")
    screen.result(
        {
            "search": folder.path,
            "interrupted": report.interrupted,
            "wanted": folder.project.tune.trials,
            "over": over,
            "best": None if best is None else best.number,
            "best_config": folder.best if best is not None else None,
            "plot": folder.plot if folder.plot.exists() else None,
            "commands": following,
            "trials": [vars(trial) for trial in report.trials],
        }
    )


def longer(report: "SearchReport") -> str | None:
    """The command that trains the best settings for longer than a trial; None where there are none yet."""
    from seqgen_core.tuning.search import limits

    if report.best is None:
        return None
    held = limits(report.folder.project)
    steps, seconds = held["steps"], held["max_time"]
    limit = f"--max-time {duration(LONGER * seconds)}" if seconds else f"--steps {LONGER * int(steps or 0)}"
    return f"seqgen train --config {shlex.quote(str(report.folder.best))} {limit}"
