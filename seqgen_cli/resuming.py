"""Going on with a run: which one, and which of its settings may change on the way."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seqgen_cli.training_words import prolonging
from seqgen_core.errors import UsageError
from seqgen_core.settings.project import Project, load_project
from seqgen_core.settings.train import TrainSettings

if TYPE_CHECKING:
    from seqgen_core.data.store import PreparedData
    from seqgen_core.runs import RunFolder

FIXED = ("batch_size", "window", "context", "carry", "seed", "ema")
"""Settings of [train] that decide which windows come at which step, or what a checkpoint holds."""
LIMITS = ("steps", "epochs", "max_time")


def run_to_resume(named: Path | None, resume: bool, project: Project) -> "RunFolder | None":
    """The run that a `train` command goes on with, or None where it starts a new one.

    With --resume: the named or the newest run. Without: the named one, where it was interrupted.
    Raises UsageError where there is no such run, or where it ended and --resume was not said.
    """
    from seqgen_core.runs import RunFolder

    if named is None:
        return RunFolder.newest(project.train.runs) if resume else None
    if not resume and not (named / "settings.toml").exists():
        return None
    run = RunFolder.open(named, project.train.runs)
    if run.status["status"] in ("finished", "imported") and not resume:
        raise UsageError(
            f"{named} holds a run that is {run.status['status']}.",
            hint=f"`{prolonging(run)}` prolongs it; another folder starts a new one.",
        )
    return run


def without_other_limits(names: Iterable[str]) -> list[str]:
    """Overrides that unset the limits in steps, epochs and time which stand in a file, where another one is named."""
    named = {name.removeprefix("train.").strip() for name in names} & set(LIMITS)
    return [f"train.{limit}=none" for limit in LIMITS if limit not in named] if named else []


def changed_training(run: "RunFolder", overrides: Sequence[str], flags: Mapping[str, object]) -> TrainSettings:
    """The settings of training with which a run goes on; a new limit stands in place of the old ones.

    Raises UsageError for a change that would make it another run, for a finished run without a further limit, and for
    a limit that lies behind.
    """
    settings = run.settings
    tables = settings.model_dump(include={"model", "train"})
    names = [name for name, value in flags.items() if value is not None] + [
        text.partition("=")[0] for text in overrides
    ]
    changed = load_project(
        sections=["train", "model"], overrides=[*without_other_limits(names), *overrides], flags=flags, base=tables
    )
    training = changed.train.settled(settings.train)  # what was found for a run stays with it
    if changed.model != settings.model:
        raise UsageError(f"The model of {run.path} cannot change.", hint="Train a new run for another model.")
    for name in FIXED:
        before, after = getattr(settings.train, name), getattr(training, name)
        if before != after:
            raise UsageError(
                f"train.{name} of {run.path} is {before} and cannot become {after} on the way.",
                hint="Leave it out, or train a new run.",
            )
    if run.status["status"] == "finished" and training == settings.train:
        raise UsageError(
            f"{run.path} is finished: {run.status['reason']}.",
            hint="Give it a further limit: --steps, --epochs or --max-time.",
        )
    if run.steps():
        account = run.account("last")
        _check_ahead(run, "steps", training.steps, account["step"])
        _check_ahead(run, "max_time", training.max_time, account.get("elapsed", 0.0))
    return training


def stretched(run: "RunFolder", training: TrainSettings) -> str:
    """What new limits do to the learning rate of a run that goes on; empty where they do nothing to it."""
    before = run.settings.train
    if training.schedule == "constant" or not run.steps():
        return ""
    if all(getattr(before, limit) == getattr(training, limit) for limit in LIMITS):
        return ""
    return (
        f"the {training.schedule} schedule now spans the new limit, so the learning rate goes up again; for one that "
        "only falls, train a new run with the whole limit from the start"
    )


def _check_ahead(run: "RunFolder", name: str, limit: float | None, now: float) -> None:
    if limit is not None and limit <= now and limit != getattr(run.settings.train, name):
        raise UsageError(
            f"train.{name} = {limit:g} lies behind: {run.path} is at {now:,.0f} already.",
            hint=f"Limits count from the run's start; name one above {now:,.0f}.",
        )


def apply_changes(run: "RunFolder", training: TrainSettings, data: "PreparedData") -> None:
    """Write what has changed into the run's settings. Raises SeqgenError while another process trains it."""
    account = run.settings.data.model_copy(
        update={
            "path": data.path.resolve(),
            "content_hash": data.content_hash(),
            "order0_bits": data.manifest.order0_bits,
            "gain": data.manifest.gain,
        }
    )
    settings = run.settings.model_copy(update={"train": training, "data": account})
    if settings != run.settings:
        with run.locked():
            run.replace_settings(settings)


def check_data(run: "RunFolder", data: "PreparedData") -> None:
    """Raise UsageError where prepared data are not those that the run was begun on."""
    account, manifest = run.settings.data, data.manifest
    if manifest.codec != account.codec or manifest.tokens != run.settings.tokens:
        raise UsageError(
            f"{data.path} now holds {manifest.codec}; the run expects {account.codec}.",
            hint="Prepare the data again as they were, or train a new run.",
        )
    if account.path is not None and account.content_hash != data.content_hash():
        raise UsageError(
            f"{data.path} has changed since {run.path} was begun.",
            hint="Going on with other data would not be the same run: restore the data, or train a new run.",
        )
