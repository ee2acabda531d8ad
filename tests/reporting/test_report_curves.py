"""Loss curves as geometry: ticks, smoothing, yardsticks within reach, runs that logged little."""

import dataclasses
import re
from pathlib import Path

import pytest
from tiny import TINY_MODELS

from seqgen_core.data.yardsticks import Yardsticks
from seqgen_core.reporting import curves
from seqgen_core.reporting.curves import MOST_POINTS, charts, even_ticks, smoothed
from seqgen_core.reporting.facts import DataFacts, Point, RunFacts
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.run import DataAccount, RunSettings
from seqgen_core.settings.train import TrainSettings

CODEC = AudioCodecSettings(levels=256)
NAMED = re.compile(r"(-?[\d.]+) (-?[\d.]+)")


def a_run(name="a", trained=(), valid=(), order0=7.0, order1=5.0):
    """Facts of a run whose points are (step, seconds, bits)."""
    settings = RunSettings(
        model=TINY_MODELS["tcn"], tokens=CODEC.tokens, data=DataAccount(codec=CODEC), train=TrainSettings()
    )
    data = DataFacts("sound", CODEC, None, "x", Yardsticks(8.0, order0, order1))
    points = [tuple(Point(*point) for point in some) for some in (trained, valid)]
    return RunFacts(name, Path(name), settings, "finished", "", 1, 1.0, *points, data)


def course(count=200, low=4.0, high=8.0):
    """Bits that fall, every ten steps and seconds."""
    return [(10 * k, 10.0 * k, low + (high - low) * 0.97**k) for k in range(1, count + 1)]


def corners(path):
    return [tuple(map(float, pair)) for pair in NAMED.findall(path)]


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (0, 0.5, ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (4.13, 7.9, ["5", "6", "7"]),
        (0, 12345, ["0", "5,000", "10,000"]),
        (3, 3, ["3"]),
    ],
)
def test_ticks_are_round_and_evenly_spaced(low, high, texts):
    ticks = even_ticks(low, high, 6)
    assert [tick.text for tick in ticks] == texts
    assert all(tick.place == pytest.approx(100 * (tick.value - low) / ((high - low) or 1)) for tick in ticks)


def test_steps_have_whole_ticks():
    assert [tick.text for tick in even_ticks(0, 2.03, 6, whole=True)] == ["0", "1", "2"]


def test_smoothing_keeps_the_ends_and_the_middle_of_a_line():
    line = [Point(k, None, float(k)) for k in range(400)]
    assert [point.bits for point in smoothed(line)] == pytest.approx([point.bits for point in line])
    noisy = [Point(k, None, float(k % 2)) for k in range(400)]
    assert {round(point.bits, 1) for point in smoothed(noisy)[100:300]} <= {0.4, 0.5, 0.6}


def test_a_line_goes_through_its_points_in_the_right_places():
    run = a_run(trained=course(), valid=[(1000, 1000.0, 6.0), (2000, 2000.0, 5.0)])
    steps, time = charts([(0, run)])
    assert (steps.axis, time.axis) == ("steps", "minutes")
    low, high = steps.upward[0].value, steps.upward[-1].value
    by_value = {tick.value: tick.place for tick in steps.upward}
    slope = (by_value[low] - by_value[high]) / (low - high)  # percent per bit
    (x1, y1), (x2, y2) = corners(steps.lines[0].valid)
    assert x2 == pytest.approx(1000 / curves.EDGE, abs=0.1)
    assert x1 == pytest.approx(x2 / 2, abs=0.1)
    assert y1 / 10 == pytest.approx(by_value[high] + slope * (6 - high), abs=0.1)
    assert y2 / 10 == pytest.approx(by_value[high] + slope * (5 - high), abs=0.1)
    assert "held-out 5.000 at best, at step 2,000" in steps.summary


def test_yardsticks_near_the_curves_are_drawn_and_others_named():
    run = a_run(trained=course(low=2.0, high=3.0), order0=3.2, order1=0.5)
    chart = charts([(0, run)])[0]
    assert [level.name for level in chart.yardsticks] == ["order-0"]
    assert chart.beyond == ("uniform: 8.000, above the plot", "order-1: 0.500, below the plot")
    assert 0 <= chart.yardsticks[0].place <= 100


def test_names_of_yardsticks_close_together_stand_apart():
    chart = charts([(0, a_run(trained=course(), order0=7.95, order1=7.9))])[0]
    assert sorted(level.side.split()[0] for level in chart.yardsticks) == ["left", "middle", "right"]


def test_names_of_yardsticks_keep_away_from_curves():
    """A validation that lies just above a yardstick all the way leaves its name the place below."""
    run = a_run(trained=course(), valid=[(10, 10.0, 5.1), (2000, 2000.0, 5.1)], order0=None, order1=5.0)
    chart = charts([(0, run)])[0]
    assert {level.name: level.side for level in chart.yardsticks}["order-1"].endswith(" under")


def test_the_wild_beginning_does_not_squeeze_the_rest():
    wild = [(1, 1.0, 900.0), *course(low=4, high=5)]
    chart = charts([(0, a_run(trained=wild, order0=None, order1=None))])[0]
    assert max(tick.value for tick in chart.upward) < 10


def test_long_runs_are_thinned():
    run = a_run(trained=course(5000))
    line = charts([(0, run)])[0].lines[0]
    assert len(corners(line.smooth)) == MOST_POINTS
    assert corners(line.smooth)[-1][0] == pytest.approx(1000 / curves.EDGE, abs=0.1)


def test_runs_that_logged_little_have_what_they_have():
    assert charts([(0, a_run())]) == []
    one = charts([(0, a_run(trained=[(1, None, 5.0)]))])
    assert [chart.axis for chart in one] == ["steps"]  # no times were logged
    assert one[0].lines[0].smooth == ""
    assert len(corners(one[0].lines[0].dots)) == 1
    both = charts([(0, a_run("a", trained=course(30))), (1, a_run("b", valid=[(5, 2.0, 6.0)])), (2, a_run("c"))])
    assert [line.name for line in both[0].lines] == ["a", "b"]
    assert [line.run for line in both[1].lines] == [0, 1]


def test_levels_of_a_flat_course_are_apart():
    flat = a_run(valid=[(5, 2.0, 6.0)], order0=None, order1=None)
    flat = dataclasses.replace(flat, data=dataclasses.replace(flat.data, yardsticks=Yardsticks(6.0, None, None)))
    chart = charts([(0, flat)])[0]
    assert len(chart.upward) >= 2
