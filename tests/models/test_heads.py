"""The categorical head: likelihood, sampling and their edges; and what all heads have in common."""

import math

import pytest
import torch

from seqgen_core.errors import ShapeError, UsageError
from seqgen_core.models.heads import BernoulliHead, CategoricalHead, LogisticMixtureHead, build_head
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec

FOUR = build_head(CategoricalTokens(values=4))
BELOW_ONE = math.nextafter(1.0, 0.0)


def outputs_of(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


def sample(outputs: torch.Tensor, uniform: float, **how: float) -> int:
    return int(FOUR.sample(outputs, torch.tensor([[uniform]], dtype=torch.float64), **how))  # ty: ignore[invalid-argument-type]


def test_bits_are_minus_log2_of_the_probability() -> None:
    outputs = outputs_of(0.5, 0.25, 0.125, 0.125)
    targets = torch.arange(4)
    bits = FOUR.bits(outputs.expand(4, 4), targets)
    torch.testing.assert_close(bits, torch.tensor([1.0, 2.0, 3.0, 3.0], dtype=torch.float64))
    assert FOUR.bits(outputs.expand(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64)).shape == (2, 3)


def test_bits_are_fine_under_autocast_and_from_bfloat16() -> None:
    outputs = torch.randn(6, 4)
    targets = torch.zeros(6, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bits = FOUR.bits(outputs, targets)
    assert bits.dtype == torch.float32
    torch.testing.assert_close(bits, FOUR.bits(outputs, targets))
    assert FOUR.bits(outputs.bfloat16(), targets).dtype == torch.float32


def test_shapes_are_checked_and_named() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 4\) for targets \(3,\)"):
        FOUR.bits(torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ShapeError, match=r"\(1, 5\)"):
        FOUR.sample(torch.zeros(1, 5), torch.zeros(1, 1, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"uniforms \(1,\); wanted \(B, 4\), \(B, 1\)"):
        FOUR.sample(torch.zeros(1, 4), torch.zeros(1, dtype=torch.float64))
    with pytest.raises(ShapeError, match="NaN"):
        FOUR.sample(torch.full((1, 4), math.nan), torch.zeros(1, 1, dtype=torch.float64))


def test_each_uniform_picks_the_interval_that_it_lies_in() -> None:
    outputs = outputs_of(0.5, 0.25, 0.125, 0.125)
    for uniform, token in ((0.0, 0), (0.4999, 0), (0.5001, 1), (0.7499, 1), (0.7501, 2), (0.8751, 3), (BELOW_ONE, 3)):
        assert sample(outputs, uniform) == token


@pytest.mark.parametrize("uniform", [0.0, 0.3, 0.999999, BELOW_ONE, 1.0])
def test_a_token_of_probability_zero_is_never_drawn(uniform: float) -> None:
    assert sample(outputs_of(0.0, 1.0, 0.0, 0.0), uniform) == 1
    assert sample(outputs_of(0.0, 0.5, 0.5, 0.0), uniform) in (1, 2)
    assert sample(torch.tensor([[-800.0, 0.0, -800.0, -800.0]]), uniform) == 1


def test_temperature_zero_is_the_mode_and_tiny_ones_tend_to_it() -> None:
    outputs = outputs_of(0.2, 0.3, 0.4, 0.1)
    for temperature in (0.0, 1e-300, 1e-9):
        assert {sample(outputs, uniform, temperature=temperature) for uniform in (0.0, 0.5, BELOW_ONE)} == {2}
    assert int(FOUR.mode(outputs)) == 2


def test_temperature_bends_the_distribution() -> None:
    # At temperature 1/2 the probabilities go as the squares: 9/10 and 1/10 of 0.75 and 0.25.
    outputs = outputs_of(0.75, 0.25, 0.0, 0.0)
    assert [sample(outputs, uniform, temperature=0.5) for uniform in (0.89, 0.91)] == [0, 1]


def test_top_k_keeps_exactly_k_the_lower_of_equals() -> None:
    outputs = outputs_of(0.25, 0.25, 0.25, 0.25)
    grid = [(index + 0.5) / 40 for index in range(40)]
    assert {sample(outputs, uniform, top_k=2) for uniform in grid} == {0, 1}
    assert {sample(outputs, uniform, top_k=1) for uniform in grid} == {0}
    assert {sample(outputs, uniform, top_k=9) for uniform in grid} == {0, 1, 2, 3}


def test_top_p_keeps_the_fewest_that_reach_it_and_always_one() -> None:
    outputs = outputs_of(0.125, 0.5, 0.25, 0.125)
    grid = [(index + 0.5) / 40 for index in range(40)]
    for top_p, kept in (
        (1e-12, {1}),
        (0.5, {1}),
        (0.51, {1, 2}),
        (0.75, {1, 2}),
        (0.76, {0, 1, 2}),
        (1.0, {0, 1, 2, 3}),
    ):
        assert {sample(outputs, uniform, top_p=top_p) for uniform in grid} == kept


def test_top_p_works_on_what_top_k_left() -> None:
    # Of the two likeliest, renormalised to 2/3 and 1/3, the first alone reaches 0.6.
    outputs = outputs_of(0.1, 0.4, 0.2, 0.3 - 1e-9)
    grid = [(index + 0.5) / 40 for index in range(40)]
    assert {sample(outputs, uniform, top_k=2, top_p=0.55) for uniform in grid} == {1}
    assert {sample(outputs, uniform, top_k=2, top_p=0.6) for uniform in grid} == {1, 3}


def test_rows_are_drawn_apart() -> None:
    outputs = torch.randn(50, 4)
    uniforms = torch.rand(50, 1, dtype=torch.float64)
    together = FOUR.sample(outputs, uniforms, temperature=0.8, top_k=3, top_p=0.9)
    apart = [
        FOUR.sample(outputs[i : i + 1], uniforms[i : i + 1], temperature=0.8, top_k=3, top_p=0.9) for i in range(50)
    ]
    assert together.dtype == torch.int64
    assert torch.equal(together, torch.cat(apart))


SPECS = (
    CategoricalTokens(values=4),
    CategoricalTokens(values=5, ordered=True),
    BinaryTokens(width=6),
    AmplitudeTokens(levels=32),
    PixelTokens(height=2, width=3, levels=4),
)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_head_keeps_to_the_shapes_it_declares(spec: TokenSpec) -> None:
    head = build_head(spec)
    outputs = torch.randn(3, head.size)
    uniforms = torch.rand(3, head.draws, dtype=torch.float64)
    drawn, likeliest = head.sample(outputs, uniforms), head.mode(outputs)
    for tokens in (drawn, likeliest):
        assert (tokens.shape, tokens.dtype) == ((3, *spec.shape), torch.int64)
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < spec.values
    assert head.bits(outputs, drawn).shape == (3,)
    assert head.bits(outputs[None], drawn[None]).shape == (1, 3)
    assert torch.equal(head.sample(outputs, uniforms, temperature=0), likeliest)
    weight, bias = torch.randn(head.size, 7), torch.randn(head.size)
    head.begin(weight, bias)
    assert weight.isfinite().all()


def test_each_sort_of_token_has_its_head() -> None:
    kinds = [CategoricalHead, CategoricalHead, BernoulliHead, LogisticMixtureHead, CategoricalHead]
    assert [type(build_head(spec)) for spec in SPECS] == kinds
    for spec in (SPECS[1], SPECS[3], SPECS[4]):
        mixture = build_head(spec, mixtures=3)
        assert isinstance(mixture, LogisticMixtureHead)
        assert mixture.size == 9


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[2]], ids=str)
def test_a_mixture_of_what_has_no_order_is_refused(spec: TokenSpec) -> None:
    with pytest.raises(UsageError, match=r"model\.mixtures = 3 asks for a mixture of logistics"):
        build_head(spec, mixtures=3)


def test_ordered_values_begin_with_rows_like_their_neighbours() -> None:
    ordered, plain = torch.zeros(100, 8), torch.zeros(100, 8)
    build_head(CategoricalTokens(values=100, ordered=True)).begin(ordered, None)
    build_head(CategoricalTokens(values=100)).begin(plain, None)
    steps, spread = ordered.diff(dim=0).abs().mean(), ordered.std()
    assert 0 < steps < 0.3 * spread
    assert torch.equal(plain, torch.zeros(100, 8))  # the layer's own draw stands
