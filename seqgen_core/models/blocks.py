"""What the convolutional models share: looking back in time, gates, and convolutions over one-hot tokens.

Axes: B batch, T time in ticks of the layer's clock, C channels, V token values, K taps, P past inputs kept.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


class TokenConv(nn.Module):
    """Convolution of K taps over one-hot tokens, as sums of looked-up rows: codes (B, K - 1 + T) -> (B, C, T).

    weight (K * V, C): the rows of the oldest tap come first. A code NOTHING adds nothing.
    """

    def __init__(self, values: int, channels: int, taps: int, bias: bool = True) -> None:
        super().__init__()
        self.values, self.taps = values, taps
        self.weight = nn.Parameter(torch.empty(taps * values, channels))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None
        # One row per tap is heard at a time: unit variance of their sum.
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
