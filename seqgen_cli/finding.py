"""Finding the run that a command means: the one named, or the newest."""

from pathlib import Path
from typing import TYPE_CHECKING

from seqgen_cli.creating import run_path
from seqgen_core.settings.project import Project

if TYPE_CHECKING:
    from seqgen_cli.screen import Screen
    from seqgen_core.data.store import PreparedData
    from seqgen_core.library import Run
    from seqgen_core.runs import RunFolder


def names_export(named: str, project: Project) -> bool:
    """Whether an exported file is meant, also under a name without its suffix, rather than a run."""
    path = Path(named)
    if path.suffix == ".safetensors" or not path.is_file() or run_path(named, project.train.runs).is_dir():
        return path.suffix == ".safetensors"
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"  # how safetensors begin, after the length of their header


def find_run(named: str | None, project: Project) -> "RunFolder":
    """The run folder named (also by its bare name under train.runs), else the newest. Raises UsageError."""
    from seqgen_core.runs import RunFolder

    if named is None:
        return RunFolder.newest(project.train.runs)
    path = run_path(named, project.train.runs)
    return RunFolder.open(path if path.exists() else Path(named), project.train.runs)


def find_trained_run(named: str | None, project: Project, screen: "Screen") -> "RunFolder":
    """The run named, else the newest that has a checkpoint; says so where a newer one has none. Raises UsageError."""
    from seqgen_core.runs import RunFolder

    if named is not None:
        return find_run(named, project)
    newest = RunFolder.newest(project.train.runs)
    run = newest if newest.steps() else RunFolder.newest(project.train.runs, trained=True)
    if run.path != newest.path:
        screen.say(f"{newest.path} holds no checkpoint yet; {run.path}, the newest that has one, is taken")
    return run


def load_named_run(named: str | None, project: Project, trained_for: "Screen | None" = None) -> "Run":
    """The run of `find_run`, or that in a file which `seqgen export` wrote. Raises UsageError, SeqgenError.

    trained_for: where it has to be trained, as `find_trained_run` finds it, who hears which one is taken.
    """
    from seqgen_core.library import Run, load_run

    if named is not None and names_export(named, project):
        return load_run(named)
    return Run(find_run(named, project) if trained_for is None else find_trained_run(named, project, trained_for))


def open_run_data(run: "RunFolder", screen: "Screen") -> "PreparedData":
    """The prepared data that a run was trained on, with a warning where they are not the same any more.

    Raises SeqgenError where they are gone or no longer fit.
    """
    from seqgen_core.library.data import open_run_data

    return open_run_data(run.path, run.settings, screen)


def find_run_data(run: "RunFolder") -> "PreparedData":
    """The data where the run found them, or where they are now. Raises SeqgenError where there are none."""
    from seqgen_core.library.data import find_run_data

    return find_run_data(run.path, run.settings)
