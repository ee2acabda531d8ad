"""seqgen generate: new clips from a run, from silence or continuing real sound."""

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.generate import GenerateSettings

if TYPE_CHECKING:
    from seqgen_core.audio.codec import AudioCodec
    from seqgen_core.generation.clips import Prime
    from seqgen_core.generation.stream import Filters
    from seqgen_core.models.base import CausalModel
    from seqgen_core.runs import RunFolder

VERIFY_STEPS = 256
VERIFY_TOLERANCE = 1e-4
"""Largest difference of an output in fp32 that counts as equal (law 3)."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "generate")(generate)


def generate(
    shared: Shared,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]", help="Run folder (the newest without it), overrides.")
    ] = None,
    conditional: Annotated[bool | None, flag(GenerateSettings, "conditional", "--conditional/--unconditional")] = None,
    prime: Annotated[Path | None, flag(GenerateSettings, "prime", metavar="FILE")] = None,
    prime_seconds: Annotated[str | None, flag(GenerateSettings, "prime_seconds", metavar="DURATION")] = None,
    split: Annotated[str | None, flag(GenerateSettings, "split")] = None,
    seconds: Annotated[str | None, flag(GenerateSettings, "seconds", metavar="DURATION")] = None,
    length: Annotated[int | None, flag(GenerateSettings, "length")] = None,
    count: Annotated[int | None, flag(GenerateSettings, "count")] = None,
    batch_size: Annotated[int | None, flag(GenerateSettings, "batch_size")] = None,
    temperature: Annotated[float | None, flag(GenerateSettings, "temperature")] = None,
    top_k: Annotated[int | None, flag(GenerateSettings, "top_k")] = None,
    top_p: Annotated[float | None, flag(GenerateSettings, "top_p")] = None,
    seed: Annotated[int | None, flag(GenerateSettings, "seed")] = None,
    label: Annotated[str | None, flag(GenerateSettings, "label")] = None,
    checkpoint: Annotated[str | None, flag(GenerateSettings, "checkpoint")] = None,
    ema: Annotated[bool | None, flag(GenerateSettings, "ema", "--ema/--no-ema")] = None,
    device: Annotated[str | None, flag(GenerateSettings, "device")] = None,
    out: Annotated[Path | None, flag(GenerateSettings, "out", metavar="DIR")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First compare stepping with the plain forward on this very model.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write raw 16-bit mono PCM of one clip to stdout as it is made.")
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
        "generate.split": split,
        "generate.seconds": seconds,
        "generate.length": length,
        "generate.count": count,
        "generate.batch_size": batch_size,
        "generate.temperature": temperature,
        "generate.top_k": top_k,
        "generate.top_p": top_p,
        "generate.seed": seed,
        "generate.label": label,
        "generate.checkpoint": checkpoint,
        "generate.ema": ema,
        "generate.device": device,
        "generate.out": out,
    }
    project = shared.project(["generate"], flags, overrides=overrides)
    settings = project.generate
    if settings.prime is not None and settings.conditional:
        raise UsageError(
            "--conditional draws excerpts from the data and --prime names a file.", hint="Leave one of them out."
        )
    if stream and (settings.count != 1 or shared.screen.json_output or settings.out is not None):
        raise UsageError(
            "--stream writes one clip to stdout; --count, --json and --out do not go with it.",
            hint="Leave them out, or leave --stream out.",
        )

    from seqgen_cli.finding import class_number, find_run
    from seqgen_core.audio.codec import AudioCodec
    from seqgen_core.devices import choose_device, memory_guard

    run = find_run(ordinary[0] if ordinary else None, project)
    number = class_number(settings.label, run, needed=not settings.conditional)
    torch_device = choose_device(settings.device)
    model, step = run.model(settings.checkpoint, ema=settings.ema, device=torch_device)
    codec = AudioCodec(run.settings.data.codec)
    tokens = settings.length if settings.length is not None else max(1, round(settings.seconds * codec.rate))
    with memory_guard("Lower generate.batch_size."):
        primes = _primes(shared, settings, run, model, codec)
        if verify:
            _verify(shared, model, codec, primes, number)
        if stream:
            _stream(model, codec, primes, tokens, settings, number)
            return
        _write(shared, run, step, model, codec, primes, tokens, settings, number, _make_folder(settings, run))


def _make_folder(settings: GenerateSettings, run: "RunFolder") -> Path:
    """The folder for the clips, made before any work. Raises UsageError where it holds clips already, OSError."""
    folder = settings.out
    if folder is None:
        stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
        folder, number = run.path / "samples" / stem, 2
        while folder.exists():
            folder, number = folder.with_name(f"{stem}-{number}"), number + 1
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; clips go into a folder.", hint="Name another by --out.")
    if (folder / "sheet.json").exists():
        raise UsageError(f"{folder} holds clips already.", hint="Name another folder by --out, or move them away.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _primes(
    shared: Shared, settings: GenerateSettings, run: "RunFolder", model: "CausalModel", codec: "AudioCodec"
) -> "list[Prime] | None":
    from seqgen_cli.finding import open_run_data
    from seqgen_core.audio.files import read_mono
    from seqgen_core.generation import clips

    length = clips.prime_length(model, codec, settings.prime_seconds)
    if settings.prime is not None:
        waveform = read_mono(settings.prime, codec.rate) * run.settings.data.gain
        return [clips.prime_from_waveform(waveform, codec, settings.prime, length)] * settings.count
    if not settings.conditional:
        return None
    data = open_run_data(run, shared.screen)
    streams = [clips.Stream(item.origin, data.tokens(item), item.label) for item in data.items(settings.split)]
    return clips.draw_primes(streams, length, settings.count, settings.seed)


def _verify(
    shared: Shared, model: "CausalModel", codec: "AudioCodec", primes: "list[Prime] | None", label: int | None
) -> None:
    import numpy as np

    from seqgen_core.generation.clips import condition_of
    from seqgen_core.generation.stream import stepping_error

    reach = model.receptive_field or 1
    needed = reach + VERIFY_STEPS
    noise = np.random.default_rng(0).integers(0, codec.tokens.values, needed)
    real = primes[0].tokens[-needed:] if primes is not None else noise[:0]
    heard = np.concatenate([noise[: needed - len(real)], real])[None]
    condition = condition_of(model, primes[:1] if primes is not None else None, label, 1)
    worst = stepping_error(model, heard, VERIFY_STEPS, condition)
    line = f"stepping against the plain forward over {VERIFY_STEPS} tokens: largest difference {worst:.2e}"
    if worst > VERIFY_TOLERANCE:
        raise SeqgenError(f"{line}, more than {VERIFY_TOLERANCE:g}.", hint="Report this, with the run's settings.toml.")
    shared.screen.say(f"verified: {line}")


def _stream(
    model: "CausalModel",
    codec: "AudioCodec",
    primes: "list[Prime] | None",
    length: int,
    settings: GenerateSettings,
    label: int | None,
) -> None:
    import numpy as np

    from seqgen_core.audio.files import pcm16
    from seqgen_core.devices import stepping_threads
    from seqgen_core.generation.clips import condition_of
    from seqgen_core.generation.sampling import ClipUniforms
    from seqgen_core.generation.stream import draw_tokens

    heard = primes[0].tokens[None] if primes is not None else np.full((1, 1), codec.silence, np.int64)
    condition = condition_of(model, primes[:1] if primes is not None else None, label, 1)
    block: list[int] = []
    steps = draw_tokens(model, heard, length, ClipUniforms(settings.seed, [0]), filters_of(settings), condition)
    with stepping_threads(next(model.parameters()).device, 1, settings.threads):
        for place, step in enumerate(steps):
            block.append(int(step.tokens[0]))
            if len(block) == codec.rate // 20 + 1 or place + 1 == length:
                sys.stdout.buffer.write(pcm16(codec.decode(np.array(block))).tobytes())
                sys.stdout.buffer.flush()
                block.clear()


def filters_of(settings: GenerateSettings) -> "Filters":
    """The sampling filters that the settings ask for."""
    from seqgen_core.generation.stream import Filters

    return Filters(settings.temperature, settings.top_k, settings.top_p)


def _write(
    shared: Shared,
    run: "RunFolder",
    step: int,
    model: "CausalModel",
    codec: "AudioCodec",
    primes: "list[Prime] | None",
    length: int,
    settings: GenerateSettings,
    label: int | None,
    folder: Path,
) -> None:
    import time

    from seqgen_core.generation import clips, render

    head = render.sheet_head(run, step, settings.seed, ema=settings.ema)
    head["settings"] = settings.model_dump(mode="json")
    entries: list[dict[str, Any]] = []
    started = time.monotonic()
    for clip in clips.draw_clips(
        model,
        codec.silence,
        primes,
        count=settings.count,
        length=length,
        batch_size=settings.batch_size,
        seed=settings.seed,
        filters=filters_of(settings),
        label=label,
        progress=shared.screen,
        rate=codec.rate,
        threads=settings.threads,
    ):
        entries.append(render.write_clip(clip, codec, folder))
        render.write_sheet(folder, head, entries)  # a stop on the way leaves an account of what is there
    elapsed = time.monotonic() - started
    speed = settings.count * length / elapsed
    head |= {"samples_per_second": speed, "real_time_factor": speed / codec.rate}
    sheet = render.write_sheet(folder, head, entries)
    shared.screen.table(
        f"{run.path} at step {step}",
        ["file", ">seconds", ">bits per sample", ">peak"],
        [
            (name, f"{e['seconds']:.2f}", f"{e['bits_per_sample']:.3f}", f"{e['peak']:.2f}")
            for e in entries
            for part, name in e["files"].items()
            if part in ("clip", "joined")
        ],
    )
    shared.screen.line(
        f"in {folder}, with {sheet.name}: {speed:,.0f} samples/s, real-time factor {speed / codec.rate:.3f}"
    )
    shared.screen.result({"out": folder, "sheet": sheet, **head, "clips": entries})
