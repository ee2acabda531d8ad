"""seqgen generate: new clips from a run, from nothing or continuing what is real."""

import contextlib
import dataclasses
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
    from seqgen_core.generation.engines import Choice
    from seqgen_core.generation.sampling import Filters
    from seqgen_core.generation.starts import Prime
    from seqgen_core.models.base import CausalModel
    from seqgen_core.runs import RunFolder
    from seqgen_core.streams import Upsampled

VERIFY_STEPS = 256
VERIFY_NARROW_STEPS = 2048
"""Tokens over which the cost of narrow weights is measured."""
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
    seed: Annotated[int | None, flag(GenerateSettings, "seed")] = None,
    label: Annotated[str | None, flag(GenerateSettings, "label")] = None,
    checkpoint: Annotated[str | None, flag(GenerateSettings, "checkpoint")] = None,
    ema: Annotated[bool | None, flag(GenerateSettings, "ema", "--ema/--no-ema")] = None,
    device: Annotated[str | None, flag(GenerateSettings, "device")] = None,
    engine: Annotated[str | None, flag(GenerateSettings, "engine")] = None,
    weights: Annotated[str | None, flag(GenerateSettings, "weights")] = None,
    threads: Annotated[int | None, flag(GenerateSettings, "threads")] = None,
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
        "generate.seed": seed,
        "generate.label": label,
        "generate.checkpoint": checkpoint,
        "generate.ema": ema,
        "generate.device": device,
        "generate.engine": engine,
        "generate.weights": weights,
        "generate.threads": threads,
        "generate.out": out,
    }
    project = shared.project(["generate"], flags, overrides=overrides)
    settings = project.generate
    if settings.prime is not None and settings.conditional:
        raise UsageError(
            "--conditional draws excerpts from the data and --prime names a file.", hint="Leave one of them out."
        )
    if settings.features is not None and (settings.prime is not None or settings.conditional):
        raise UsageError(
            "What --prime and --conditional continue has features of its own, and --features names others.",
            hint="Leave one of them out.",
        )
    if stream and (settings.count != 1 or shared.screen.json_output or settings.out is not None):
        raise UsageError(
            "--stream writes one clip to stdout; --count, --json and --out do not go with it.",
            hint="Leave them out, or leave --stream out.",
        )

    from seqgen_cli.finding import class_number, find_run
    from seqgen_core.devices import choose_device, memory_guard
    from seqgen_core.generation import starts
    from seqgen_core.generation.clips import conditioned
    from seqgen_core.generation.engines import choose_engine

    run = find_run(ordinary[0] if ordinary else None, project)
    codec = run.settings.data.codec
    if stream and codec.unit not in ("sample", "character", "word"):
        raise UsageError(f"--stream is for sound and text; the run was trained on {codec}.", hint="Leave it out.")
    if stream and codec.unit == "sample" and sys.stdout.isatty():
        raise UsageError(
            "--stream writes raw sound, and stdout is a terminal.",
            hint=f"Pipe it: seqgen generate --stream … | {_player(codec.tokens_per_second)}",
        )
    number = class_number(settings.label, run, needed=not settings.conditional)
    torch_device = choose_device(settings.device)
    model, step = run.model(settings.checkpoint, ema=settings.ema, device=torch_device, progress=shared.screen)
    chosen = choose_engine(
        model,
        settings.engine,
        filters_of(settings),
        weights=settings.weights,
        threads=settings.threads,
        progress=shared.screen,
    )
    shared.screen.say(f"engine: {chosen}")
    with memory_guard("Lower generate.batch_size."):
        primes = conditioned(model, _primes(shared, settings, run, model, number), number)
        length = starts.clip_length(codec, primes, length=settings.length, seconds=settings.seconds)
        if settings.length is None and primes[0].given > 1:
            length = _answer_length(shared, run, settings, length)
        if verify:
            _verify(shared, model, chosen, primes, settings)
        if stream:
            _stream(shared, run, model, chosen, primes, length, settings)
            return
        folder = _make_folder(settings, run)
        try:
            _write(shared, run, step, model, chosen, primes, length, settings, folder)
        finally:
            with contextlib.suppress(OSError):  # holds clips
                folder.rmdir()


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
    shared: Shared, settings: GenerateSettings, run: "RunFolder", model: "CausalModel", label: int | None
) -> "list[Prime]":
    from seqgen_cli.finding import open_run_data
    from seqgen_core.data.store import VERIFIED_AT_ONCE
    from seqgen_core.generation import starts

    account = run.settings.data
    if not model.local_features:
        account = account.model_copy(update={"features": None})
    length = starts.prime_length(model, account.codec, settings.prime_seconds, settings.rows)
    if settings.prime is not None:
        own = starts.own_prime(settings.prime, account, length, label)
        return [own] * settings.count
    if settings.conditional:
        data = open_run_data(run, shared.screen)
        if data.token_size(settings.split) <= VERIFIED_AT_ONCE:
            data.verify(settings.split)
        streams = [data.stream(item) for item in data.items(settings.split)]
        if not model.local_features:
            streams = [dataclasses.replace(stream, features=None) for stream in streams]
        whole = model.longest is not None or account.codec.kind == "pixels"
        return starts.draw_primes(streams, length, settings.count, settings.seed, whole=whole)
    if settings.rows is not None:
        raise UsageError("--rows says how much of an image is given; none is.", hint="Add --prime FILE.")
    told = _own_features(settings, run, model)
    return starts.from_nothing(account.codec, settings.count, label, told)


