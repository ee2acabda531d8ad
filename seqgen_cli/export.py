"""seqgen export: a trained run as one file, for seqgen elsewhere or for programs without it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError
from seqgen_core.settings.export import ExportSettings

if TYPE_CHECKING:
    from seqgen_core.exporting.weights_file import Exported
    from seqgen_core.runs import RunFolder


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "export")(export)


def export(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]", help="Run (the newest without it), or an exported file; overrides."),
    ] = None,
    to: Annotated[str | None, flag(ExportSettings, "to")] = None,
    out: Annotated[Path | None, flag(ExportSettings, "out", metavar="FILE")] = None,
    checkpoint: Annotated[str | None, flag(ExportSettings, "checkpoint")] = None,
    ema: Annotated[bool | None, flag(ExportSettings, "ema", "--ema/--no-ema")] = None,
) -> None:
    """Write a run as one file: weights with their settings inside, or one step of the model as an ONNX graph."""
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(
            f"One run at a time; got {' '.join(ordinary)}.", hint="The form is `seqgen export [RUN] [KEY=VALUE…]`."
        )
    flags = {"export.to": to, "export.out": out, "export.checkpoint": checkpoint, "export.ema": ema}
    project = shared.project(["export"], flags, overrides=overrides)
    settings = project.export
    if settings.to == "onnx":
        _check_installed()

    from seqgen_cli.finding import find_trained_run, names_export
    from seqgen_core.exporting.weights_file import Exported, check_target, name_of, open_export

    named = ordinary[0] if ordinary else None
    exported = named is not None and names_export(named, project)
    run = open_export(Path(named or "")) if exported else find_trained_run(named, project, shared.screen)
    path = settings.out or Path(f"{name_of(run)}.{settings.to}")
    check_target(path, f".{settings.to}")
    if settings.to == "onnx":
        _onnx(shared, run, path, settings)
    elif isinstance(run, Exported):
        raise UsageError(
            f"{run.path} is an exported file already.", hint="Copy it, or make another of it by --to onnx."
        )
    else:
        _safetensors(shared, run, path, settings)


def _safetensors(shared: Shared, run: "RunFolder", path: Path, settings: ExportSettings) -> None:
    from seqgen_core.exporting.weights_file import open_export, write_export

    write_export(run, path, settings.checkpoint, ema=settings.ema, progress=shared.screen)
    written = open_export(path)
    screen, size = shared.screen, path.stat().st_size
    weights = "moving average of the weights" if written.ema else "weights"
    screen.line(f"{path}: {weights} of {run.path} at step {written.step:,}, {size:,} bytes")
    screen.line(f"next: seqgen generate {path}")
    screen.result({**_account(run, path, settings, written.step, ema=written.ema), "sha256": written.tensors_sha256})


def _onnx(shared: Shared, run: "RunFolder | Exported", path: Path, settings: ExportSettings) -> None:
    import numpy as np

    from seqgen_core import codecs
    from seqgen_core.exporting.onnx_file import write_onnx
    from seqgen_core.settings.codec import AudioCodecSettings

    codec, amplitudes = run.settings.data.codec, None
    if isinstance(codec, AudioCodecSettings):
        from seqgen_core.audio.codec import AudioCodec

        amplitudes = AudioCodec(codec).decode(np.arange(codec.levels))
    written = write_onnx(
        run,
        path,
        codecs.start_token(codec),
        amplitudes,
        settings.checkpoint,
        ema=settings.ema,
        progress=shared.screen,
    )
    screen, size, found = shared.screen, path.stat().st_size, written.comparison
    weights = "moving average of the weights" if written.ema else "weights"
    screen.line(
        f"{path}: one step of {run.path} at step {written.step:,} ({weights}), {size:,} bytes, {written.nodes:,} nodes"
    )
    screen.line(
        f"checked in ONNX Runtime: outputs differ from the model's by at most {found.difference:.1e} "
        f"over {found.tokens:,} tokens, {found.tokens_per_second:,.0f} tokens per second on one thread"
    )
    screen.line("next: docs/onnx.md says how to draw from it, docs/onnx_sound.py is an example")
    screen.result(
        {
            **_account(run, path, settings, written.step, ema=written.ema),
            "nodes": written.nodes,
            "difference": found.difference,
            "tokens_compared": found.tokens,
            "tokens_per_second": found.tokens_per_second,
        }
    )


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`seqgen export --to onnx` needs the Python package {error.name}, which is not installed.",
            hint="`pip install 'seqgen[onnx]'` brings it.",
        ) from error


def _account(
    run: "RunFolder | Exported", path: Path, settings: ExportSettings, step: int, *, ema: bool
) -> dict[str, Any]:
    """What is told of a file of any sort."""
    size = path.stat().st_size
    return {"run": run.path, "file": path, "to": settings.to, "step": step, "ema": ema, "bytes": size}
