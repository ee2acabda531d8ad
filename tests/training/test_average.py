"""The moving average of the weights against the plain formula."""

import copy

import pytest
import torch
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.settings.tokens import CategoricalTokens
from seqgen_core.training.average import MovingAverage


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build(TINY_MODELS["wavenet"], CategoricalTokens(values=8))


def walk(model, steps):
    for step in range(1, steps + 1):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        yield step


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_is_the_weighted_sum_with_its_warm_up(model, decay):
    average = MovingAverage(model, decay)
    expected = {name: value.double() for name, value in model.state_dict().items()}
    for step in walk(model, 12):
        average.update(model, step)
        kept = min(decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            expected[name] = kept * expected[name] + (1 - kept) * value.double()
    for name, value in average.weights.items():
        assert torch.allclose(value.double(), expected[name], atol=1e-5)


def test_applied_inside_and_only_inside_the_block(model):
    average = MovingAverage(model, 0.9)
    for step in walk(model, 3):
        average.update(model, step)
    own = copy.deepcopy(model.state_dict())
    with pytest.raises(KeyError), average.applied_to(model):  # noqa: PT012
        for name, value in model.state_dict().items():
            assert torch.equal(value, average.weights[name])
        raise KeyError  # the own weights come back whatever happens
    for name, value in model.state_dict().items():
        assert torch.equal(value, own[name])
        assert not torch.equal(value, average.weights[name])


def test_its_weights_are_its_own(model):
    average = MovingAverage(model, 0.9)
    before = {name: value.clone() for name, value in average.weights.items()}
    list(walk(model, 1))
    assert all(torch.equal(value, before[name]) for name, value in average.weights.items())
