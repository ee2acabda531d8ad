"""One training step: bits of the scored tokens alone, gradients clipped, and no step on what is no number."""

import math

import numpy as np
import pytest
import torch
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.data.windows import Batch
from seqgen_core.settings.tokens import CategoricalTokens
from seqgen_core.training.objective import batch_bits, gradient_step

CPU = torch.device("cpu")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build(TINY_MODELS["wavenet"], CategoricalTokens(values=8))


def batch(rows=2, inputs=20, scored=12, dead=5):
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 8, (rows, inputs + 1))
    mask = np.ones((rows, scored), bool)
    mask[1, scored - dead :] = False
    return Batch(tokens[:, :-1], tokens[:, inputs + 1 - scored :], mask, None)


def test_mean_over_scored_tokens_by_hand(model):
    given = batch()
    shares = model(torch.from_numpy(given.inputs)).detach().softmax(dim=-1)[:, -12:]
    total = -sum(
        math.log2(shares[row, place, given.targets[row, place]])
        for row in range(2)
        for place in range(12)
        if given.mask[row, place]
    )
    assert batch_bits(model, given, CPU, "fp32")[0].item() == pytest.approx(total / given.scored, rel=1e-5)
    assert given.scored == 19


def test_what_is_masked_does_not_count(model):
    given, other = batch(), batch()
    other.targets[1, -5:] = (other.targets[1, -5:] + 1) % 8
    assert batch_bits(model, given, CPU, "fp32")[0].item() == batch_bits(model, other, CPU, "fp32")[0].item()


def test_step_is_that_of_the_clipped_gradient_in_nats(model):
    before = [parameter.detach().clone() for parameter in model.parameters()]
    bits = batch_bits(model, batch(), CPU, "fp32")[0]
    gradients = torch.autograd.grad(bits * math.log(2), list(model.parameters()), retain_graph=True)
    length = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    value, norm = gradient_step(model, optimizer, bits, length / 2)
    assert value == bits.item()
    assert norm == pytest.approx(length, rel=1e-5)
    for old, new, gradient in zip(before, model.parameters(), gradients, strict=True):
        assert torch.allclose(new, old - gradient / 2, atol=1e-5)


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_no_weight_moves_on_what_is_no_number(model, fault):
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters())
    value, _ = gradient_step(model, optimizer, batch_bits(model, batch(), CPU, "fp32")[0] * fault, 1.0)
    assert not math.isfinite(value)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert not optimizer.state


def test_bf16_is_close_to_fp32(model):
    exact = batch_bits(model, batch(), CPU, "fp32")[0].item()
    rough = batch_bits(model, batch(), CPU, "bf16")[0].item()
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)
