"""seqgen import: weights of the Seq-U-Net authors' code as a run of ours."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError
from seqgen_core.settings.model import SequnetSettings, WaveNetSettings
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.settings.train import TrainSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "import")(import_)


def import_(
    shared: Shared,
    arguments: Annotated[
        list[str], typer.Argument(metavar="CHECKPOINT", help="Snapshot of the reference code, and overrides.")
    ],
    model: Annotated[str | None, typer.Option(help="Kind of model: sequnet or wavenet; else as the file says.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; else imported-<file> among the runs.")] = None,
    rate: Annotated[int | None, flag(PreprocessSettings, "rate")] = None,
) -> None:
    """Take a snapshot of the Seq-U-Net reference code (Seq-U-Net or WaveNet) into a run, to evaluate and generate.

    Sizes are read from the snapshot; for WaveNet say stacks=… and layers=…, which its tensors do not tell apart.
    """
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) != 1:
        raise UsageError(
            f"{len(ordinary)} checkpoints are named{': ' if ordinary else ''}{' '.join(ordinary)}.",
            "seqgen import CHECKPOINT [key=value…] --out RUN",
        )
    checkpoint = Path(ordinary[0])

    from seqgen_core import models
    from seqgen_core.models import reference
    from seqgen_core.runs import Checkpoint, RunFolder
    from seqgen_core.settings.run import DataAccount, RunSettings

    snapshot = reference.load_snapshot(checkpoint)
    described = reference.describe_snapshot(snapshot)
    kind = described.pop("kind")
    if model not in (None, kind):
        raise UsageError(f"{checkpoint} holds a {kind}, not a {model}.", hint=f"Import it by --model {kind}.")
    described.pop("total_layers", None)
    if kind == "wavenet":
        described["input"] = "one-hot"
    values = reference.snapshot_values(snapshot)
    sizes = [
        f"preprocess.levels={values}",
        *(f"model.{name}={str(value).lower()}" for name, value in described.items()),
    ]
    project = shared.project(
        ["model", "preprocess"], {"model.kind": kind, "preprocess.rate": rate}, overrides=[*sizes, *overrides]
    )
    codec = project.preprocess.sound_codec
    if codec.levels != values:
        raise UsageError(f"The snapshot speaks {values} token values; levels={codec.levels} was given.")
    assert isinstance(project.model, WaveNetSettings | SequnetSettings)  # as the snapshot's kind says
    built = models.build(project.model, codec.tokens)
    built.load_state_dict(reference.reference_state_dict(snapshot, project.model))

    folder = out or project.train.runs / f"imported-{checkpoint.stem}"
    account = DataAccount(codec=codec)
    run = RunFolder.create(
        folder,
        RunSettings(
            model=project.model, tokens=codec.tokens, data=account, train=project.train.settled(TrainSettings())
        ),
    )
    run.save(Checkpoint(built.state_dict(), {}, {}, {"step": 0, "imported_from": checkpoint.name}), best=True, keep=0)
    run.set_status("imported", 0, f"weights of {checkpoint.name}")

    screen = shared.screen
    screen.line(f"{folder}: {kind} of {built.parameter_count:,} parameters, {codec}")
    screen.line(f"receptive field {built.receptive_field:,} samples at {codec.rate} Hz")
    screen.line(f"next: seqgen evaluate {folder} FILE…   or   seqgen generate {folder} --prime FILE")
    screen.result(
        {
            "run": folder,
            "model": project.model,
            "tokens": codec.tokens,
            "rate": codec.rate,
            "parameters": built.parameter_count,
            "receptive_field": built.receptive_field,
        }
    )
