"""How a token enters a step program: by rows of a table, or as numbers that are multiplied."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqgen_core.models.blocks import TokenConv
from seqgen_core.models.steps.program import Activation, Hear, Layer, Operation, Slot, Source, Start
from seqgen_core.models.tokens import heard
from seqgen_core.settings.tokens import TokenSpec


def heard_values(tokens: TokenSpec) -> Tensor:
    """Every token value as the number that a network hears: (V,)."""
    codes = torch.arange(tokens.values)
    if tokens.kind == "binary":
        return codes.float()
    return heard(codes, tokens, torch.float32)[..., 0]


def numbers_before(tokens: TokenSpec, codes: Callable[[Start], Tensor]) -> Callable[[Start], Tensor]:
    """What was heard before the start as numbers, (B, F, P), from the codes (B, P, *shape)."""
    return lambda start: heard(codes(start), tokens, torch.float32).transpose(1, 2)


def hear_tokens(
    tokens: TokenSpec,
    conv: TokenConv | nn.Embedding,
    out: Slot,
    activation: Activation = "none",
    codes: Callable[[Start], Tensor] | None = None,
) -> list[Operation]:
    """A convolution over tokens, or a table of vectors, into `out`. codes: those before the start, for several taps."""
    if isinstance(conv, nn.Embedding):
        return [Layer(out, table=conv.weight, activation=activation)]
    if conv.one_hot:
        return [Layer(out, table=conv.weight, taps=conv.taps, bias=conv.bias, activation=activation)]
    before = None if codes is None else numbers_before(tokens, codes)
    numbers = Slot(f"numbers for {out.name}", conv.rows, before)
    weight = conv.weight.t()  # (C, taps * F), oldest tap first
    sources = tuple(Source(numbers, conv.taps - 1 - tap) for tap in range(conv.taps))
    return [Hear(numbers, heard_values(tokens)), Layer(out, sources, weight, bias=conv.bias, activation=activation)]
