"""Tokens as tensors: whether they are what a model speaks, as numbers that a network can hear, and drawn at random.

Axes: B batch, T time in tokens, F numbers heard of one token.
"""

import torch
from torch import Tensor

from seqgen_core.errors import ShapeError
from seqgen_core.settings.tokens import TokenSpec

NOTHING = -1
"""Code, in kept tokens, of a time before the first token; for vectors, in every place."""


def check_tokens(tokens: Tensor, spec: TokenSpec) -> None:
    """Raise ShapeError, naming what it got, unless tokens are int64 (B, T, *shape) with B, T ≥ 1 and codes in range."""
    shape = tuple(tokens.shape)
    dimensions = 2 + len(spec.shape)
    if tokens.dim() != dimensions or shape[2:] != spec.shape or 0 in shape[:2] or tokens.dtype != torch.int64:
        wanted = ", ".join(["B", "T", *map(str, spec.shape)])
        raise ShapeError(f"tokens {shape} of {tokens.dtype}; wanted int64 ({wanted}) with B and T at least 1")
    check_codes("tokens", tokens, spec.values)


def check_codes(name: str, codes: Tensor, values: int) -> None:
    """Raise ShapeError unless all codes lie in [0, values)."""
    # On other devices the look-up itself complains; asking here would make the device wait at every step, and would cut
    # a compiled step in two.
    if codes.device.type != "cpu" or torch.compiler.is_compiling():
        return
    low, high = (int(edge) for edge in torch.aminmax(codes))
    if low < 0 or high >= values:
        raise ShapeError(f"{name} {tuple(codes.shape)} hold {low} to {high}; wanted 0 to {values - 1}")


def heard(codes: Tensor, spec: TokenSpec, dtype: torch.dtype) -> Tensor:
    """Codes (..., *shape) as numbers (..., F): binary vectors as they are, else one number in [-1, 1]; NOTHING as 0."""
    there = codes != NOTHING
    if spec.kind == "binary":
        return (codes * there).to(dtype)
    half = spec.values // 2
    if spec.kind == "amplitude":
        values = (codes - half).to(dtype) / half
    else:
        values = codes.to(dtype) * (2 / (spec.values - 1)) - 1
    return (values * there)[..., None]


def random_tokens(spec: TokenSpec, batch: int, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """Tokens int64 (B, T, *shape), every value equally likely."""
    return torch.randint(spec.values, (batch, steps, *spec.shape), generator=generator)
