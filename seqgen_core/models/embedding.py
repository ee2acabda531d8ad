"""How tokens enter and leave a stack of convolutions: as they are or as learned vectors, with weights that can be tied.

Source: Bai et al. 2018, arXiv:1803.01271, and Stoller et al. 2019, arXiv:1911.06393, in their experiments on text and
piano rolls; tied weights: Press and Wolf 2017, arXiv:1608.05859.
Axes: B batch, T time in tokens, C channels, E numbers in the vector of a token, K taps, F numbers heard of a token.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.errors import UsageError
from seqgen_core.models.blocks import TokenConv
from seqgen_core.models.heads import Head
from seqgen_core.models.rows import convolve_rows
from seqgen_core.models.tokens import NOTHING
from seqgen_core.settings.tokens import TokenSpec

EMBEDDING_STD = 0.06
"""Of the vectors at first: that of the uniform numbers in ±0.1 which the character models of the papers begin with."""

Heard = tuple[Tensor, Tensor | None]
"""Codes (B, K - 1 + T, *shape) and their presence, if any; or vectors (B, K - 1 + T, E) and None."""


class Entry(nn.Module):
    """The first convolutions over tokens: of the tokens as they are, or of learned vectors in their place.

    embedding: E, or 0 for tokens as they are. dropout: of the vectors. The newest K - 1 codes are what it keeps.
    """

    def __init__(self, tokens: TokenSpec, taps: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.tokens, self.past, self.channels, self.dropout = tokens, taps - 1, embedding, dropout
        self.table = TokenConv(tokens, embedding, 1, bias=False) if embedding else None
        if self.table is not None and self.table.rows > 1:  # the one vector of an amplitude stays as it is
            with torch.no_grad():
                self.table.weight.mul_(EMBEDDING_STD)

    def convolution(self, channels: int, taps: int) -> nn.Conv1d | TokenConv:
        """A convolution of K taps over what is heard: its weights are not part of this module."""
        if self.channels:
            return nn.Conv1d(self.channels, channels, taps)
        conv = TokenConv(self.tokens, channels, taps)
        if not conv.one_hot:  # numbers, as those that any other layer hears: torch's own draw for them
            nn.init.uniform_(conv.weight, -1 / math.sqrt(len(conv.weight)), 1 / math.sqrt(len(conv.weight)))
        return conv

    def silence(self, batch: int, device: torch.device) -> Tensor:
        """Codes (B, K - 1, *shape) before the first token."""
        return torch.full((batch, self.past, *self.tokens.shape), NOTHING, device=device)

    def hear(self, tokens: Tensor, past: Tensor | None, presence: Tensor | None, count: int) -> Heard:
        """What K taps need to give `count` outputs at the newest of tokens (B, T, *shape), T ≥ count, after past."""
        length = count + self.past
        if length > tokens.shape[1]:
            past = self.silence(len(tokens), tokens.device) if past is None else past
            tokens = torch.cat([past, tokens], dim=1)
            presence = F.pad(presence, (self.past, 0)) if presence is not None else None
        tokens = tokens[:, -length:]
        presence = presence[:, -length:] if presence is not None else None
        if self.table is None:
            return tokens, presence
        vectors = self.table.rows_of(tokens, presence)  # (B, K - 1 + count, E)
        return (F.dropout(vectors, self.dropout) if self.training and self.dropout else vectors), None

    def kept(self, tokens: Tensor, past: Tensor) -> Tensor:
        """Codes (B, K - 1, *shape) to keep after tokens."""
        return torch.cat([past, tokens], dim=1)[:, tokens.shape[1] :].clone()


def convolve_heard(conv: nn.Module, heard: Heard) -> Tensor:
    """A convolution as `Entry.convolution` makes it, over what was heard: (B, T, C)."""
    x, presence = heard
    if isinstance(conv, TokenConv):
        return conv.rows_of(x, presence)
    assert isinstance(conv, nn.Conv1d)
    return convolve_rows(x, conv.weight, conv.bias, dilation=conv.dilation[0])


def newest(heard: Heard, count: int) -> Heard:
    """The newest `count` codes or vectors of what was heard."""
    x, presence = heard
    if x.is_floating_point():
        return x[:, x.shape[1] - count :], None
    return x[:, -count:], presence[:, -count:] if presence is not None else None


def weigh(conv: nn.Module) -> tuple[int, float]:
    """Parameters of a convolution, and multiplications with a weight per output: none where it looks rows up."""
    size = sum(parameter.numel() for parameter in conv.parameters())
    looked_up = isinstance(conv, TokenConv) and conv.one_hot
    return size, 0.0 if looked_up else float(_weight(conv).numel())


def _weight(conv: nn.Module) -> Tensor:
    weight = conv.weight  # a parameter, or computed anew from those of weight normalisation
    assert isinstance(weight, Tensor)
    return weight


class Exit(nn.Module):
    """A 1×1 convolution into the outputs of every token, x (B, T, C) -> (B, T, head.size).

    tied: its weights are the entry's table, given to each call, and so C is E.
    Raises UsageError where the table has not one vector for each output.
    """

    def __init__(self, channels: int, head: Head, entry: Entry, tied: bool) -> None:
        super().__init__()
        if tied and (entry.table is None or entry.table.rows != head.size):
            raise UsageError(
                f"model.tied = true shares one vector per output, but the data are {entry.tokens}.",
                "Symbols or binary vectors, a softmax over symbols, and model.embedding above 0.",
                "Set model.tied=false.",
            )
        self.weight = None if tied else nn.Parameter(torch.empty(head.size, channels))
        self.bias = nn.Parameter(torch.zeros(head.size))
        if self.weight is not None:
            nn.init.uniform_(self.weight, -1 / math.sqrt(channels), 1 / math.sqrt(channels))
            head.begin(self.weight, self.bias)

    def forward(self, x: Tensor, entry: Entry) -> Tensor:
        """x (B, T, C), with the entry whose table may be shared."""
        weight = self.weight
        if weight is None:
            assert entry.table is not None
            weight = entry.table.weight
        return F.linear(x, weight, self.bias)

    def weigh(self, entry: Entry) -> tuple[int, float]:
        """Parameters of its own, and multiplications with a weight per token."""
        own = sum(parameter.numel() for parameter in self.parameters())
        weight = self.weight if entry.table is None or self.weight is not None else entry.table.weight
        assert weight is not None
        return own, float(weight.numel())
