"""Tokens as tensors: what a network hears of each sort, and what is refused."""

import pytest
import torch

from seqgen_core.errors import ShapeError
from seqgen_core.models.tokens import NOTHING, check_tokens, heard, random_tokens
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec


@pytest.mark.parametrize(
    ("spec", "codes", "numbers"),
    [
        (CategoricalTokens(values=5, ordered=True), [0, 1, 2, 4], [-1, -0.5, 0, 1]),
        (PixelTokens(height=1, width=1, levels=3), [0, 1, 2], [-1, 0, 1]),
        (AmplitudeTokens(levels=4), [0, 1, 2, 3], [-1, -0.5, 0, 0.5]),
        (AmplitudeTokens(levels=65536), [0, 32768, 65535], [-1, 0, 32767 / 32768]),
    ],
)
def test_ordered_codes_are_heard_as_one_number(spec: TokenSpec, codes: list[int], numbers: list[float]) -> None:
    x = heard(torch.tensor([codes]), spec, torch.float64)
    assert x.shape == (1, len(codes), 1)
    assert x.dtype == torch.float64
    assert x.flatten().tolist() == pytest.approx(numbers)


@pytest.mark.parametrize(
    "spec",
    [CategoricalTokens(values=5), AmplitudeTokens(levels=4), PixelTokens(height=1, width=1), BinaryTokens(width=3)],
)
def test_nothing_is_heard_as_zero(spec: TokenSpec) -> None:
    assert not heard(torch.full((2, 3, *spec.shape), NOTHING), spec, torch.float32).any()


def test_vectors_are_heard_as_they_are() -> None:
    codes = torch.tensor([[[1, 0, 1], [0, 0, 1]]])
    assert torch.equal(heard(codes, BinaryTokens(width=3), torch.float32), codes.float())


@pytest.mark.parametrize("spec", [CategoricalTokens(values=3), BinaryTokens(width=2)])
def test_random_tokens_are_of_their_sort(spec: TokenSpec) -> None:
    tokens = random_tokens(spec, 2, 50, torch.Generator().manual_seed(0))
    check_tokens(tokens, spec)
    assert tokens.shape == (2, 50, *spec.shape)
    assert set(tokens.flatten().tolist()) == set(range(spec.values))


@pytest.mark.parametrize(
    ("spec", "tokens", "said"),
    [
        (CategoricalTokens(values=3), torch.zeros(2, 3), r"float32; wanted int64 \(B, T\)"),
        (CategoricalTokens(values=3), torch.zeros(2, 0, dtype=torch.int64), r"\(2, 0\)"),
        (BinaryTokens(width=2), torch.zeros(2, 3, 4, dtype=torch.int64), r"wanted int64 \(B, T, 2\)"),
        (BinaryTokens(width=2), torch.full((1, 1, 2), 2), "hold 2 to 2; wanted 0 to 1"),
        (AmplitudeTokens(levels=4), torch.tensor([[4, NOTHING]]), "hold -1 to 4; wanted 0 to 3"),
    ],
)
def test_other_tensors_are_named(spec: TokenSpec, tokens: torch.Tensor, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        check_tokens(tokens, spec)
