"""Finding the run that a command means: the one named, or the newest."""

from pathlib import Path
from typing import TYPE_CHECKING

from seqgen_core.errors import UsageError
from seqgen_core.settings.project import Project

if TYPE_CHECKING:
    from seqgen_cli.screen import Screen
    from seqgen_core.data.store import PreparedData
    from seqgen_core.runs import RunFolder


def find_run(named: str | None, project: Project) -> "RunFolder":
    """The run folder named (also by its bare name under train.runs), else the newest. Raises UsageError."""
    from seqgen_core.runs import RunFolder

    if named is None:
        return RunFolder.newest(project.train.runs)
    path = Path(named)
    if not path.exists() and (project.train.runs / named).exists():
        path = project.train.runs / named
    return RunFolder.open(path)


def open_run_data(run: "RunFolder", screen: "Screen") -> "PreparedData":
    """The prepared data that a run was trained on, with a warning where they are not the same any more.

    Raises SeqgenError where they are gone or no longer fit.
    """
    data = find_run_data(run)
    now, before = data.manifest.codec, run.settings.data.codec
    if now != before:
        raise UsageError(
            f"{data.path} now holds {now}; the run was trained on {before}.",
            hint="Prepare the data again as they were, or name files.",
        )
    if data.content_hash() != run.settings.data.content_hash:
        screen.warn(f"{data.path} has changed since the run was trained: what is held out now may have been trained on")
    return data


def find_run_data(run: "RunFolder") -> "PreparedData":
    """The data where the run found them, or, once the project folder was moved, at train.data as it was typed.

    Raises SeqgenError where there are none.
    """
    from seqgen_core.data.store import MANIFEST, PreparedData

    account = run.settings.data
    if account.path is None:
        raise UsageError(
            f"{run.path} was imported and knows no prepared data.", hint="Name files, or use --prime FILE."
        )
    if not (account.path / MANIFEST).exists() and (run.settings.train.data / MANIFEST).exists():
        moved = PreparedData.open(run.settings.train.data)
        if moved.content_hash() == account.content_hash:
            return moved
    return PreparedData.open(account.path)


def class_number(label: str | None, run: "RunFolder", *, needed: bool) -> int | None:
    """The number of a class given by name or number; None for a model without labels, or where none is given or needed.

    Raises UsageError for a class that is not there, and where a label is needed and none given.
    """
    classes = getattr(run.settings.model, "classes", 0)
    names = run.settings.data.label_names
    if not classes:
        if label is not None:
            raise UsageError(
                f"{run.path} was trained without labels, so --label {label} means nothing to it.", hint="Leave it out."
            )
        return None
    known = ", ".join(names) or f"0 to {classes - 1}"
    if label is None and needed:
        raise UsageError(f"{run.path} was trained with labels.", hint=f"Choose one by --label: {known}.")
    if label is None:
        return None
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < classes and not (names and all(name.isdecimal() for name in names)):
        return int(label)
    raise UsageError(f"There is no label {label!r} in {run.path}.", hint=f"Choose one of: {known}.")
