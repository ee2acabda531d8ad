"""Held-out bits over the time of training: as figures, as a table, as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from table import Table

_COLOURS = ("#b5483a", "#2f5fa8", "#3f8f5b", "#8a5fb0", "#a8812f")
_INK, _LINE = "#4a5060", "#c9ced8"
_COLUMNS = 2
DPI = 120


@dataclass
class Curve:
    """The course of one side: seconds of training so far, tokens predicted so far, and then held-out bits per token.

    windows: carried, or alone (each with its full context before it). points: numbers of the scores, from 1; one is
    left out where a step takes longer than there is between two.
    """

    configuration: str
    side: str
    precision: str
    windows: str
    learning_rate: float
    points: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    bits: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called beside others of its configuration."""
        return ", ".join([self.side, *([self.precision, f"windows {self.windows}"] if self.side == "ours" else [])])

    @property
    def passed(self) -> float:
        """Seconds of training so far."""
        return self.seconds[-1] if self.seconds else 0.0

    def add(self, point: int, seconds: float, targets: int, bits: float) -> None:
        """Trained for so long, on so many tokens more, and scored."""
        self.points.append(point)
        self.seconds.append(self.passed + seconds)
        self.targets.append((self.targets[-1] if self.targets else 0) + targets)
        self.bits.append(bits)

    def reaches(self, bits: float) -> float | None:
        """Seconds after which its bits are at most so many, on straight lines between scores and not before the first.

        None where they never are.
        """
        if self.bits and self.bits[0] <= bits:
            return self.seconds[0]
        for (before, high), (after, low) in pairwise(zip(self.seconds, self.bits, strict=True)):
            if low <= bits:
                return before + (after - before) * (high - bits) / (high - low)
        return None


def print_curves(curves: Sequence[Curve]) -> None:
    """The table of one configuration, and how long ours took to come where the other came in all its time."""
    if not curves:
        return
    print(f"\n{curves[0].configuration}: held-out bits per token, after seconds of training\n")
    headings = [curve.name.ljust(16) for curve in curves]
    table = Table(headings, ())
    table.print_heading()
    for point in sorted({point for curve in curves for point in curve.points}):
        table.print_row([_cell(curve, point) for curve in curves])
    print()
    for curve in curves:
        print(f"{curve.name}: {curve.targets[-1]:,} tokens, {curve.targets[-1] / curve.passed:,.0f} a second")
    other, *ours = curves
    if other.side == "ours":
        return
    for curve in ours:
        reached = curve.reaches(other.bits[-1])
        told = "not reached" if reached is None else f"reached within {reached:,.0f} s"
        print(f"{other.name}'s last bits, {other.bits[-1]:.4f} at {other.passed:,.0f} s: by {curve.name} {told}")


def _cell(curve: Curve, point: int) -> str:
    if point not in curve.points:
        return "–"
    place = curve.points.index(point)
    return f"{curve.bits[place]:.4f} at {curve.seconds[place]:,.0f} s"


def save_picture(path: Path, curves: Sequence[Curve]) -> None:
    """Draw a panel for each configuration into a PNG file. Raises OSError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(curve.configuration for curve in curves))
    columns = min(_COLUMNS, len(names)) or 1
    rows = -(-len(names) // columns) or 1
    figure = Figure(figsize=(6.4 * columns, 4 * rows), dpi=DPI, facecolor="white", layout="constrained")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, columns, place)
        for curve, colour in zip([c for c in curves if c.configuration == name], _COLOURS, strict=False):
            minutes = [seconds / 60 for seconds in curve.seconds]
            axes.plot(minutes, curve.bits, marker="o", markersize=3.5, linewidth=1.6, color=colour, label=curve.name)
        axes.set_title(name, loc="left", color=_INK)
        axes.set_xlabel("minutes of training", color=_INK)
        axes.set_ylabel("held-out bits per token", color=_INK)
        axes.set_xlim(left=0)
        axes.grid(color=_LINE, linewidth=0.5)
        axes.tick_params(colors=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, labelcolor=_INK)
    FigureCanvasAgg(figure).print_png(str(path))
