"""seqgen evaluate: bits per sample of a run over whole recordings."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError
from seqgen_core.settings.evaluate import EvaluateSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "evaluate")(evaluate)


def evaluate(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN] [FILE…]", help="Run folder (the newest without it), sound files, overrides."),
    ] = None,
    split: Annotated[str | None, flag(EvaluateSettings, "split")] = None,
    checkpoint: Annotated[str | None, flag(EvaluateSettings, "checkpoint")] = None,
    ema: Annotated[bool | None, flag(EvaluateSettings, "ema", "--ema/--no-ema")] = None,
    batch_size: Annotated[int | None, flag(EvaluateSettings, "batch_size")] = None,
    chunk: Annotated[int | None, flag(EvaluateSettings, "chunk")] = None,
    device: Annotated[str | None, flag(EvaluateSettings, "device")] = None,
    label: Annotated[str | None, typer.Option(help="Class of the sound files, for a model with labels.")] = None,
) -> None:
    """Score a run in bits per sample, over a split of its data or over sound files."""
    ordinary, overrides = split_arguments(arguments)
    flags = {
        "evaluate.split": split,
        "evaluate.checkpoint": checkpoint,
        "evaluate.ema": ema,
        "evaluate.batch_size": batch_size,
        "evaluate.chunk": chunk,
        "evaluate.device": device,
    }
    project = shared.project(["evaluate"], flags, overrides=overrides)
    settings = project.evaluate

    from seqgen_cli.finding import class_number, find_run, open_run_data
    from seqgen_core.audio.codec import AudioCodec
    from seqgen_core.devices import choose_device, memory_guard, use_threads
    from seqgen_core.evaluation import likelihood

    named = ordinary.pop(0) if ordinary and not Path(ordinary[0]).is_file() else None
    run = find_run(named, project)
    use_threads(settings.threads)
    model, step = run.model(settings.checkpoint, ema=settings.ema, device=choose_device(settings.device))
    if label is not None and not ordinary:
        raise UsageError(
            f"--label {label} is of sound files; the recordings of a split have their own labels.",
            hint="Leave it out, or name sound files.",
        )
    if ordinary:
        number = class_number(label, run, needed=True)
        found = likelihood.file_recordings(
            [Path(name) for name in ordinary], AudioCodec(run.settings.data.codec), run.settings.data.gain
        )
        recordings = [likelihood.Recording(r.origin, r.tokens, number) for r in found]
    else:
        recordings = likelihood.split_recordings(open_run_data(run, shared.screen), settings.split)
    with memory_guard("Lower evaluate.chunk or evaluate.batch_size."):
        result = likelihood.evaluate(
            model, recordings, chunk=settings.chunk, batch_size=settings.batch_size, progress=shared.screen
        )

    screen, rate = shared.screen, run.settings.data.codec.rate
    what = "files" if ordinary else settings.split
    screen.table(
        f"{run.path} at step {step} on {what}",
        ["recording", ">seconds", ">bits per sample", ">accuracy"],
        [
            (_shown(r.origin), f"{len(r.tokens) / rate:.2f}", f"{s.bits_per_token:.4f}", f"{s.accuracy:.1%}")
            for r, s in result.recordings
        ],
    )
    total = result.total
    screen.line(
        f"in all: {total.bits_per_token:.4f} bits per sample, accuracy {total.accuracy:.1%},"
        f" {total.tokens:,} samples scored"
    )
    yardsticks = {"uniform": run.settings.tokens.uniform_bits, "order0": run.settings.data.order0_bits}
    known = [f"{name} {bits:.4f}" for name, bits in yardsticks.items() if bits is not None]
    screen.line(f"yardsticks in bits: {', '.join(known)}")
    screen.result(
        {
            "run": run.path,
            "step": step,
            "ema": settings.ema,
            "on": what,
            "bits_per_sample": total.bits_per_token,
            "accuracy": total.accuracy,
            "samples": total.tokens,
            "yardsticks": yardsticks,
            "recordings": [
                {
                    "origin": r.origin,
                    "samples": s.tokens,
                    "seconds": len(r.tokens) / rate,
                    "bits_per_sample": s.bits_per_token,
                    "accuracy": s.accuracy,
                }
                for r, s in result.recordings
            ],
        }
    )


def _shown(origin: str) -> str:
    return origin if len(origin) <= 40 else "…" + origin[-39:]
