"""Which learning rate a range test recommends, and that it begins as training does and ends where the loss diverges."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny import make_run

from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Silent
from seqgen_core.training import range_plot, range_test
from seqgen_core.training.distributed import ALONE
from seqgen_core.training.learner import Learner, Stepped
from seqgen_core.training.range_test import FEWEST, FIRST, LAST, STEPS, judge, sweep


def settings_of(tmp_path, data, model="sequnet", **train):
    return make_run(tmp_path / "run", data, model, **train).settings


def quiet(said):
    pass


def course(lowest, start=8.0, bottom=4.0, noise=0.05, steps=100):
    """A sweep whose loss falls from 1/100 of the rate `lowest`, is lowest there, and rises again."""
    rates = np.geomspace(FIRST, LAST, steps)
    away = np.log10(rates / lowest)
    fall = np.clip(1 + away / 2, 0, 1) - np.clip(away, 0, None)
    bits = start - (start - bottom) * fall + np.random.default_rng(0).normal(0, noise, steps)
    return list(zip(rates.tolist(), bits.tolist(), strict=True))


@pytest.mark.parametrize("lowest", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("steps", [30, 100])
def test_a_third_of_the_rate_of_the_lowest_loss(lowest, steps):
    test = judge(course(lowest, steps=steps))
    assert test.trouble == ""
    assert math.log10(test.chosen) == pytest.approx(math.log10(lowest / 3), abs=0.3)
    assert test.chosen == pytest.approx(test.lowest / 3, rel=0.06)
    assert len(test.rates) == len(test.bits) == len(test.smoothed) == steps


def test_a_loss_that_falls_to_the_end_recommends_a_third_of_the_last_rate():
    assert judge(course(1.0, noise=0.0)).chosen == 0.33


def test_one_lucky_step_decides_nothing():
    steps = course(1e-2)
    steps[20] = steps[20][0], 3.9  # below all others, at a rate of 1.6e-5
    assert judge(steps).chosen == pytest.approx(1e-2 / 3, rel=0.5)


@pytest.mark.parametrize(
    ("steps", "trouble"),
    [
        (course(1e-2, bottom=8.0), "did not fall"),
        (course(1e-2, bottom=7.9, noise=0.3), "did not fall"),
        ([(rate, 8.0) for rate, _ in course(1e-2)], "did not fall"),
        ([(rate, 8 + n) for n, (rate, _) in enumerate(course(1e-2)[:9])], "did not fall"),
        (course(1e-2)[:2], "diverged at once"),
        ([], "diverged at once"),
    ],
)
def test_a_course_that_tells_nothing_recommends_nothing(steps, trouble):
    test = judge(steps)
    assert test.chosen is None
    assert trouble in test.trouble


class Scripted:
    """Stands for a learner: bits and gradient norm as a function of the step. Keeps the rates."""

    def __init__(self, bits, norm=lambda number: 1.0):
        self.bits, self.norm, self.rates = bits, norm, []

    def __call__(self, settings, data, group):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *details): ...

    def step(self, number, rate):
        self.rates.append(rate)
        return Stepped(10 * self.bits(number), self.norm(number), 10)


@pytest.fixture
def scripted(monkeypatch):
    def put(*functions):
        learner = Scripted(*functions)
        monkeypatch.setattr(range_test, "Learner", learner)
        monkeypatch.setattr(range_test, "run_data", lambda settings: None)
        return learner

    return put


def test_the_rate_rises_by_the_same_factor_each_step(scripted):
    learner = scripted(lambda number: 8.0)
    told = []
    done = sweep(SimpleNamespace(), 7, told.append)
    assert learner.rates == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert done == [(rate, 8.0) for rate in learner.rates]
    assert told[0] == (1, FIRST, 8.0)


@pytest.mark.parametrize(
    ("functions", "kept"),
    [
        ([lambda number: 8.0 if number < 5 else 100.0], 6),  # the smoothed loss is over twice the best at once
        ([lambda number: 8.0 if number < 5 else math.nan], 5),
        ([lambda number: 8.0 if number < 5 else math.inf], 5),
        ([lambda number: 8.0, lambda number: 1.0 if number < 5 else math.nan], 5),
    ],
)
def test_it_ends_where_the_loss_diverges(scripted, functions, kept):
    scripted(*functions)
    assert len(sweep(SimpleNamespace(), 100, quiet)) == kept


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, FEWEST), (1e9, STEPS)])
def test_slow_steps_are_fewer(scripted, seconds, steps):
    scripted(lambda number: 8.0)
    assert len(range_test._sweep(quiet, SimpleNamespace(), seconds)) == steps


@pytest.mark.parametrize("model", ["sequnet", "samplernn"])
def test_the_same_steps_give_the_same_figures_and_begin_as_training_does(tmp_path, tiny_data, model):
    settings = settings_of(tmp_path, tiny_data, model)
    done = sweep(settings, 40, quiet)
    assert sweep(settings, 40, quiet) == done
    with Learner(settings, tiny_data, ALONE) as learner:
        first = learner.step(0, FIRST)
    assert done[0] == (FIRST, first.bits / first.tokens)
    assert judge(done).chosen is not None


def test_memory_that_runs_out_is_told_in_words(scripted):
    def fail(number):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    scripted(fail)
    with pytest.raises(SeqgenError, match="memory is used up") as caught:
        range_test._sweep(quiet, SimpleNamespace(), 1.0)
    assert "train.batch_size" in caught.value.hint


def test_a_model_that_is_cut_over_devices_is_refused(tmp_path, tiny_data):
    with pytest.raises(UsageError, match=r"train.shard = true"):
        range_test.range_test(settings_of(tmp_path, tiny_data, shard=True), 2, 1.0, Silent())


def test_the_picture_marks_the_rate(tmp_path):
    for name, test, used in (
        ("found", judge(course(1e-2)), 1e-3),
        ("none", judge(course(1e-2, bottom=8.0)), 5e-3),
        ("nothing", judge([]), 5e-3),
    ):
        file = tmp_path / f"{name}.png"
        file.write_bytes(range_plot.draw(test, used))
        pixels = np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3)
        assert (pixels == (0xC2, 0x41, 0x0C)).all(axis=1).sum() > 100  # the line
