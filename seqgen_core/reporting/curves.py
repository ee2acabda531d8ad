"""Loss curves as geometry: paths in a square of 1000 by 1000, ticks and yardsticks in percent of it.

The page stretches the square to whatever room there is, and sets all text beside it in sizes of its own.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from seqgen_core.reporting.facts import Point, RunFacts

MOST_POINTS = 500
"""Of one line; more are thinned after smoothing."""
SMOOTHED = 80
"""One part in so many of the points, on either side, is what a smoothed point is the mean of."""
WITHIN = 0.8
"""A yardstick further above the curves than this many times their height is named, not drawn."""
CLOSE = 7.0
"""Percent of the height between two yardsticks below which their names stand on different sides."""
NAME = 0.25
"""Share of the width that the name of a yardstick takes."""
EDGE = 1.015
"""Room to the right of the last point, so that its dot is whole."""
SIZE = 1000


@dataclass(frozen=True)
class Tick:
    """A place in percent, what stands there, and the number it stands for."""

    place: float
    text: str
    value: float


@dataclass(frozen=True)
class Line:
    """One run: paths of its training bits as logged and smoothed, of its validations, and dots on these."""

    run: int
    name: str
    raw: str
    smooth: str
    valid: str
    dots: str


@dataclass(frozen=True)
class Yardstick:
    """A level to compare with, in percent from the top; side: right, left or middle, where its name stands above the
    line, or under it."""

    name: str
    bits: float
    place: float
    side: str


@dataclass(frozen=True)
class Chart:
    """Bits against steps or time. summary: what a person hears who cannot see it. beyond: yardsticks off the plot."""

    title: str
    axis: str
    unit: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    upward: tuple[Tick, ...]
    yardsticks: tuple[Yardstick, ...]
    beyond: tuple[str, ...]
    summary: str


def charts(runs: Sequence[tuple[int, RunFacts]]) -> list[Chart]:
    """Of runs on the same data, each with its place on the page: bits against steps, and against time if logged."""
    runs = [(place, run) for place, run in runs if run.trained or run.valid]
    if not runs:
        return []
    made = [_chart(runs, "steps")]
    timed = [(place, run) for place, run in runs if any(p.seconds is not None for p in (*run.trained, *run.valid))]
    return [*made, _chart(timed, "time")] if timed else made


def even_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[Tick]:
    """At most about `most` round numbers from low to high, with their places in percent of the way; whole ones only?"""
    if not high > low:
        return [Tick(0.0, _number(low, 1.0), low)]
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = max(1, step) if whole else step
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (step * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [
        Tick(100 * (number * step - low) / (high - low), _number(number * step, step), number * step)
        for number in range(first, last + 1)
    ]


def smoothed(points: Sequence[Point]) -> list[Point]:
    """Each point with the mean bits of its neighbours, as many on one side as on the other."""
    reach, sums = len(points) // SMOOTHED, [0.0]
    for point in points:
        sums.append(sums[-1] + point.bits)
    found = []
    for place, point in enumerate(points):
        near = min(reach, place, len(points) - 1 - place)
        mean = (sums[place + near + 1] - sums[place - near]) / (2 * near + 1)
        found.append(Point(point.step, point.seconds, mean))
    return found


def _chart(runs: Sequence[tuple[int, RunFacts]], against: str) -> Chart:
    def where(point: Point) -> float | None:
        return float(point.step) if against == "steps" else None if point.seconds is None else point.seconds / scale

    longest = max(
        (point.seconds for _, run in runs for point in (*run.trained, *run.valid) if point.seconds is not None),
        default=0.0,
    )
    scale, unit = next(((s, u) for s, u in ((3600, "hours"), (60, "minutes")) if longest >= 2 * s), (1, "seconds"))
    right = max(x for _, run in runs for point in (*run.trained, *run.valid) if (x := where(point)) is not None) or 1.0
    right *= EDGE
    known = runs[0][1].data.yardsticks.named()
    low, high = _levels(runs, list(known.values()))
    word = runs[0][1].data.codec.unit

    def path(points: Sequence[Point]) -> str:
        places = [(where(point), point.bits) for point in points]
        drawn = [f"{SIZE * x / right:.1f} {_down(y):.1f}" for x, y in places if x is not None]
        return "M" + "L".join(drawn) if len(drawn) > 1 else ""

    def dots(points: Sequence[Point]) -> str:
        places = [(x, point.bits) for point in points if (x := where(point)) is not None]
        return "".join(f"M{SIZE * x / right:.1f} {_down(y):.1f}h0" for x, y in places)

    def _down(bits: float) -> float:
        return SIZE * (high - bits) / (high - low)

    lines = []
    for place, run in runs:
        raw, smooth = _thinned(run.trained), _thinned(smoothed(run.trained))
        alone = run.trained if len(run.trained) == 1 else ()  # one point makes no line
        lines.append(Line(place, run.name, path(raw), path(smooth), path(run.valid), dots((*run.valid, *alone))))
    inside = {name: bits for name, bits in known.items() if low <= bits <= high}
    placed: list[Yardstick] = []
    drawn: list[tuple[float, float]] = []
    for _, run in runs:
        for points in (smoothed(run.trained), run.valid):
            places = [(where(point), point.bits) for point in points]
            drawn += _between([(x / right, _down(y) / SIZE) for x, y in places if x is not None])
    for name, bits in sorted(inside.items(), key=lambda pair: -pair[1]):
        place = _down(bits) / SIZE * 100
        placed.append(Yardstick(name, bits, place, _side(place, drawn, placed)))
    return Chart(
        title=f"Bits per {word} against {'steps' if against == 'steps' else 'training time'}",
        axis="steps" if against == "steps" else unit,
        unit=f"bits per {word}",
        lines=tuple(lines),
        across=tuple(even_ticks(0, right, 6, whole=against == "steps")),
        upward=tuple(Tick(100 - tick.place, tick.text, tick.value) for tick in even_ticks(low, high, 6)),
        yardsticks=tuple(placed),
        beyond=tuple(
            f"{name}: {bits:.3f}, {'above' if bits > high else 'below'} the plot"
            for name, bits in known.items()
            if name not in inside
        ),
        summary=" ".join(_spoken(run) for _, run in runs),
    )


def _between(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places along a line through some corners, close enough together that none of it is missed."""
    found = list(corners)
    for (x, y), (later, other) in itertools.pairwise(corners):
        parts = math.ceil(50 * abs(later - x))
        found += [(x + (later - x) * k / parts, y + (other - y) * k / parts) for k in range(1, parts)]
    return found


