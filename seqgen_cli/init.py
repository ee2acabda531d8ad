"""seqgen init: a project folder with a commented seqgen.toml."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli.options import Shared, command
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import PROJECT_FILE, Project

DEFAULT_MAX_TIME = "10m"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "init")(init)


def init(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DIR]", help="Project folder (this one without it), and settings to put in force."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"Kind of model whose settings are written: {', '.join(MODEL_KINDS)}.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Named settings to put in force.")] = None,
) -> None:
    """Write a commented seqgen.toml and the folder data/raw; nothing that is there is touched.

    With --config or KEY=VALUE the settings that differ from the defaults are put in force in the new file.
    """
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(f"One folder at a time; got {' '.join(ordinary)}.", "seqgen init [DIR]")
    folder = Path(ordinary[0]) if ordinary else Path()
    path = folder / PROJECT_FILE
    if path.exists():
        raise UsageError(f"{path} is there already.", hint="Change it, or move it away for a new one.")
    project = shared.project(list(Project.model_fields), {"model.kind": model}, overrides=overrides, preset=preset)

    from seqgen_core.files import write_text_atomically
    from seqgen_core.settings.template import changed_settings, project_template

    in_force = {"train.max_time": DEFAULT_MAX_TIME, **changed_settings(project)}
    write_text_atomically(path, project_template(project.model.kind, in_force))
    raw = folder / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    shared.screen.line(f"wrote {path}; put your files into {raw}, or fetch some with `seqgen download URL`")
    shared.screen.line("then: seqgen preprocess, seqgen train, seqgen generate --conditional, seqgen evaluate")
    shared.screen.result({"file": path, "raw": raw})
