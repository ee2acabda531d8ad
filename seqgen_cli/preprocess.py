"""seqgen preprocess: from folders of raw files to tokens on disk."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.settings.preprocess import PreprocessSettings

if TYPE_CHECKING:
    from seqgen_cli.screen import Screen
    from seqgen_core.data.preprocess import PreprocessReport

MOST_LINES = 50  # of warnings, and of files that were set aside, unless -v


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "preprocess")(preprocess)


def preprocess(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INPUT…]", help="Folders and files (data/raw without them), overrides."),
    ] = None,
    out: Annotated[str | None, flag(PreprocessSettings, "out")] = None,
    rate: Annotated[int | None, flag(PreprocessSettings, "rate")] = None,
    codec: Annotated[str | None, flag(PreprocessSettings, "codec")] = None,
    levels: Annotated[int | None, flag(PreprocessSettings, "levels")] = None,
    trim_silence: Annotated[float | None, flag(PreprocessSettings, "trim_silence", metavar="DBFS")] = None,
    longest_silence: Annotated[float | None, flag(PreprocessSettings, "longest_silence")] = None,
    minimum_seconds: Annotated[float | None, flag(PreprocessSettings, "minimum_seconds")] = None,
    chunk_seconds: Annotated[float | None, flag(PreprocessSettings, "chunk_seconds")] = None,
    normalise: Annotated[str | None, flag(PreprocessSettings, "normalise")] = None,
    valid_share: Annotated[float | None, flag(PreprocessSettings, "valid_share")] = None,
    test_share: Annotated[float | None, flag(PreprocessSettings, "test_share")] = None,
    seed: Annotated[int | None, flag(PreprocessSettings, "seed")] = None,
    labels: Annotated[str | None, flag(PreprocessSettings, "labels")] = None,
    features: Annotated[str | None, flag(PreprocessSettings, "features")] = None,
    frames_per_second: Annotated[float | None, flag(PreprocessSettings, "frames_per_second")] = None,
    image_size: Annotated[str | None, flag(PreprocessSettings, "image_size", metavar="HxW")] = None,
    grey: Annotated[bool | None, flag(PreprocessSettings, "grey", "--grey/--colour")] = None,
    task: Annotated[str | None, flag(PreprocessSettings, "task")] = None,
    task_length: Annotated[int | None, flag(PreprocessSettings, "task_length")] = None,
    task_count: Annotated[int | None, flag(PreprocessSettings, "task_count")] = None,
    jobs: Annotated[int | None, flag(PreprocessSettings, "jobs")] = None,
    cluster: Annotated[str | None, flag(PreprocessSettings, "cluster", metavar="ADDRESS")] = None,
) -> None:
    """Turn sound, text, music in notes or images into tokens, split by recording. Interrupted work goes on."""
    ordinary, overrides = split_arguments(arguments)
    flags = {
        "preprocess.inputs": tuple(ordinary) or None,
        "preprocess.out": out,
        "preprocess.rate": rate,
        "preprocess.codec": codec,
        "preprocess.levels": levels,
        "preprocess.trim_silence": trim_silence,
        "preprocess.longest_silence": longest_silence,
        "preprocess.minimum_seconds": minimum_seconds,
        "preprocess.chunk_seconds": chunk_seconds,
        "preprocess.normalise": normalise,
        "preprocess.valid_share": valid_share,
        "preprocess.test_share": test_share,
        "preprocess.seed": seed,
        "preprocess.labels": labels,
        "preprocess.features": features,
        "preprocess.frames_per_second": frames_per_second,
        "preprocess.image_size": image_size,
        "preprocess.grey": grey,
        "preprocess.task": task,
        "preprocess.task_length": task_length,
        "preprocess.task_count": task_count,
        "preprocess.jobs": jobs,
        "preprocess.cluster": cluster,
    }
    settings = shared.project(["preprocess"], flags, overrides=overrides).preprocess

    from seqgen_core.data.preprocess import preprocess as prepare

    report = prepare(settings, shared.screen)
    if not report.fresh:
        shared.screen.say(f"{report.path} already holds these recordings with these settings: nothing to do")
    show(shared.screen, report)
    names = report.manifest.label_names
    if settings.labels == "folder" and len(names) == 1:
        shared.screen.warn(
            f"labels = folder gave all files one label, {names[0]!r}, the name of their folder: a class is a folder of"
            " its own below the inputs; labels = none leaves labels out"
        )


def show(screen: "Screen", report: "PreprocessReport") -> None:
    """What a prepared folder holds: for `seqgen preprocess` and `seqgen info data` alike."""
    from seqgen_core.data.store import SPLITS

    manifest = report.manifest
    codec = manifest.codec
    timed = codec.tokens_per_second is not None
    screen.table(
        f"{report.path}: {codec}",
        ["split", ">items", *([">seconds"] if timed else []), f">{codec.unit}s"],
        [
            (
                split,
                f"{len(report.items(split)):,}",
                *([f"{report.seconds(split) or 0:.1f}"] if timed else []),
                f"{report.tokens(split):,}",
            )
            for split in SPLITS
        ],
    )
    order0 = "none (no training tokens)" if manifest.order0_bits is None else f"{manifest.order0_bits:.4f}"
    screen.sentence(f"bits per {codec.unit} to beat: uniform {manifest.tokens.uniform_bits:.4f}, order-0 {order0}")
    for remark in manifest.remarks:
        screen.sentence(remark)
    if manifest.label_names:
        screen.sentence(f"labels: {', '.join(manifest.label_names)}")
    if manifest.features is not None:
        mel = manifest.features
        screen.sentence(f"features: {mel.bands} mel bands every {mel.hop} samples, of {mel.window} each")
    if manifest.gain != 1:
        screen.sentence(f"all amplitudes were multiplied by {manifest.gain:.4f}")
    if manifest.settings.trim_silence is not None:
        screen.sentence(f"silence cut: {manifest.silence_dropped_seconds:.1f} s")
    shown = len(manifest.warnings) if screen.verbosity >= 1 else MOST_LINES
    for warning in manifest.warnings[:shown]:
        screen.warn(warning)
    if len(manifest.warnings) > shown:
        screen.warn(f"and {len(manifest.warnings) - shown} more; -v or {report.path / 'manifest.json'} has all")
    if manifest.rejected:
        listed = manifest.rejected if screen.verbosity >= 1 else manifest.rejected[:MOST_LINES]
        screen.table(
            f"set aside: {len(report.rejected)} that could not be used, {len(report.too_short)} too short",
            ["~file", "reason"],
            [(rejected.origin, rejected.reason) for rejected in listed],
        )
        if len(listed) < len(manifest.rejected):
            screen.sentence(f"and {len(manifest.rejected) - len(listed)} more; -v lists all")
    screen.result(
        {
            "path": report.path,
            "fresh": report.fresh,
            "codec": codec,
            "splits": {
                split: {
                    "items": len(report.items(split)),
                    "seconds": report.seconds(split),
                    "tokens": report.tokens(split),
                }
                for split in SPLITS
            },
            "uniform_bits": manifest.tokens.uniform_bits,
            "order0_bits": manifest.order0_bits,
            "labels": manifest.label_names,
            "gain": manifest.gain,
            "silence_dropped_seconds": manifest.silence_dropped_seconds,
            "warnings": manifest.warnings,
            "rejected": [rejected.model_dump() for rejected in report.rejected],
            "too_short": [rejected.model_dump() for rejected in report.too_short],
        }
    )
