"""seqgen generate: new clips from a run, from nothing or continuing what is real."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError
from seqgen_core.settings.generate import GenerateSettings

if TYPE_CHECKING:
    from seqgen_core.library.drawing import Drawing
    from seqgen_core.library.writing import Written


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "generate")(generate)


def generate(
    shared: Shared,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]", help="Run folder (the newest without it), overrides.")
    ] = None,
    conditional: Annotated[bool | None, flag(GenerateSettings, "conditional", "--conditional/--unconditional")] = None,
    prime: Annotated[str | None, flag(GenerateSettings, "prime", metavar="FILE|TEXT")] = None,
    prime_seconds: Annotated[str | None, flag(GenerateSettings, "prime_seconds", metavar="DURATION")] = None,
    rows: Annotated[int | None, flag(GenerateSettings, "rows")] = None,
    features: Annotated[Path | None, flag(GenerateSettings, "features", metavar="FILE")] = None,
    split: Annotated[str | None, flag(GenerateSettings, "split")] = None,
    seconds: Annotated[str | None, flag(GenerateSettings, "seconds", metavar="DURATION")] = None,
    length: Annotated[int | None, flag(GenerateSettings, "length")] = None,
    count: Annotated[int | None, flag(GenerateSettings, "count")] = None,
    batch_size: Annotated[int | None, flag(GenerateSettings, "batch_size")] = None,
    temperature: Annotated[float | None, flag(GenerateSettings, "temperature")] = None,
    top_k: Annotated[int | None, flag(GenerateSettings, "top_k")] = None,
    top_p: Annotated[float | None, flag(GenerateSettings, "top_p")] = None,
    rank: Annotated[int | None, flag(GenerateSettings, "rank")] = None,
    dither: Annotated[bool | None, flag(GenerateSettings, "dither", "--dither/--no-dither")] = None,
    seed: Annotated[int | None, flag(GenerateSettings, "seed")] = None,
    label: Annotated[str | None, flag(GenerateSettings, "label")] = None,
    checkpoint: Annotated[str | None, flag(GenerateSettings, "checkpoint")] = None,
    ema: Annotated[bool | None, flag(GenerateSettings, "ema", "--ema/--no-ema")] = None,
    device: Annotated[str | None, flag(GenerateSettings, "device")] = None,
    engine: Annotated[str | None, flag(GenerateSettings, "engine")] = None,
    weights: Annotated[str | None, flag(GenerateSettings, "weights")] = None,
    threads: Annotated[int | None, flag(GenerateSettings, "threads")] = None,
    format: Annotated[str | None, flag(GenerateSettings, "format")] = None,
    bitrate: Annotated[int | None, flag(GenerateSettings, "bitrate")] = None,
    out: Annotated[Path | None, flag(GenerateSettings, "out", metavar="DIR")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First compare the engine with the plain forward on this very model.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write one clip to stdout as it is made: text, or raw 16-bit mono PCM.")
    ] = False,
) -> None:
    """Draw clips from a trained run; everything but what to draw comes from the run itself."""
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(
            f"One run at a time; got {' '.join(ordinary)}.", hint="The form is `seqgen generate [RUN] [KEY=VALUE…]`."
        )
    flags = {
        "generate.conditional": conditional,
        "generate.prime": prime,
        "generate.prime_seconds": prime_seconds,
        "generate.rows": rows,
        "generate.features": features,
        "generate.split": split,
        "generate.seconds": seconds,
        "generate.length": length,
        "generate.count": count,
        "generate.batch_size": batch_size,
        "generate.temperature": temperature,
        "generate.top_k": top_k,
        "generate.top_p": top_p,
        "generate.rank": rank,
        "generate.dither": dither,
        "generate.seed": seed,
        "generate.label": label,
        "generate.checkpoint": checkpoint,
        "generate.ema": ema,
        "generate.device": device,
        "generate.engine": engine,
        "generate.weights": weights,
        "generate.threads": threads,
        "generate.format": format,
        "generate.bitrate": bitrate,
        "generate.out": out,
    }
    project = shared.project(["generate"], flags, overrides=overrides)
    settings = project.generate
    if stream and (settings.count != 1 or settings.rank or shared.screen.json_output or settings.out is not None):
        raise UsageError(
            "--stream writes one clip to stdout; --count, --rank, --json and --out do not go with it.",
            hint="Leave them out, or leave --stream out.",
        )

    from seqgen_cli.finding import load_named_run

    run = load_named_run(ordinary[0] if ordinary else None, project, shared.screen)
    codec = run.settings.data.codec
    if stream and codec.unit == "sample" and sys.stdout.isatty():
        raise UsageError(
            "--stream writes raw sound, and stdout is a terminal.",
            hint="Pipe it: seqgen generate --stream … | "
            f"ffplay -nodisp -autoexit -f s16le -ar {codec.tokens_per_second:.0f} -",
        )
    if not stream:  # before the model is read
        from seqgen_core.library.writing import check_folder

        check_folder(settings.out, run.path)
    drawing = run.draw(settings, progress=shared.screen)
    if verify:
        drawing.verify()
    if stream:
        _stream(shared, drawing)
    else:
        _show(shared, drawing, drawing.write())


def _stream(shared: Shared, drawing: "Drawing") -> None:
    from seqgen_core.audio.files import pcm16

    pieces, codec = drawing.stream(), drawing.run.settings.data.codec
    if codec.unit == "sample":
        rate = codec.tokens_per_second
        shared.screen.say(f"raw sound on stdout: {rate:.0f} Hz, 16 bits, signed, little-endian, mono")
    try:
        for piece in pieces:
            sys.stdout.buffer.write(piece.encode() if isinstance(piece, str) else pcm16(piece).tobytes())
            sys.stdout.buffer.flush()
    finally:  # Ctrl-C is how most streams end
        latency = pieces.latency()
        if latency is not None:
            shared.screen.say(latency)


def _show(shared: Shared, drawing: "Drawing", written: "Written") -> None:
    from seqgen_core.evaluation.likelihood import measures
    from seqgen_core.generation.ranking import ABOVE, BEHIND, BELOW, KEPT
    from seqgen_core.generation.rendering import renderer_for

    run, screen, head, entries = drawing.run, shared.screen, written.head, written.entries
    codec = run.settings.data.codec
    if codec.unit in ("character", "word"):
        renderer = renderer_for(codec)
        for tokens in written.shown:
            screen.line(renderer.preview(tokens, "").value)
    word = next(iter(measures(codec, 1.0)))
    shown = [name for name, value in entries[0].items() if isinstance(value, float) and name != "bits_per_token"]
    primed = any("joined" in part.split() for part in entries[0]["files"])  # figures are of what was drawn alone
    screen.table(
        f"{run.path} at step {drawing.step}",
        ["file", f">{word}", *(f">new {name}" if primed else f">{name}" for name in shown)],
        [
            (name, f"{measures(codec, e['bits_per_token'])[word]:.3f}", *(f"{e[figure]:.2f}" for figure in shown))
            for e in entries
            for part, name in e["files"].items()
            if part.split()[0] in ("clip", "joined") and part.split()[-1] not in ("midi", "png")
        ],
    )
    if "candidates" in head:
        found = Counter(candidate["verdict"] for candidate in head["candidates"])
        screen.line(
            f"of {len(head['candidates'])} candidates {found[KEPT]} kept; "
            f"{found[BELOW]} below and {found[ABOVE]} above the bounds, {found[BEHIND]} not among the best"
        )
    for name in head["files"].values():
        screen.line(f"all at once: {written.folder / name}")
    factor = f", real-time factor {head['real_time_factor']:.3f}" if "real_time_factor" in head else ""
    screen.line(f"drawn at {head['tokens_per_second']:,.0f} {codec.unit}s/s{factor}")
    screen.line(f"in {written.folder}, with {written.sheet.name}")
    screen.result({"out": written.folder, "sheet": written.sheet, **head, "clips": entries})