def _side(place: float, drawn: Sequence[tuple[float, float]], others: Sequence[Yardstick]) -> str:
    """Where the name of a yardstick is in the way of least of the curves, and of no name close by."""
    taken = {one.side.split()[0] for one in others if abs(place - one.place) < CLOSE}
    ends = {"right": (1 - NAME, 1.0), "left": (0.0, NAME), "middle": (0.5 - NAME / 2, 0.5 + NAME / 2)}
    cost = {}
    for side, (low, high) in ends.items():
        heights = [100 * y - place for x, y in drawn if low <= x <= high]
        cost[side] = (side in taken, sum(-CLOSE < height < 1 for height in heights))
        if place + CLOSE < 100:
            cost[f"{side} under"] = (side in taken, sum(-1 < height < CLOSE for height in heights))
    return min(cost, key=lambda side: cost[side])


def _levels(runs: Sequence[tuple[int, RunFacts]], yardsticks: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest bits shown: all of the curves but their very beginnings, and yardsticks near them."""
    seen: list[float] = []
    for _, run in runs:
        late = smoothed(run.trained)
        seen += [point.bits for point in late[len(late) // 20 :]]
        seen += [point.bits for point in run.valid]
    low, high = min(seen), max(seen)
    room = max(high - low, 0.05 * abs(high), 1e-3)
    near = [bits for bits in yardsticks if low - WITHIN * room <= bits <= high + WITHIN * room]
    low, high = min([low, *near]), max([high, *near])
    edge = 0.06 * max(high - low, 1e-3)
    return max(0.0, low - edge), high + edge


def _thinned(points: Sequence[Point]) -> list[Point]:
    if len(points) <= MOST_POINTS:
        return list(points)
    places = sorted({round(k * (len(points) - 1) / (MOST_POINTS - 1)) for k in range(MOST_POINTS)})
    return [points[place] for place in places]


def _spoken(run: RunFacts) -> str:
    said = f"{run.name}:"
    if run.trained:
        said += f" training from {run.trained[0].bits:.3f} to {smoothed(run.trained)[-1].bits:.3f}"
    if run.best is not None:
        said += f"{',' if run.trained else ''} held-out {run.best.bits:.3f} at best, at step {run.best.step:,}"
    return said + "."


def _number(value: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:,.{digits}f}"
