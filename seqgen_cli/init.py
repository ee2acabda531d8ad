"""seqgen init: a project folder with a commented seqgen.toml."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli.options import Shared, command
from seqgen_core.errors import UsageError
from seqgen_core.settings.project import DEFAULT_MODEL, PROJECT_FILE

DEFAULT_MAX_TIME = "10m"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "init")(init)


def init(
    shared: Shared,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Project folder; made where it is missing.")] = Path(),
    model: Annotated[str, typer.Option(help="Kind of model whose settings are written: sequnet or wavenet.")] = DEFAULT_MODEL,
) -> None:
    """Write a commented seqgen.toml and the folder data/raw; nothing that is there is touched."""
    from seqgen_core.files import write_text_atomically
    from seqgen_core.settings.model import MODEL_KINDS
    from seqgen_core.settings.project import nearest
    from seqgen_core.settings.template import project_template

    if model not in MODEL_KINDS:
        raise UsageError(f"There is no model {model!r}{nearest(model, MODEL_KINDS)}.", f"Models: {', '.join(MODEL_KINDS)}.")
    path = folder / PROJECT_FILE
    if path.exists():
        raise UsageError(f"{path} is there already.", hint="Change it, or move it away for a new one.")
    write_text_atomically(path, project_template(model, {"train.max_time": DEFAULT_MAX_TIME}))
    raw = folder / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    shared.screen.line(f"wrote {path}; put sound files into {raw}, or fetch some with `seqgen download URL`")
    shared.screen.line("then: seqgen preprocess, seqgen train, seqgen generate --conditional, seqgen evaluate")
    shared.screen.result({"file": path, "raw": raw})
