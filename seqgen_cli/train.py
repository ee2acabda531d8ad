"""seqgen train: a new run, or going on with one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqgen_cli.creating import create_run, run_path
from seqgen_cli.errors import INTERRUPTED
from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_cli.training_words import opening_line, show_report
from seqgen_core.errors import UsageError
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import Project
from seqgen_core.settings.train import TrainSettings

if TYPE_CHECKING:
    from seqgen_core.training.distributed import Group, Place


RUN_HELP = (
    "Run to make or to go on with (a new one without it): a name among the runs, a path where it has a separator or is"
    " there; and overrides."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "train")(train)


def train(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]", help=RUN_HELP),
    ] = None,
    model: Annotated[str | None, typer.Option(help=f"Kind of model: {', '.join(MODEL_KINDS)}.")] = None,
    preset: Annotated[str | None, typer.Option(help="Named settings; `seqgen info presets` lists them.")] = None,
    data: Annotated[Path | None, flag(TrainSettings, "data")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with RUN, or with the newest run.")] = False,
    steps: Annotated[int | None, flag(TrainSettings, "steps")] = None,
    epochs: Annotated[float | None, flag(TrainSettings, "epochs")] = None,
    max_time: Annotated[str | None, flag(TrainSettings, "max_time", metavar="DURATION")] = None,
    batch_size: Annotated[str | None, flag(TrainSettings, "batch_size", metavar="COUNT|auto")] = None,
    window: Annotated[int | None, flag(TrainSettings, "window")] = None,
    learning_rate: Annotated[
        str | None, flag(TrainSettings, "learning_rate", "--learning-rate", "--lr", metavar="RATE|auto")
    ] = None,
    patience: Annotated[int | None, flag(TrainSettings, "patience")] = None,
    stats: Annotated[bool | None, flag(TrainSettings, "stats", "--stats/--no-stats")] = None,
    device: Annotated[str | None, flag(TrainSettings, "device")] = None,
    devices: Annotated[int | None, flag(TrainSettings, "devices")] = None,
    precision: Annotated[str | None, flag(TrainSettings, "precision")] = None,
    seed: Annotated[int | None, flag(TrainSettings, "seed")] = None,
) -> None:
    """Train a model on prepared data; Ctrl-C writes a checkpoint first, --resume goes on exactly where it stopped."""
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(
            f"One run at a time; got {' '.join(ordinary)}.", hint="The form is `seqgen train [RUN] [KEY=VALUE…]`."
        )
    flags = {
        "model.kind": model,
        "train.data": data,
        "train.steps": steps,
        "train.epochs": epochs,
        "train.max_time": max_time,
        "train.batch_size": batch_size,
        "train.window": window,
        "train.learning_rate": learning_rate,
        "train.patience": patience,
        "train.stats": stats,
        "train.device": device,
        "train.devices": devices,
        "train.precision": precision,
        "train.seed": seed,
    }
    from seqgen_cli.resuming import without_other_limits

    given = [name for name, value in flags.items() if value is not None]
    given += [text.partition("=")[0] for text in [*shared.overrides, *overrides]]
    cleared = [*without_other_limits(given), *overrides]
    project = shared.project(["train", "model"], flags, overrides=cleared, preset=preset)

    from seqgen_core.runs import RunFolder
    from seqgen_core.training.distributed import check_devices, joined, launch, place_in_environment

    place = place_in_environment()

    def choose() -> tuple[Path, bool]:
        """The folder of the run, and whether it is a new one."""
        named = run_path(ordinary[0], project.train.runs) if ordinary else None
        return _choose_run(shared, named, project, flags, overrides, resume=resume, preset=preset, place=place)

    if place is not None:  # one of several processes that torchrun started
        if place.rank:
            shared.screen.verbosity = -1
        with joined(place, project.train.device) as group:
            path, begun = group.from_main(choose)
            _train_run(shared, path, begun, group)
        return
    path, begun = choose()
    settings = RunFolder.open(path).settings.train
    try:
        check_devices(settings.devices, settings.device)
        if settings.devices == 1:
            _train_run(shared, path, begun)
        else:
            look = (shared.screen.verbosity, shared.screen.json_output)
            launch(settings.devices, _train_with_others, path, begun, *look)
    except BaseException:
        if begun and (path / "settings.toml").exists():  # where no process came to remove it
            RunFolder.open(path).remove_unless_begun()
        raise


def _choose_run(
    shared: Shared,
    named: Path | None,
    project: Project,
    flags: Mapping[str, object],
    overrides: Sequence[str],
    *,
    resume: bool,
    preset: str | None,
    place: "Place | None",
) -> tuple[Path, bool]:
    """The folder of the run that a command makes or goes on with, its settings and data in order; whether it is new."""
    from seqgen_cli.finding import find_run_data
    from seqgen_cli.resuming import apply_changes, changed_training, check_data, run_to_resume, stretched
    from seqgen_core.data.store import PreparedData

    run = run_to_resume(named, resume, project)
    if run is None:
        data = PreparedData.open(project.train.data)
        run = create_run(named, project, data, shared.screen, preset=preset, place=place)
        return run.path, True
    if preset is not None:
        raise UsageError("A preset cannot change a run that goes on.", hint="Leave --preset out.")
    with run.locked():
        run.set_damaged_aside(shared.screen)
    training = changed_training(run, [*shared.overrides, *overrides], flags)
    named_anew = training.data != run.settings.train.data or run.settings.data.path is None  # imported: none yet
    prepared = PreparedData.open(training.data) if named_anew else find_run_data(run)
    check_data(run, prepared)
    notice = stretched(run, training)
    apply_changes(run, training, prepared)
    if notice:
        shared.screen.say_once_begun(notice)
    for name in ("batch_size", "learning_rate"):
        words = {f"{name}=auto", f"train.{name}=auto"}
        if flags.get(f"train.{name}") == "auto" or words & {*shared.overrides, *overrides}:
            shared.screen.say(f"train.{name} stays {getattr(training, name):g}: auto is found out when a run begins")
    return run.path, False


def _train_run(shared: Shared, path: Path, begun: bool, group: "Group | None" = None, *, remove: bool = True) -> None:
    """Train a run whose settings are in order, here or as one of several processes, and show how it ended.

    remove: take a new run's folder away again where training fails before it begins.
    """
    from seqgen_cli.finding import find_run_data
    from seqgen_core.generation.preview import preview_drawer
    from seqgen_core.runs import RunFolder
    from seqgen_core.training import loop
    from seqgen_core.training.distributed import ALONE

    group = group or ALONE
    run = RunFolder.open(path)
    prepared = find_run_data(run)
    heard = (prepared.items("valid") or prepared.items("train"))[:1]
    draw = preview_drawer(run, prepared.stream(heard[0])) if heard else None
    if not begun:
        at = run.choose("last") if run.steps() else 0
        shared.screen.say_once_begun(f"going on with {run.path} from step {at:,}")
    shared.screen.say_once_begun(opening_line(run))
    try:
        report = loop.train(run, prepared, shared.screen, draw, group=group)
    except BaseException:
        if begun and remove and group.main:
            run.remove_unless_begun()
        raise
    if group.main:
        show_report(shared, run, prepared, report)
    if report.status == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _train_with_others(place: "Place", path: Path, begun: bool, verbosity: int, json_output: bool) -> None:
    """`_train_run` in one of several processes that this program started itself; ends with its exit code."""
    from seqgen_cli.errors import explain
    from seqgen_cli.screen import Screen
    from seqgen_core.runs import RunFolder
    from seqgen_core.training.distributed import first_to_tell, joined

    screen = Screen(verbosity if place.rank == 0 else -1, json_output)
    try:
        with joined(place, RunFolder.open(path).settings.train.device) as group:
            _train_run(Shared(screen), path, begun, group, remove=False)
    except typer.Exit as end:
        raise SystemExit(end.exit_code) from None
    except Exception as error:
        explained = explain(error)
        if first_to_tell(place, explained.got):
            screen.error(explained)
        raise SystemExit(explained.exit_code) from None
    finally:
        screen.end()
