"""seqgen demo: the whole road in a few minutes, from sound to tokens to a trained model to new sound."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqgen_cli.errors import INTERRUPTED
from seqgen_cli.options import Shared, command
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError

if TYPE_CHECKING:
    from seqgen_core.evaluation.likelihood import Evaluation
    from seqgen_core.library import Run
    from seqgen_core.runs import RunFolder
    from seqgen_core.settings.project import Project

PRESET = "sequnet-demo"
RATE = 8000
"""Hz; half of what sounds good, so that two CPU minutes hear twice the music."""
CLIPS = 2
CLIP_SECONDS = 2.0
MARGIN_BITS = 1.5
"""Bits below the order-0 entropy that the demo model is expected to reach."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "demo")(demo)


def demo(
    shared: Shared,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="Settings to change, such as model.features=48.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your own folder of sound, in place of ours.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for everything the demo makes.")] = Path(
        "seqgen-demo"
    ),
    max_time: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Longest training, such as 90s; 2m without it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of training and of the clips.")] = None,
) -> None:
    """Show the whole road in a few minutes: no network, no files and no GPU needed."""
    ordinary, settings = split_arguments(overrides)
    if ordinary:
        raise UsageError(
            f"The demo takes settings as KEY=VALUE; got {' '.join(ordinary)}.", hint="--data DIR names your sound."
        )
    if data is not None and not data.is_dir():
        raise UsageError(f"{data} is no folder.", hint="--data takes a folder of sound files.")
    from seqgen_core.library import Run

    folder = _free(out)
    sound = data.resolve() if data is not None else folder / "data" / "raw"
    project = _settings(shared, folder, sound, max_time, seed, settings)
    shared.screen.say(f"everything goes into {folder}")
    if data is None:
        _synthesise(shared, sound)
    run = Run(_train_on(shared, folder, project))
    evaluation = _score(shared, run)
    heard = _listen(shared, run, folder, project.train.seed)
    _summary(shared, run, folder, evaluation, heard, synthesised=data is None)


def _free(out: Path) -> Path:
    folder, number = out, 2
    while folder.exists() and any(folder.iterdir()):
        folder, number = out.with_name(f"{out.name}-{number}"), number + 1
    return folder


def _settings(
    shared: Shared, folder: Path, sound: Path, max_time: str | None, seed: int | None, overrides: list[str]
) -> "Project":
    from seqgen_core.settings.project import load_project

    return load_project(
        shared.config,
        base={} if shared.config is None else None,
        preset=PRESET,
        sections=["model", "train", "preprocess"],
        overrides=["train.max_time=2m", *shared.overrides, *overrides],
        flags={
            "preprocess.inputs": [str(sound)],
            "preprocess.out": str(folder / "data" / "prepared"),
            "preprocess.rate": RATE,
            "train.data": str(folder / "data" / "prepared"),
            "train.max_time": max_time,
            "train.sample_count": 0,
            "train.seed": seed,
        },
    )


def _synthesise(shared: Shared, raw: Path) -> None:
    from seqgen_core.audio.files import write_wav
    from seqgen_core.audio.synth import synthesise_demo

    shared.screen.say("1/5 synthesising plucked strings")
    for name, waveform in synthesise_demo(RATE).items():
        write_wav(raw / f"{name}.wav", waveform, RATE)


def _train_on(shared: Shared, folder: Path, project: "Project") -> "RunFolder":
    from seqgen_cli.creating import create_run
    from seqgen_core.data.preprocess import preprocess
    from seqgen_core.data.store import PreparedData
    from seqgen_core.files import write_text_atomically
    from seqgen_core.settings.project import PROJECT_FILE
    from seqgen_core.settings.template import changed_settings, project_template
    from seqgen_core.training import loop

    shared.screen.say("2/5 preparing")
    preprocess(project.preprocess, shared.screen)
    data = PreparedData.open(project.train.data)
    shared.screen.say(f"3/5 training a small Seq-U-Net for at most {project.train.max_time:.0f} s")
    run = create_run(folder / "runs" / "demo", project, data, shared.screen, preset=PRESET)
    report = loop.train(run, data, shared.screen)
    if report.status == "interrupted":
        shared.screen.say(f"the run is kept: `seqgen train --resume {shlex.quote(str(run.path))}` goes on with it")
        raise typer.Exit(INTERRUPTED)
    sound = project.preprocess.inputs[0]
    in_force = {name: value for name, value in changed_settings(project).items() if name.startswith("model.")}
    in_force["preprocess.inputs"] = ["data/raw"] if sound.is_relative_to(folder) else [str(sound)]
    in_force |= {"preprocess.rate": RATE, "train.max_time": "10m"}
    write_text_atomically(folder / PROJECT_FILE, project_template(project.model.kind, in_force))
    return run


def _score(shared: Shared, run: "Run") -> "Evaluation":
    shared.screen.say("4/5 scoring the held-out recordings")
    return run.evaluate(progress=shared.screen)


def _listen(shared: Shared, run: "Run", folder: Path, seed: int) -> list[dict[str, Any]]:
    shared.screen.say(f"5/5 continuing {CLIPS} held-out excerpts")
    drawing = run.draw(conditional=True, count=CLIPS, seconds=CLIP_SECONDS, seed=seed, progress=shared.screen)
    return drawing.write(folder / "listen").entries


def _summary(
    shared: Shared,
    run: "Run",
    folder: Path,
    evaluation: "Evaluation",
    heard: list[dict[str, Any]],
    *,
    synthesised: bool,
) -> None:
    screen = shared.screen
    bits, order0 = evaluation.total.bits_per_token, run.settings.data.order0_bits
    uniform = run.settings.tokens.uniform_bits
    margin = (order0 if order0 is not None else uniform) - bits
    screen.table(
        "held-out sound, in bits per sample",
        ["", ">bits"],
        [
            ("uniform: a model that knows nothing", f"{uniform:.3f}"),
            ("order-0: one that knows the histogram", f"{order0:.3f}" if order0 is not None else "-"),
            ("the Seq-U-Net just trained", f"{bits:.3f}"),
        ],
    )
    good = margin >= MARGIN_BITS
    if good:
        screen.line(f"It beats the order-0 entropy by {margin:.2f} bits.")
    else:
        screen.line(
            f"It does NOT beat the order-0 entropy by {MARGIN_BITS} bits (only by {margin:.2f}); train it longer."
        )
    files = [folder / "listen" / name for entry in heard for part, name in entry["files"].items() if part == "joined"]
    screen.line(f"listen: {', '.join(map(str, files))}")
    real = heard[0]["prime"]["tokens"] / run.settings.data.codec.tokens_per_second
    own = "its own hiss with plucks in it" if synthesised else "what it makes of it, most likely hiss"
    screen.sentence(
        f"You hear {real:.0f} real seconds, then {own}: so short a training is for the road, not for music. Longer "
        "training lowers the bits and brings it nearer; seqgen doctor says what is missing."
    )
    screen.line("next:")
    for line in (
        f"cd {shlex.quote(str(folder))}",
        "seqgen train --resume --max-time 10m     # go on with this very model",
        "seqgen generate --conditional --seconds 5 --temperature 0.9",
        "seqgen evaluate",
        "seqgen info receptive-field --measure",
    ):
        screen.line(f"  {line}")
    screen.result(
        {
            "folder": folder,
            "run": run.path,
            "bits_per_sample": bits,
            "yardsticks": {"uniform": uniform, "order0": order0},
            "margin_bits": margin,
            "beats_order0": good,
            "files": files,
        }
    )
