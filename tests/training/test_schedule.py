"""Limits and learning rates: where a run ends, and the shape of the way there."""

import math

import pytest

from seqgen_core.settings.train import TrainSettings
from seqgen_core.training.schedule import DEFAULT_STEPS, Schedule


def schedule(steps_per_epoch=10, **settings):
    return Schedule(TrainSettings(**settings), steps_per_epoch)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, DEFAULT_STEPS),
        ({"steps": 7}, 7),
        ({"epochs": 0.25}, 3),
        ({"epochs": 2}, 20),
        ({"epochs": 2, "steps": 7}, 7),
        ({"epochs": 2, "steps": 70, "max_time": 5}, 20),
        ({"max_time": 5}, None),
    ],
)
def test_the_nearest_limit_ends_it(settings, steps):
    assert schedule(**settings).steps == steps


def test_progress_is_the_larger_share():
    both = schedule(steps=100, max_time=50)
    assert both.progress(20, 5) == 0.2
    assert both.progress(20, 25) == 0.5
    assert both.progress(20, 60) > 1
    assert schedule(max_time=50).progress(10**9, 25) == 0.5


def test_warm_up_rises_evenly_from_the_first_step():
    rates = [schedule(steps=100, warmup_steps=4, learning_rate=0.8).learning_rate(step, 0) for step in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert schedule(steps=100, warmup_steps=0, learning_rate=0.8).learning_rate(0, 0) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", lambda done: 1.0),
        ("linear", lambda done: 1 - 0.9 * done),
        ("cosine", lambda done: 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2),
    ],
)
def test_shapes_after_the_warm_up(shape, expected):
    course = schedule(steps=40, warmup_steps=0, learning_rate=0.5, schedule=shape, final_learning_rate=0.1)
    for step in (0, 10, 25, 40):
        assert course.learning_rate(step, 0) == pytest.approx(0.5 * expected(step / 40))
    assert course.learning_rate(80, 0) == pytest.approx(0.5 * expected(1))  # past the end it stays at the floor


def test_without_a_step_limit_time_shapes_the_rate():
    course = schedule(max_time=100, warmup_steps=0, learning_rate=1.0, schedule="linear", final_learning_rate=0.0)
    assert course.learning_rate(3, 25) == pytest.approx(0.75)
