"""A run's loss curve as lines of text: bits against steps, training and held-out, the yardsticks as dashed lines.

Training is drawn in braille, eight dots to a character, or in full stops where the terminal shows ASCII alone; held-out
bits are circles, so that the two are told apart without colour.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

HEIGHT = 16
"""Lines of the drawing itself."""
MOST_WIDTH = 100
LEAST_WIDTH = 40
_LABEL = 7  # columns left of the axis
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character, by row and column
_BLANK = 0x2800
_WORTH_IT = 1.2  # how much higher the axis would be without leaving anything out
_STEEP = 2.0  # how far values may lie above the 95th percentile, in its height above the lowest

Point = tuple[int, float]


def draw(
    trained: Sequence[Point],
    held_out: Sequence[Point],
    yardsticks: Mapping[str, float],
    *,
    width: int = 80,
    unicode: bool = True,
) -> list[str]:
    """Lines of at most `width` columns (40 to 100) from points (step, bits); none where no point has a number.

    yardsticks: bits by name; those within the axis are drawn. Values above the axis, as the first ones can be, are
    drawn at its edge, and a line below says how many; so it does of values that are no numbers.
    """
    width = max(LEAST_WIDTH, min(MOST_WIDTH, width))
    points = [point for point in (*trained, *held_out) if math.isfinite(point[1])]
    if not points:
        return []
    low, high = _range([bits for _, bits in points], yardsticks)
    ticks = _ticks(low, high, HEIGHT // 2)
    last = max(1, max(step for step, _ in (*trained, *held_out)))
    plot = _Plot(width - _LABEL - 2, last, low, high, unicode=unicode)
    shown = {name: bits for name, bits in yardsticks.items() if low <= bits <= high}
    for bits in shown.values():
        plot.dashes(bits)
    plot.curve([point for point in trained if math.isfinite(point[1])])
    for step, bits in held_out:
        if math.isfinite(bits):
            plot.circle(step, bits)
    lines = _with_axes(plot, ticks)
    lines += _legend(plot, bool(trained), bool(held_out), shown, width)
    return lines + _left_out([*trained, *held_out], high)


class _Plot:
    """Cells of characters over a grid of dots, two by four to a cell (one where there is no braille)."""

    def __init__(self, columns: int, last: int, low: float, high: float, *, unicode: bool) -> None:
        self.columns, self.last, self.low, self.high, self.unicode = columns, last, low, high, unicode
        self.across, self.down = (2, 4) if unicode else (1, 1)
        self.dots: set[tuple[int, int]] = set()
        self.cells: dict[tuple[int, int], str] = {}
        self.behind: dict[tuple[int, int], str] = {}

    def column(self, step: float, across: int) -> int:
        return round((self.columns * across - 1) * step / self.last)

    def row(self, bits: float, down: int) -> int:
        share = (self.high - min(self.high, max(self.low, bits))) / (self.high - self.low)
        return round((HEIGHT * down - 1) * share)

    def dashes(self, bits: float) -> None:
        row = self.row(bits, 1)
        for column in range(self.columns):
            if self.unicode or column % 2 == 0:
                self.behind[row, column] = "╌" if self.unicode else "-"

    def circle(self, step: int, bits: float) -> None:
        self.cells[self.row(bits, 1), self.column(step, 1)] = "o"

    def curve(self, points: Sequence[Point]) -> None:
        """Points joined by straight lines."""
        places = [(self.row(bits, self.down), self.column(step, self.across)) for step, bits in points]
        self.dots.update(places[:1])
        for (row, column), (to_row, to_column) in itertools.pairwise(places):
            length = max(1, abs(to_row - row), abs(to_column - column))
            for part in range(length + 1):
                share = part / length
                self.dots.add((round(row + share * (to_row - row)), round(column + share * (to_column - column))))

    def text(self, row: int) -> str:
        return "".join(self._cell(row, column) for column in range(self.columns)).rstrip()

    def _cell(self, row: int, column: int) -> str:
        if (row, column) in self.cells:
            return self.cells[row, column]
        rows, columns = range(self.down), range(self.across)
        inside = [(y, x) for y in rows for x in columns if (row * self.down + y, column * self.across + x) in self.dots]
        if not inside:
            return self.behind.get((row, column), " ")
        return chr(_BLANK + sum(_DOTS[y][x] for y, x in inside)) if self.unicode else "."


def _range(values: list[float], yardsticks: Mapping[str, float]) -> tuple[float, float]:
    """The axis: all values; where some lie far above the rest, up to the order-0 yardstick or to what is usual."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    usual = ordered[math.ceil(0.95 * (len(ordered) - 1))]
    far = usual + _STEEP * (usual - low)
    order0 = yardsticks.get("order-0", yardsticks.get("uniform"))
    top = order0 if order0 is not None and usual < order0 < high else far
    if len(ordered) > 2 and low < top and high - low > _WORTH_IT * (top - low):
        high = top
    return (low, high) if high - low > 1e-6 * max(1.0, abs(high)) else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, most: int, *, least: float = 0.0) -> list[float]:
    """Round numbers between `low` and `high`, no closer than `least`."""
    rough = max(least, (high - low) / most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _with_axes(plot: _Plot, ticks: list[float]) -> list[str]:
    bar, tick, corner, dash, mark = ("│", "┤", "└", "─", "┴") if plot.unicode else ("|", "+", "+", "-", "+")
    digits = max(0, min(3, math.ceil(-math.log10(ticks[1] - ticks[0]) + 0.3))) if len(ticks) > 1 else 2
    labels = {plot.row(bits, 1): f"{bits:.{digits}f}" for bits in ticks}
    lines = [f"{'bits':>{_LABEL}} "]
    for row in range(HEIGHT):
        label = labels.get(row, "")
        lines.append(f"{label:>{_LABEL}} {tick if label else bar}{plot.text(row)}".rstrip())
    axis, below = [dash] * plot.columns, [" "] * (plot.columns + _LABEL + 2)
    for number in _ticks(0, plot.last, max(2, plot.columns // 16), least=1.0):
        step = round(number)
        column = plot.column(step, 1)
        axis[column] = mark
        said = f"{step:,}"
        begin = max(0, min(column + _LABEL + 2 - len(said) // 2, len(below) - len(said)))
        below[begin : begin + len(said)] = said
    below[:5] = "steps"
    return [*lines, f"{'':{_LABEL}} {corner}{''.join(axis)}", "".join(below).rstrip()]


def _legend(plot: _Plot, trained: bool, held_out: bool, yardsticks: Mapping[str, float], width: int) -> list[str]:
    named = [f"{'⠒⠢⠤' if plot.unicode else '...'} training"] * trained + ["o held-out"] * held_out
    dashes = "╌╌╌" if plot.unicode else "- -"
    named += [f"{dashes} {name} {bits:.2f}" for name, bits in yardsticks.items()]
    lines = [""]
    for text in named:
        longer = f"{lines[-1]}   {text}" if lines[-1] else text
        lines = [*lines[:-1], longer] if len(longer) <= width else [*lines, text]
    return lines


def _left_out(points: Sequence[Point], high: float) -> list[str]:
    above = [bits for _, bits in points if math.isfinite(bits) and bits > high * (1 + 1e-9)]
    numberless = [step for step, bits in points if not math.isfinite(bits)]
    lines = []
    if above:
        values = "1 value lies" if len(above) == 1 else f"{len(above):,} values lie"
        lines.append(f"{values} above the axis, up to {max(above):,.4g} bits")
    if numberless:
        values = "1 value is no number" if len(numberless) == 1 else f"{len(numberless):,} values are no numbers"
        lines.append(f"{values}, the first at step {numberless[0]:,}")
    return lines
