"""The head of piano rolls: a probability for every key, its likelihood in nats as papers report it, its edges."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bernoulli

from seqgen_core.errors import ShapeError
from seqgen_core.models.heads import BernoulliHead, build_head
from seqgen_core.settings.tokens import BinaryTokens

FOUR = BernoulliHead(4)
BELOW_ONE = math.nextafter(1.0, 0.0)


def log_odds(*chances: float) -> torch.Tensor:
    chance = torch.tensor([chances], dtype=torch.float64)
    return (chance / (1 - chance)).log()


def sample(outputs: torch.Tensor, *uniforms: float, **how: float) -> list[int]:
    return FOUR.sample(outputs, torch.tensor([uniforms], dtype=torch.float64), **how)[0].tolist()  # ty: ignore[invalid-argument-type]


def test_binary_tokens_get_it():
    head = build_head(BinaryTokens(width=88))
    assert isinstance(head, BernoulliHead)
    assert head.size == head.draws == 88


@given(st.integers(0, 10**6), st.integers(1, 88))
def test_the_likelihood_is_scipys(seed, width):
    rng = np.random.default_rng(seed)
    outputs, targets = rng.normal(0, 3, (2, 5, width)), rng.integers(0, 2, (2, 5, width))
    expected = -bernoulli.logpmf(targets, 1 / (1 + np.exp(-outputs))).sum(axis=-1) / math.log(2)
    bits = BernoulliHead(width).bits(torch.from_numpy(outputs), torch.from_numpy(targets))
    np.testing.assert_allclose(bits.numpy(), expected, rtol=1e-9, atol=1e-9)
    coarse = BernoulliHead(width).bits(torch.from_numpy(outputs).float(), torch.from_numpy(targets))
    assert coarse.dtype == torch.float32
    np.testing.assert_allclose(coarse.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert BernoulliHead(width).bits(torch.from_numpy(outputs).bfloat16(), torch.from_numpy(targets)).dtype == (
        torch.float32
    )


def test_the_model_that_knows_nothing_pays_one_bit_per_key():
    assert float(BernoulliHead(88).bits(torch.zeros(88), torch.zeros(88, dtype=torch.int64))) == pytest.approx(88)


@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
def test_outputs_far_out_have_finite_bits_and_gradients(size):
    outputs = torch.tensor([[size, -size, size, -size]], requires_grad=True)
    bits = FOUR.bits(outputs, torch.tensor([[1, 0, 0, 1]]))
    bits.sum().backward()
    assert bits.item() == pytest.approx(2 * size / math.log(2), rel=1e-6)
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad * math.log(2), torch.tensor([[0.0, 0.0, 1.0, -1.0]]))
    assert sample(outputs.detach(), 0.0, 1e-30, BELOW_ONE, BELOW_ONE) == [1, 0, 1, 0]


def test_each_key_has_a_uniform_of_its_own():
    outputs = log_odds(0.5, 0.25, 0.75, 0.1)
    assert sample(outputs, 0.49, 0.26, 0.74, 0.0) == [1, 0, 1, 1]
    assert sample(outputs, 0.51, 0.24, 0.76, BELOW_ONE) == [0, 1, 0, 0]
    torch.testing.assert_close(FOUR.probabilities(outputs), torch.tensor([[0.5, 0.25, 0.75, 0.1]]).double())
    draws = torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = FOUR.sample(outputs.expand(20_000, 4), draws).double().mean(dim=0)
    assert float((shares - FOUR.probabilities(outputs)[0]).abs().max()) < 4 * math.sqrt(0.25 / 20_000)


def test_temperature_divides_the_log_odds_and_zero_is_the_mode():
    outputs = log_odds(0.75, 0.25, 0.5, 0.51)  # at 1/2 the odds are squared: 9 to 1 and 1 to 9
    assert sample(outputs, 0.89, 0.09, 0.49, 0.0, temperature=0.5)[:3] == [1, 1, 1]
    assert sample(outputs, 0.91, 0.11, 0.51, 0.0, temperature=0.5)[:3] == [0, 0, 0]
    for uniform in (0.0, 0.5, BELOW_ONE):
        assert sample(outputs, *[uniform] * 4, temperature=0) == FOUR.mode(outputs)[0].tolist() == [1, 0, 0, 1]
    assert sample(log_odds(0.6, 0.4, 0.9, 0.1), 0.3, 0.7, BELOW_ONE, 0.0001, temperature=1e-300) == [1, 0, 1, 0]


def test_top_k_and_top_p_silence_the_less_likely_keys():
    outputs = log_odds(0.5, 0.2, 0.5, 0.9)
    assert sample(outputs, 0, 0, 0, 0, top_k=1) == [0, 0, 0, 1]
    assert sample(outputs, 0, 0, 0, 0, top_k=2) == [1, 0, 0, 1]  # of equals the lower key
    assert sample(outputs, 0, 0, 0, 0, top_k=9) == sample(outputs, 0, 0, 0, 0) == [1, 1, 1, 1]
    assert sample(outputs, 0, 0, 0, 0, top_p=0.6) == [1, 0, 1, 1]
    assert sample(outputs, 0, 0, 0, 0, top_p=0.05) == [0, 0, 0, 0]
    assert sample(outputs, 0.4, 0, 0.6, 0.95, top_p=0.6) == [1, 0, 0, 0]  # what is left keeps its chances


def test_rows_are_drawn_apart():
    outputs, uniforms = torch.randn(50, 4), torch.rand(50, 4, dtype=torch.float64)
    how = {"temperature": 0.8, "top_k": 3, "top_p": 0.7}
    together = FOUR.sample(outputs, uniforms, **how)  # ty: ignore[invalid-argument-type]
    apart = [FOUR.sample(outputs[i : i + 1], uniforms[i : i + 1], **how) for i in range(50)]  # ty: ignore[invalid-argument-type]
    assert together.dtype == torch.int64
    assert torch.equal(together, torch.cat(apart))


def test_shapes_are_checked_and_named():
    with pytest.raises(ShapeError, match=r"\(2, 4\) for targets \(2, 3\); wanted 4 of each"):
        FOUR.bits(torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ShapeError, match=r"\(1, 4\) and uniforms \(1, 1\); wanted \(B, 4\) of each"):
        FOUR.sample(torch.zeros(1, 4), torch.zeros(1, 1, dtype=torch.float64))
    with pytest.raises(ShapeError, match="NaN"):
        FOUR.sample(torch.full((1, 4), math.nan), torch.zeros(1, 4, dtype=torch.float64))
