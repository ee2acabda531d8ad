"""What the convolutional models share: looking back in time, gates, and convolutions over one-hot tokens.

Axes: B batch, T time in ticks of the layer's clock, C channels, V token values, K taps, P past inputs kept.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.errors import ShapeError
from seqgen_core.models.row_products import LookUp, takes_passes
from seqgen_core.models.tokens import NOTHING, heard
from seqgen_core.settings.tokens import TokenSpec


def kept(x: Tensor, past: Tensor) -> Tensor:
    """What to keep after inputs x (B, T, C): as many of the newest as past (B, C, P) holds, channels side by side."""
    size = past.shape[2]
    if x.shape[1] >= size:
        newest = x[:, x.shape[1] - size :].to(past.dtype, copy=True)  # a view would hold on to all of x
    else:
        newest = torch.cat([past[:, :, x.shape[1] :].transpose(1, 2), x], dim=1)
    return newest.transpose(1, 2)


class Memory:
    """Hands every layer its past, in order, and keeps what it needs next time; None is silence, with no next time."""

    def __init__(self, pasts: Sequence[Tensor] | None) -> None:
        self.pasts = pasts
        self.kept: list[Tensor] = []

    def take(self, x: Tensor, beside: Tensor | None = None) -> Tensor | None:
        """The past (B, P, C) of the layer that now takes inputs x (B, T, C), with the newest of others beside them."""
        if self.pasts is None:
            return None
        past = self.pasts[len(self.kept)]
        if beside is None:
            self.kept.append(kept(x, past))
        else:
            size = min(x.shape[1], beside.shape[1], past.shape[2])
            both = [part[:, part.shape[1] - size :] for part in (x, beside)]
            self.kept.append(kept(torch.cat(both, dim=2), past))
        return past.transpose(1, 2)

    def hold(self) -> None:
        """The next layer hears nothing this time."""
        assert self.pasts is not None
        self.kept.append(self.pasts[len(self.kept)])


def read_clock(clock: Tensor) -> int:
    """The clock int64 (B,) of a state, one for the whole batch. Raises ShapeError where they differ."""
    values = clock.tolist()
    if any(value != values[0] for value in values):
        raise ShapeError(f"a state whose clocks {tuple(clock.shape)} differ: {values}; wanted one clock for the batch")
    return values[0]


def gated(x: Tensor) -> Tensor:
    """tanh of the first half of the channels times the sigmoid of the second: (B, 2C, T) -> (B, C, T)."""
    signal, gate = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(gate)


@torch.no_grad()
def begin_smooth(weight: Tensor, std: float) -> None:
    """Fill weight (V, …) with smooth random functions of the code, of the given standard deviation.

    Near codes begin with near rows, so that what is learned of one amplitude serves its neighbours from the first step.
    The functions are sums of random cosines (Rahimi and Recht 2007, "Random features for large-scale kernel machines").
    """
    values, columns, cosines = weight.shape[0], weight[0].numel(), 64
    place = torch.linspace(-1, 1, values)
    frequencies = 3 * torch.randn(cosines)  # radians; about one turn over all codes
    waves = math.sqrt(2) * torch.cos(place[:, None] * frequencies + 2 * math.pi * torch.rand(cosines))  # (V, cosines)
    mixed = waves @ torch.randn(cosines, columns) / math.sqrt(cosines)  # (V, columns), variance 1
    weight.copy_(std * mixed.view_as(weight))


def look_up(weight: Tensor, codes: Tensor, taps: int, presence: Tensor | None = None) -> Tensor:
    """Convolution of K taps over one-hot vectors, as sums of rows: codes (B, K - 1 + T) -> (B, T, C).

    weight (K * V, C): the rows of the oldest tap come first. NOTHING adds nothing; presence (B, K - 1 + T) weighs rows.
    """
    if presence is None and weight.dtype == torch.float32 and takes_passes(weight):
        return LookUp.apply(weight, codes, taps)
    there = (codes != NOTHING).to(weight.dtype)
    if presence is not None:
        there = there * presence
    batch, steps, values = codes.shape[0], codes.shape[1] - taps + 1, weight.shape[0] // taps
    first_rows = torch.arange(taps, device=codes.device) * values
    rows = codes.clamp(min=0).unfold(1, taps, 1) + first_rows  # (B, T, K)
    weights = there.unfold(1, taps, 1)  # (B, T, K)
    x = F.embedding_bag(rows.reshape(-1, taps), weight, mode="sum", per_sample_weights=weights.reshape(-1, taps))
    return x.view(batch, steps, -1)


class TokenConv(nn.Module):
    """Convolution of K taps over tokens as a network hears them: codes (B, K - 1 + T, *shape) -> (B, C, T).

    Categorical tokens are heard as one-hot vectors, by sums of looked-up rows; binary vectors and amplitudes as
    numbers. weight (K * F, C), F numbers heard of a token: the rows of the oldest tap come first. NOTHING adds nothing.
    """

    def __init__(
        self, tokens: TokenSpec, channels: int, taps: int, bias: bool = True, weight: nn.Parameter | None = None
    ) -> None:
        """weight: given, so that nothing is drawn."""
        super().__init__()
        self.tokens, self.taps = tokens, taps
        self.one_hot = tokens.kind in ("categorical", "pixels")
        self.rows = tokens.values if self.one_hot else math.prod(tokens.shape)  # F
        self.weight = nn.Parameter(torch.empty(taps * self.rows, channels)) if weight is None else weight
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        if weight is not None:
            return
        # One row per tap is heard at a time: unit variance of their sum.
        if tokens.ordered and self.one_hot:
            for rows in self.weight.split(self.rows):
                begin_smooth(rows, 1 / math.sqrt(taps))
        else:
            nn.init.normal_(self.weight, std=1 / math.sqrt(taps))

    def forward(self, codes: Tensor, presence: Tensor | None = None) -> Tensor:
        """codes int64 (B, K - 1 + T, *shape); presence (B, K - 1 + T), if given, weighs what is heard of each code."""
        return self.rows_of(codes, presence).transpose(1, 2)

    def rows_of(self, codes: Tensor, presence: Tensor | None = None) -> Tensor:
        """The same with the channels of a token side by side: (B, T, C)."""
        x = look_up(self.weight, codes, self.taps, presence) if self.one_hot else self._multiply(codes, presence)
        return x if self.bias is None else x + self.bias

    def _multiply(self, codes: Tensor, presence: Tensor | None) -> Tensor:
        x = heard(codes, self.tokens, self.weight.dtype)  # (B, K - 1 + T, F)
        if presence is not None:
            x = x * presence[..., None]
        kernel = self.weight.view(self.taps, self.rows, -1).permute(2, 1, 0)  # (C, F, K)
        return F.conv1d(x.transpose(1, 2), kernel).transpose(1, 2)
