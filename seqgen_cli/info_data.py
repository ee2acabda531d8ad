"""seqgen info data: what is in a prepared folder."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli.options import Shared, command
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "data")(data)


def data(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]", help="Prepared folder (preprocess.out without it), overrides."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare all tokens with their SHA-256.")] = False,
    items: Annotated[bool, typer.Option("--items", help="List every item.")] = False,
) -> None:
    """Show what a prepared folder holds: splits, codec, order-0 entropy, and what was set aside and why."""
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(f"{len(ordinary)} folders are named: {', '.join(ordinary)}.", "One prepared folder.")
    path = Path(ordinary[0]) if ordinary else shared.project(["preprocess"], overrides=overrides).preprocess.out

    from seqgen_cli.preprocess import show
    from seqgen_core.data.preprocess import PreprocessReport
    from seqgen_core.data.store import PreparedData

    prepared = PreparedData.open(path)
    if check:
        prepared.verify()
        shared.screen.say(f"all {len(prepared.manifest.items)} items are as they were written")
    if items:
        shared.screen.table(
            "",
            ["~key", "split", f">{prepared.manifest.codec.unit}s", "~origin"],
            [(item.key, item.split, f"{item.length:,}", item.origin) for item in prepared.manifest.items],
        )
    show(shared.screen, PreprocessReport(path, prepared.manifest, fresh=False))
