"""seqgen info run: what a run is, how far it came, its loss curve in the terminal."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from seqgen_cli.options import Shared, command
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError

CURVE_WIDTH, CURVE_HEIGHT = 68, 14


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
        (
            "data",
            f"{settings.data.path or 'imported'}: {settings.data.codec}",
        ),
        (
            "status",
            f"{status['status']} at step {status['step']:,}" + (f" ({status['reason']})" if status["reason"] else ""),
        ),
        ("checkpoints", f"{', '.join(map(str, steps)) or 'none'}" + (f"; best {best}" if best is not None else "")),
    ]
    if trained:
        last = trained[-1]
        rows.append(
            ("training", f"{last['bits']:.4f} bits at step {last['step']:,}, {last['tokens_per_second']:,.0f} tokens/s")
        )
    if valid:
        better = min(valid, key=lambda line: line["bits"])
        rows.append(("held-out", f"{better['bits']:.4f} bits at step {better['step']:,} (best of {len(valid)})"))
    rows.append(("yardsticks", f"uniform {uniform:.4f}" + (f", order0 {order0:.4f}" if order0 is not None else "")))
    screen.table(str(found.path), ["", ""], rows)
    if len(trained) > 1:
        screen.line()
        for line in draw_curve(trained, valid):
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


def draw_curve(trained: Sequence[dict[str, Any]], valid: Sequence[dict[str, Any]]) -> list[str]:
    """Bits against steps as lines of text: dots for training, circles for held-out."""
    points = [(line["step"], line["bits"], "·") for line in trained] + [
        (line["step"], line["bits"], "o") for line in valid
    ]
    last = max(step for step, _, _ in points)
    low = math.floor(min(bits for _, bits, _ in points) * 2) / 2
    high = math.ceil(max(bits for _, bits, _ in points) * 2) / 2
    high = high if high > low else low + 0.5
    grid = [[" "] * CURVE_WIDTH for _ in range(CURVE_HEIGHT)]
    for step, bits, mark in points:
        column = round((CURVE_WIDTH - 1) * step / last)
        row = round((CURVE_HEIGHT - 1) * (high - bits) / (high - low))
        grid[row][column] = mark
    lines = []
    for row, cells in enumerate(grid):
        label = high - (high - low) * row / (CURVE_HEIGHT - 1)
        lines.append(f"{label:7.2f} |{''.join(cells).rstrip()}")
    lines.append(f"{'bits':>7} +{'-' * CURVE_WIDTH}")
    lines.append(f"{'':8} 0{f'step {last:,}':>{CURVE_WIDTH - 1}}   · training  o held-out")
    return lines
