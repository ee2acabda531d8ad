"""What the convolutional models share: looking back in time, gates, and convolutions over one-hot tokens.

Axes: B batch, T time in ticks of the layer's clock, C channels, V token values, K taps, P past inputs kept.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.settings.tokens import TokenSpec

NOTHING = -1
"""Code, in kept tokens, of a time before the first token."""


def preceded(x: Tensor, past: Tensor | None, length: int) -> Tensor:
    """The newest `length` inputs (..., length) of x (..., T) after past (..., P), or after silence."""
    if past is not None:
        x = torch.cat([past, x], dim=-1)
    missing = length - x.shape[-1]
    return F.pad(x, (missing, 0)) if missing > 0 else x[..., -missing:]


def kept(x: Tensor, past: Tensor) -> Tensor:
    """What to keep after inputs x (..., T): as many of the newest as past (..., P) holds."""
    size = past.shape[-1]
    if x.shape[-1] >= size:
        return x[..., x.shape[-1] - size :].clone()  # a view would hold on to all of x
    return torch.cat([past[..., x.shape[-1] :], x], dim=-1)


def gated(x: Tensor) -> Tensor:
    """tanh of the first half of the channels times the sigmoid of the second: (B, 2C, T) -> (B, C, T)."""
    signal, gate = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(gate)


def convolve(conv: nn.Conv1d, window: Tensor) -> Tensor:
    """conv(window) without padding; a single output skips the inputs between the taps of a dilated convolution."""
    dilation = conv.dilation[0]
    if dilation > 1 and window.shape[2] == (conv.kernel_size[0] - 1) * dilation + 1:
        return F.conv1d(window[:, :, ::dilation], conv.weight, conv.bias)
    return conv(window)


def to_outputs(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A 1×1 convolution into the outputs of every token: (B, C, T) -> (B, T, outputs).

    As a matrix product with time before the outputs, the order in which the head reads them, so that nothing as wide as
    the outputs is ever transposed.
    """
    return F.linear(x.transpose(1, 2), conv.weight[:, :, 0], conv.bias)


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


def begin_output(output: nn.Conv1d, ordered: bool) -> None:
    """Smooth rows for ordered codes, as wide as torch's own draw; otherwise torch's own draw stands."""
    if ordered:
        begin_smooth(output.weight, 1 / math.sqrt(3 * output.in_channels))


class TokenConv(nn.Module):
    """Convolution of K taps over one-hot tokens, as sums of looked-up rows: codes (B, K - 1 + T) -> (B, C, T).

    weight (K * V, C): the rows of the oldest tap come first. A code NOTHING adds nothing.
    """

    def __init__(self, tokens: TokenSpec, channels: int, taps: int, bias: bool = True) -> None:
        super().__init__()
        self.values, self.taps = tokens.values, taps
        values = tokens.values
        self.weight = nn.Parameter(torch.empty(taps * values, channels))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None
        # One row per tap is heard at a time: unit variance of their sum.
        if tokens.ordered:
            for rows in self.weight.split(values):
                begin_smooth(rows, 1 / math.sqrt(taps))
        else:
            nn.init.normal_(self.weight, std=1 / math.sqrt(taps))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, codes: Tensor, presence: Tensor | None = None) -> Tensor:
        """codes int64 (B, K - 1 + T); presence, where given, weighs what is heard of each code."""
        heard = (codes != NOTHING).to(self.weight.dtype)
        if presence is not None:
            heard = heard * presence
        batch, steps = codes.shape[0], codes.shape[1] - self.taps + 1
        first_rows = torch.arange(self.taps, device=codes.device) * self.values
        rows = codes.clamp(min=0).unfold(1, self.taps, 1) + first_rows  # (B, T, K)
        weights = heard.unfold(1, self.taps, 1)  # (B, T, K)
        x = F.embedding_bag(
            rows.reshape(-1, self.taps),
            self.weight,
            mode="sum",
            per_sample_weights=weights.reshape(-1, self.taps),
        )
        if self.bias is not None:
            x = x + self.bias
        return x.view(batch, steps, -1).transpose(1, 2)  # (B, C, T)
