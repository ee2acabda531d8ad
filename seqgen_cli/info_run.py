"""seqgen info run: what a run is, how far it came, its loss curve in the terminal."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli import curve
from seqgen_cli.options import Shared, command
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError

PIPE_WIDTH = 80
"""Columns of the curve where stdout has none of its own."""


def register(app: typer.Typer) -> None:
    """Add the command to `seqgen info`."""
    command(app, "run")(run)


def run(
    shared: Shared,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]", help="Run folder (the newest without it), overrides.")
    ] = None,
) -> None:
    """A run's settings, checkpoints and loss curve, held-out bits against the yardsticks."""
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(f"One run at a time; got {' '.join(ordinary)}.", "seqgen info run [RUN]")
    project = shared.project(["train"], overrides=overrides)

    from seqgen_cli.finding import find_run

    found = find_run(ordinary[0] if ordinary else None, project)
    settings, status, lines = found.settings, found.status, found.metrics()
    trained = [line for line in lines if line["kind"] == "train" and {"bits", "tokens_per_second"} <= line.keys()]
    valid = [line for line in lines if line["kind"] == "valid" and "bits" in line]
    steps = found.steps()
    best = found.choose("best") if steps else None
    uniform, order0 = settings.tokens.uniform_bits, settings.data.order0_bits

    screen = shared.screen
    model = ", ".join(f"{name} {value}" for name, value in settings.model.model_dump(exclude={"kind"}).items())
    rows = [
        ("model", f"{settings.model.kind}: {model}"),
        ("data", f"{near(settings.data.path) if settings.data.path else 'imported'}: {settings.data.codec}"),
        (
            "status",
            f"{status['status']} at step {status['step']:,}" + (f" ({status['reason']})" if status["reason"] else ""),
        ),
        ("checkpoints", f"{', '.join(map(str, steps)) or 'none'}" + (f"; best {best}" if best is not None else "")),
    ]
    if trained:
        last = trained[-1]
        speed = f"{last['tokens_per_second']:,.0f} {settings.data.codec.unit}s/s"
        rows.append(("training", f"{last['bits']:.4f} bits at step {last['step']:,}, {speed}"))
    if valid:
        better = min(valid, key=lambda line: line["bits"])
        rows.append(("held-out", f"{better['bits']:.4f} bits at step {better['step']:,} (best of {len(valid)})"))
    rows.append(("yardsticks", f"uniform {uniform:.4f}" + (f", order-0 {order0:.4f}" if order0 is not None else "")))
    screen.table(str(found.path), ["", ""], rows)
    drawing = curve.draw(
        [(line["step"], line["bits"]) for line in trained],
        [(line["step"], line["bits"]) for line in valid],
        {"uniform": uniform, **({} if order0 is None else {"order-0": order0})},
        width=screen.width or PIPE_WIDTH,
        unicode=screen.unicode,
    )
    for line in ["", *drawing] if drawing else []:
        screen.line(line)
    screen.result(
        {
            "run": found.path,
            "settings": settings,
            "status": status,
            "checkpoints": steps,
            "best": best,
            "yardsticks": {"uniform": uniform, "order0": order0},
            "metrics": [line for line in lines if line["kind"] in ("train", "valid")],
        }
    )


def near(path: Path) -> Path:
    """A path as it is typed in this folder, where it leads into it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
