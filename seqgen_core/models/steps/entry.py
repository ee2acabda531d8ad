"""How tokens enter a step program, by rows of a table or as numbers that are multiplied, and how outputs leave it.

Axes: B batch, C channels, P tokens before the start, F numbers heard of a token, K taps.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqgen_core.models.blocks import TokenConv
from seqgen_core.models.embedding import Entry, Exit
from seqgen_core.models.steps.program import Activation, Hear, Layer, Operation, Slot, Source, Start
from seqgen_core.models.steps.taps import over_time
from seqgen_core.models.tokens import heard
from seqgen_core.settings.tokens import TokenSpec

LARGEST_TABLE = 64 * 2**20
"""Bytes of a table in which a layer's products with all learned vectors are kept ready."""

Codes = Callable[[Start], Tensor]
"""Tokens heard before the start, int64 (B, P, *shape), oldest first, as a model's state has them."""


def heard_values(tokens: TokenSpec) -> Tensor:
    """Every token value as the number that a network hears: (V,)."""
    codes = torch.arange(tokens.values)
    if tokens.kind == "binary":
        return codes.float()
    return heard(codes, tokens, torch.float32)[..., 0]


def numbers_before(tokens: TokenSpec, codes: Codes) -> Callable[[Start], Tensor]:
    """What was heard before the start as numbers, (B, F, P)."""
    return lambda start: heard(codes(start), tokens, torch.float32).transpose(1, 2)


def hear_tokens(
    tokens: TokenSpec,
    conv: TokenConv | nn.Embedding,
    out: Slot,
    activation: Activation = "none",
    codes: Codes | None = None,
) -> list[Operation]:
    """A convolution over tokens, or a table of vectors, into `out`. codes: those before the start, for several taps."""
    hearing = Hearing(tokens, codes)
    hearing.convolve(conv, out, activation)
    return hearing.operations


class Hearing:
    """The operations of layers that hear tokens. What several of them need, numbers or learned vectors, is made once.

    codes: those before the start, for several taps. entry: where its layers hear learned vectors.
    """

    def __init__(self, tokens: TokenSpec, codes: Codes | None = None, entry: Entry | None = None) -> None:
        self.tokens, self.codes, self.table = tokens, codes, None if entry is None else entry.table
        self.operations: list[Operation] = []
        self._numbers: Slot | None = None
        self._vectors: Slot | None = None

    def numbers(self) -> Slot:
        """Tokens as numbers."""
        if self._numbers is None:
            values = heard_values(self.tokens)
            before = None if self.codes is None else numbers_before(self.tokens, self.codes)
            places = self.tokens.shape[0] if self.tokens.shape else 1
            self._numbers = Slot("numbers", places, before)
            self.operations.append(Hear(self._numbers, values))
        return self._numbers

    def vectors(self) -> Slot:
        """Tokens as learned vectors."""
        if self._vectors is None:
            table, codes = self.table, self.codes
            assert table is not None
            before = None if codes is None else (lambda start: table(codes(start)))
            vectors = Slot("vectors", table.weight.shape[1], before)
            self.convolve(table, vectors)
            self._vectors = vectors
        return self._vectors

    def convolve(self, conv: nn.Module, out: Slot, activation: Activation = "none") -> None:
        """A convolution over tokens or over learned vectors, or a table of vectors.

        Products with learned vectors are looked up, or merged with the making of the vectors, where that is less work.
        """
        if isinstance(conv, nn.Embedding):
            self.operations.append(Layer(out, table=conv.weight, activation=activation))
            return
        if isinstance(conv, TokenConv):
            self._over_tokens(conv.weight, conv.taps, conv.bias, conv.one_hot, out, activation)
            return
        assert isinstance(conv, nn.Conv1d)
        if self.table is not None and _folds(self.table, conv):
            rows = torch.einsum("fe,cek->kfc", self.table.weight.detach(), conv.weight.detach()).flatten(0, 1)
            self._over_tokens(rows, conv.kernel_size[0], conv.bias, self.table.one_hot, out, activation)
        else:
            sources, weight = over_time(conv, self.vectors())
            self.operations.append(Layer(out, sources, weight, bias=conv.bias, activation=activation))

    def _over_tokens(
        self, rows: Tensor, taps: int, bias: Tensor | None, one_hot: bool, out: Slot, activation: Activation
    ) -> None:
        """rows (taps * F, C), the oldest tap's first."""
        if one_hot:
            self.operations.append(Layer(out, table=rows, taps=taps, bias=bias, activation=activation))
            return
        numbers = self.numbers()
        sources = tuple(Source(numbers, taps - 1 - tap) for tap in range(taps))
        self.operations.append(Layer(out, sources, rows.t(), bias=bias, activation=activation))


def leave(model_exit: Exit, entry: Entry, x: Slot, outputs: Slot) -> Layer:
    """The layer that makes the outputs, whose weights may be the entry's vectors."""
    weight = model_exit.weight
    if weight is None:
        assert entry.table is not None
        weight = entry.table.weight
    return Layer(outputs, (Source(x),), weight, bias=model_exit.bias)


def _folds(table: TokenConv, conv: nn.Conv1d) -> bool:
    """Whether a layer hears tokens with less work by its products with all vectors than by the vectors."""
    values, size, (channels, _, taps) = table.rows, table.weight.shape[1], conv.weight.shape
    folded = taps * values * channels
    if table.one_hot:
        return 4 * folded <= LARGEST_TABLE
    return folded <= values * size + taps * size * channels