def _own_features(settings: GenerateSettings, run: "RunFolder", model: "CausalModel") -> "Upsampled | None":
    mel = run.settings.data.features
    if settings.features is None:
        return None
    if mel is None or not model.local_features:
        raise UsageError(f"{run.path} was trained without features.", hint="Leave --features out.")
    from seqgen_core.audio.features import read_features
    from seqgen_core.streams import Upsampled

    frames = read_features(settings.features, mel, run.settings.data.gain)
    return Upsampled(frames, mel.hop, 1 + (len(frames) - 1) * mel.hop)  # up to the last frame's centre


def _answer_length(shared: Shared, run: "RunFolder", settings: GenerateSettings, otherwise: int) -> int:
    """Tokens that complete a sequence of a task, whose beginning is given."""
    from seqgen_cli.finding import open_run_data

    lengths = [item.length - item.given for item in open_run_data(run, shared.screen).items(settings.split)]
    return max(1, min(lengths, default=otherwise))


def _verify(
    shared: Shared, model: "CausalModel", engine: "Choice", primes: "list[Prime]", settings: GenerateSettings
) -> None:
    from seqgen_core.generation.verify import verify

    exact = settings.weights == "fp32"
    found = verify(model, engine, primes[0], VERIFY_STEPS if exact else VERIFY_NARROW_STEPS, settings.seed)
    line = f"{engine.name} against the plain forward over {found.steps} tokens: outputs differ by at most"
    line = f"{line} {found.difference:.1e}"
    if exact and found.difference > VERIFY_TOLERANCE:
        raise SeqgenError(f"{line}, more than {VERIFY_TOLERANCE:g}.", hint="Report this, with the run's settings.toml.")
    if exact:
        shared.screen.say(f"verified: {line} (up to {VERIFY_TOLERANCE:g} counts as equal)")
        return
    cost = f"{settings.weights} costs {round(found.bits - found.plain_bits, 4) + 0.0:.4f} bits per token"
    heard = "real excerpt" if len(primes[0].tokens) > found.steps else "what the model draws"
    shared.screen.say(f"measured: {line}; {cost} on {heard} ({found.bits:.4f}, with fp32 {found.plain_bits:.4f})")


def _stream(
    shared: Shared,
    run: "RunFolder",
    model: "CausalModel",
    engine: "Choice",
    primes: "list[Prime]",
    length: int,
    settings: GenerateSettings,
) -> None:
    import time

    import numpy as np

    from seqgen_core.generation.rendering import renderer_for
    from seqgen_core.generation.sampling import ClipUniforms
    from seqgen_core.generation.stream import draw_blocks

    codec = run.settings.data.codec
    renderer = renderer_for(codec)
    rate = codec.tokens_per_second
    size = 1 if rate is None else max(1, round(rate * settings.block))
    last = np.empty(0, np.int64)  # the word before, since words have spaces between them
    taken = []  # seconds
    uniforms = ClipUniforms(settings.seed, [0])
    if codec.unit == "sample":
        shared.screen.say(f"raw sound on stdout: {rate:.0f} Hz, 16 bits, signed, little-endian, mono")
    before = time.perf_counter()
    try:
        for block in draw_blocks(engine.make(1), model, primes[:1], length, uniforms, size):
            taken.append(time.perf_counter() - before)
            tokens = block.tokens[0]
            shown = renderer.preview(np.concatenate([last, tokens]), "").value
            if len(last):
                shown = shown[len(renderer.preview(last, "").value) :]
            sys.stdout.buffer.write(_as_bytes(shown))
            sys.stdout.buffer.flush()
            last = tokens[-1:] if codec.unit == "word" else last
            before = time.perf_counter()
    finally:  # Ctrl-C is how most streams end
        if rate is not None and taken:
            shared.screen.say(_latency(taken, size, rate))


