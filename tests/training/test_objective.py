"""One training step: bits of the scored tokens alone, gradients clipped, and no step on what is no number."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import STREAM_MODELS, TINY_MODELS

from seqgen_core import models
from seqgen_core.data.windows import Batch
from seqgen_core.models.condition import NO_CONDITION
from seqgen_core.settings.tokens import BinaryTokens, CategoricalTokens
from seqgen_core.training.objective import Objective, descend, gradient, place

CPU = torch.device("cpu")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build(TINY_MODELS["wavenet"], CategoricalTokens(values=8))


def batch_bits(model, given, device, precision, carried=None):
    """Mean bits of the tokens that count, and the state to carry on."""
    bits, state = Objective(model, precision)(place(model, given, device), carried)
    return bits / given.scored, state


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
    gradient(bits, total=1)
    norm = descend(model.parameters(), optimizer, length / 2)
    assert norm == pytest.approx(length, rel=1e-5)
    for old, new, slope in zip(before, model.parameters(), gradients, strict=True):
        assert torch.allclose(new, old - slope / 2, atol=1e-5)


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_no_weight_moves_on_what_is_no_number(model, fault):
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters())
    gradient(batch_bits(model, batch(), CPU, "fp32")[0] * fault, total=1)
    assert not math.isfinite(descend(model.parameters(), optimizer, 1.0))
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert not optimizer.state


def test_bf16_is_close_to_fp32(model):
    exact = batch_bits(model, batch(), CPU, "fp32")[0].item()
    rough = batch_bits(model, batch(), CPU, "bf16")[0].item()
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)


def carried_batch(tokens, first, length, fresh):
    """Every row's tokens first to first + length − 1, which predict those after them."""
    targets = tokens[:, first + 1 : first + length + 1]
    return Batch(tokens[:, first : first + length], targets, np.ones(targets.shape, bool), None, None, np.array(fresh))


@pytest.mark.parametrize("kind", STREAM_MODELS)
def test_windows_that_go_on_score_as_one_stream(kind):
    """Row 0 goes on from the window before, row 1 begins anew: as if each had been heard from its own start."""
    torch.manual_seed(0)
    model = models.build(TINY_MODELS[kind], CategoricalTokens(values=8)).eval()
    tokens = np.random.default_rng(0).integers(0, 8, (2, 25))
    assert 8 % model.period == 0
    _, state = batch_bits(model, carried_batch(tokens, 0, 8, [True, True]), CPU, "fp32")
    bits, after = batch_bits(model, carried_batch(tokens, 8, 16, [False, True]), CPU, "fp32", state)
    with torch.no_grad():
        whole = model.head.bits(model(torch.from_numpy(tokens[:, :-1])), torch.from_numpy(tokens[:, 1:]))
        anew = model.head.bits(model(torch.from_numpy(tokens[1:, 8:-1])), torch.from_numpy(tokens[1:, 9:]))
    assert bits.item() == pytest.approx(float(torch.cat([whole[0, 8:], anew[0]]).mean()), rel=1e-5)
    assert state is not None
    assert after is not None
    assert not any(part.requires_grad for part in [*state, *after])


def test_a_batch_that_stands_alone_hands_nothing_on(model):
    assert batch_bits(model, batch(), CPU, "fp32")[1] is None


def test_what_is_carried_is_not_changed(model):
    tokens = np.random.default_rng(0).integers(0, 8, (2, 25))
    _, state = batch_bits(model, carried_batch(tokens, 0, 8, [True, True]), CPU, "fp32")
    assert state is not None
    before = [part.clone() for part in state]
    batch_bits(model, carried_batch(tokens, 8, 8, [True, False]), CPU, "fp32", state)
    assert all(torch.equal(old, part) for old, part in zip(before, state, strict=True))


def test_the_first_batch_of_a_resumed_run_without_a_state_begins_anew(model):
    tokens = np.random.default_rng(0).integers(0, 8, (2, 25))
    goes_on, fresh = (carried_batch(tokens, 8, 8, [begins] * 2) for begins in (False, True))
    assert batch_bits(model, goes_on, CPU, "fp32")[0].item() == batch_bits(model, fresh, CPU, "fp32")[0].item()


@pytest.mark.parametrize("what", ["labels", "features"])
def test_what_the_batch_tells_reaches_the_model(what):
    torch.manual_seed(0)
    update = {"classes": 3} if what == "labels" else {"local_features": 2}
    model = models.build(TINY_MODELS["wavenet"].model_copy(update=update), CategoricalTokens(values=8))
    plain = batch()
    rng = np.random.default_rng(1)
    told = [rng.integers(0, 3, 2) if what == "labels" else rng.normal(size=(2, 20, 2)).astype(np.float32)] * 2
    told[1] = told[0] + 1 if what == "features" else (told[0] + 1) % 3
    values = [batch_bits(model, replace(plain, **{what: one}), CPU, "fp32")[0].item() for one in told]
    assert values[0] != values[1]


def test_a_model_that_asks_for_nothing_is_told_nothing(model):
    plain = batch()
    more = replace(plain, labels=np.array([1, 2]), features=np.ones((2, 20, 4), np.float32))
    assert place(model, more, CPU).condition == NO_CONDITION
    assert batch_bits(model, more, CPU, "fp32")[0].item() == batch_bits(model, plain, CPU, "fp32")[0].item()


def test_vectors_count_as_one_token_each():
    torch.manual_seed(0)
    model = models.build(TINY_MODELS["wavenet"], BinaryTokens(width=3))
    rolls = np.random.default_rng(0).integers(0, 2, (2, 11, 3))
    mask = np.ones((2, 6), bool)
    mask[0, 4:] = False
    given = Batch(rolls[:, :-1], rolls[:, -6:], mask, None)
    each = model.head.bits(model(torch.from_numpy(rolls[:, :-1]))[:, -6:], torch.from_numpy(rolls[:, -6:]))
    assert batch_bits(model, given, CPU, "fp32")[0].item() == pytest.approx(each.detach()[mask].mean().item(), rel=1e-6)
