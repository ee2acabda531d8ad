"""What the Gated PixelCNN keeps from token to token, and small things to do with it.

Axes: B batch, H rows, W columns, C channels, K taps, L layers.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class State(NamedTuple):
    """The row in hand is that of the newest output, the pixel in hand its pixel."""

    clock: Tensor
    """Tokens heard, int64 (B,), one value for the whole batch."""
    codes: Tensor
    """Intensities, int64 (B, H, W, colours), of the rows above that in hand that the first layer looks at."""
    row: Tensor
    """Intensities, int64 (B, W, colours), of the row in hand as far as they are known."""
    above: Tensor
    """Inputs of the later layers' vertical stack (B, L - 1, C, H, W): the newest rows, that in hand included."""
    told: Tensor
    """What the vertical stack tells of the row in hand (B, W, L, 2C): a pixel's numbers lie side by side."""
    beside: Tensor
    """Inputs of the later layers' horizontal stack, as many pixels as it looks at to the left (B, L - 1, C, K - 1)."""
    early: Tensor
    """Outputs of the horizontal stack for the pixel in hand (B, L, C'), C' channels of all colours but the last."""
    gates: Tensor
    """The gates behind these outputs (B, L, C')."""
    mixed: Tensor
    """What of these goes to the output layer (B, C')."""


def after(earlier: Tensor, x: Tensor) -> Tensor:
    """Channels of one colour x (B, C) after those of the earlier colours (B, C'), if there are any."""
    return torch.cat([earlier, x], dim=1) if earlier.shape[1] else x


def widened(x: Tensor, channels: int) -> Tensor:
    """x (B, C) with silent channels after its own."""
    return x if x.shape[1] == channels else F.pad(x, (0, channels - x.shape[1]))


def pixel_by_pixel(rows: list[Tensor]) -> Tensor:
    """The newest row of every layer's (B, 2C, H, W), laid out (B, W, L, 2C)."""
    return torch.stack([part[:, :, -1].transpose(1, 2) for part in rows], dim=2)


def stacked(parts: list[Tensor], like: Tensor) -> Tensor:
    """What all layers keep, in one tensor of the state; with a single layer there may be nothing."""
    return torch.stack(parts, dim=1).to(like) if parts else like
