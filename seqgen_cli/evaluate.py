"""seqgen evaluate: bits per token of a run over whole recordings, and the quality of its clips."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_cli.tables import without_common_folder
from seqgen_core.errors import UsageError
from seqgen_core.settings.evaluate import EvaluateSettings

MOST_ROWS = 20  # of recordings, unless -v


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "evaluate")(evaluate)


def evaluate(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN] [FILE…]", help="Run folder (the newest without it), files, overrides."),
    ] = None,
    split: Annotated[str | None, flag(EvaluateSettings, "split")] = None,
    checkpoint: Annotated[str | None, flag(EvaluateSettings, "checkpoint")] = None,
    ema: Annotated[bool | None, flag(EvaluateSettings, "ema", "--ema/--no-ema")] = None,
    batch_size: Annotated[int | None, flag(EvaluateSettings, "batch_size")] = None,
    chunk: Annotated[int | None, flag(EvaluateSettings, "chunk")] = None,
    device: Annotated[str | None, flag(EvaluateSettings, "device")] = None,
    label: Annotated[str | None, typer.Option(help="Class of the files, for a model with labels.")] = None,
    quality: Annotated[bool | None, flag(EvaluateSettings, "quality", "--quality")] = None,
    clips: Annotated[int | None, flag(EvaluateSettings, "clips")] = None,
    clips_from: Annotated[Path | None, flag(EvaluateSettings, "clips_from", metavar="FOLDER")] = None,
    seconds: Annotated[str | None, flag(EvaluateSettings, "seconds", metavar="DURATION")] = None,
    length: Annotated[int | None, flag(EvaluateSettings, "length")] = None,
    temperature: Annotated[float | None, flag(EvaluateSettings, "temperature")] = None,
    top_p: Annotated[float | None, flag(EvaluateSettings, "top_p")] = None,
    seed: Annotated[int | None, flag(EvaluateSettings, "seed")] = None,
) -> None:
    """Score a run in bits per token, over a split of its data or over files; --quality measures its clips, too."""
    ordinary, overrides = split_arguments(arguments)
    flags: dict[str, object] = {
        "evaluate.split": split,
        "evaluate.checkpoint": checkpoint,
        "evaluate.ema": ema,
        "evaluate.batch_size": batch_size,
        "evaluate.chunk": chunk,
        "evaluate.device": device,
    }
    of_clips = {
        "clips": clips,
        "clips_from": clips_from,
        "seconds": seconds,
        "length": length,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
    }
    flags |= {"evaluate.quality": quality, **{f"evaluate.{name}": value for name, value in of_clips.items()}}
    project = shared.project(["evaluate"], flags, overrides=overrides)
    settings = project.evaluate
    given = [f"--{name.replace('_', '-')}" for name, value in of_clips.items() if value is not None]
    keys = [text.partition("=")[0].strip() for text in [*shared.overrides, *overrides]]
    given += [key for key in keys if key.removeprefix("evaluate.") in {*of_clips, "top_k", "resamples"}]
    if given and not settings.quality:
        raise UsageError(f"{given[0]} is of the clips that --quality draws.", hint="Add --quality, or leave it out.")
    drawn = [
        text
        for text in given
        if text.lstrip("-").rpartition(".")[2] not in ("clips-from", "clips_from", "seed", "resamples")
    ]
    if settings.clips_from is not None and drawn:
        raise UsageError(
            f"{drawn[0]} is of clips that --quality draws; --clips-from takes those that are there.",
            hint="Leave one of them out.",
        )

    from seqgen_cli.finding import load_named_run
    from seqgen_cli.measured import quality_json, show_quality
    from seqgen_core.evaluation import likelihood
    from seqgen_core.library.clip_lengths import plan
    from seqgen_core.library.quality import measure_quality
    from seqgen_core.library.run import EXPORTED

    first = ordinary[0] if ordinary else ""
    named = ordinary.pop(0) if ordinary and (first.endswith(EXPORTED) or not Path(first).is_file()) else None
    run = load_named_run(named, project, shared.screen)
    if settings.quality and ordinary:
        raise UsageError(
            f"--quality compares clips with the held-out data; got the file {ordinary[0]}.",
            hint="Leave the files out, or score them without --quality.",
        )
    planned = plan(run, settings, shared.screen) if settings.quality else None
    result = run.evaluate(settings, files=ordinary, label=label, progress=shared.screen)
    _, step = run.model(settings.checkpoint, ema=settings.ema, device=settings.device)  # the one that was scored

    screen, codec = shared.screen, run.settings.data.codec
    what = "files" if ordinary else settings.split
    total = result.total
    named = likelihood.measures(codec, total.bits_per_token)
    word = next(iter(named))
    shown = result.recordings if screen.verbosity >= 1 else result.recordings[:MOST_ROWS]
    names = without_common_folder([r.origin for r, _ in result.recordings])[: len(shown)]
    screen.table(
        f"{run.path} at step {step} on {what}",
        ["~recording", f">{codec.unit}s", f">{word}", ">accuracy"],
        [
            (
                name,
                f"{s.tokens:,}",
                f"{likelihood.measures(codec, s.bits_per_token)[word]:.4f}",
                f"{s.accuracy:.1%}",
            )
            for name, (_, s) in zip(names, shown, strict=True)
        ],
    )
    if len(shown) < len(result.recordings):
        screen.line(f"and {len(result.recordings) - len(shown):,} more; -v lists all")
    figures = ", ".join(f"{value:.4f} {name}" for name, value in named.items())
    screen.line(f"in all: {figures}, accuracy {total.accuracy:.1%}, {total.tokens:,} {codec.unit}s scored")
    yardsticks = {"uniform": run.settings.tokens.uniform_bits, "order0": run.settings.data.order0_bits}
    order0 = yardsticks["order0"]
    beside = "" if order0 is None else f", order-0 {order0:.4f}"
    screen.line(f"yardsticks in bits: uniform {yardsticks['uniform']:.4f}{beside}")
    measured = measure_quality(run, settings, screen, planned) if settings.quality else []
    show_quality(screen, measured, codec)
    screen.result(
        {
            "run": run.path,
            "step": step,
            "ema": settings.ema,
            "on": what,
            "bits_per_token": total.bits_per_token,
            **{name.replace(" ", "_"): value for name, value in named.items()},
            "accuracy": total.accuracy,
            "tokens": total.tokens,
            "yardsticks": yardsticks,
            "recordings": [
                {
                    "origin": r.origin,
                    "label": None if r.label is None else run.settings.data.label_names[r.label],
                    "tokens": s.tokens,
                    "bits_per_token": s.bits_per_token,
                    "accuracy": s.accuracy,
                }
                for r, s in result.recordings
            ],
            **({"quality": quality_json(measured, settings)} if settings.quality else {}),
        }
    )