def _player(rate: float | None) -> str:
    return f"ffplay -nodisp -autoexit -f s16le -ar {rate:.0f} -"


def _latency(taken: list[float], size: int, rate: float) -> str:
    """How long blocks took, and whether that keeps up with a player; the first, with the prime, is told apart."""
    import numpy as np

    line = f"blocks of {1000 * size / rate:.3g} ms: the first after {1000 * taken[0]:.0f} ms"
    if len(taken) == 1:
        return line
    middle, late, last = (1000 * float(np.percentile(taken[1:], share)) for share in (50, 99, 100))
    speed = size * (len(taken) - 1) / rate / sum(taken[1:])
    keeps_up = "a player keeps playing" if speed > 1 else "too slow for a player, which will stutter"
    return (
        f"{line}, then p50 {middle:.2f} ms, p99 {late:.2f} ms, at most {last:.2f} ms; "
        f"{speed:.2f} times as fast as it plays: {keeps_up}"
    )


def _as_bytes(shown: Any) -> bytes:
    from seqgen_core.audio.files import pcm16

    return shown.encode() if isinstance(shown, str) else pcm16(shown).tobytes()


def filters_of(settings: GenerateSettings) -> "Filters":
    """The sampling filters that the settings ask for."""
    from seqgen_core.generation.sampling import Filters

    return Filters(settings.temperature, settings.top_k, settings.top_p)


def _write(
    shared: Shared,
    run: "RunFolder",
    step: int,
    model: "CausalModel",
    engine: "Choice",
    primes: "list[Prime]",
    length: int,
    settings: GenerateSettings,
    folder: Path,
) -> None:
    from seqgen_core.evaluation.likelihood import measures
    from seqgen_core.generation import clips, render
    from seqgen_core.generation.rendering import renderer_for

    codec, screen = run.settings.data.codec, shared.screen
    renderer = renderer_for(codec)
    head = render.sheet_head(run, step, settings.seed, ema=settings.ema)
    head["settings"] = settings.model_dump(mode="json")
    entries: list[dict[str, Any]] = []
    drawn = []
    seconds = 0.0
    for clip in clips.draw_clips(
        model,
        primes,
        length=length,
        batch_size=settings.batch_size,
        seed=settings.seed,
        engine=engine,
        progress=screen,
        rate=codec.tokens_per_second,
    ):
        seconds += clip.seconds
        entries.append(render.write_clip(clip, renderer, folder))
        if codec.unit != "sample":  # sound is not shown all at once
            drawn.append(render.whole(clip))
        render.write_sheet(folder, head, entries)  # a stop on the way leaves an account of what is there
    speed = settings.count * length / max(seconds, 1e-9)
    head["engine"] = str(engine)
    head["tokens_per_second"] = speed
    if codec.tokens_per_second:
        head["real_time_factor"] = speed / codec.tokens_per_second
    head["files"] = renderer.finish(folder, drawn)
    sheet = render.write_sheet(folder, head, entries)
    if codec.unit in ("character", "word"):
        for tokens in drawn:
            screen.line(renderer.preview(tokens, "").value)
    word = next(iter(measures(codec, 1.0)))
    shown = [name for name, value in entries[0].items() if isinstance(value, float) and name != "bits_per_token"]
    screen.table(
        f"{run.path} at step {step}",
        ["file", f">{word}", *(f">{name}" for name in shown)],
        [
            (name, f"{measures(codec, e['bits_per_token'])[word]:.3f}", *(f"{e[figure]:.2f}" for figure in shown))
            for e in entries
            for part, name in e["files"].items()
            if part.split()[0] in ("clip", "joined") and part.split()[-1] in ("clip", "joined", "wav")
        ],
    )
    for name in head["files"].values():
        screen.line(f"all at once: {folder / name}")
    factor = f", real-time factor {head['real_time_factor']:.3f}" if "real_time_factor" in head else ""
    screen.line(f"in {folder}, with {sheet.name}: {speed:,.0f} {codec.unit}s/s{factor}")
    screen.result({"out": folder, "sheet": sheet, **head, "clips": entries})
