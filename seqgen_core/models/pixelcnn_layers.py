"""Layers of the Gated PixelCNN: one step of its two stacks over whole rows, or of the horizontal one at one pixel.

Source: van den Oord et al. 2016, arXiv:1606.05328, section 2 and figure 2; order of the colours: arXiv:1601.06759,
section 3.4.
Axes: B batch, H rows, W columns, C channels, K taps.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.models.blocks import gated
from seqgen_core.models.heads import Head
from seqgen_core.models.pixelcnn_state import after
from seqgen_core.settings.model import PixelcnnSettings
from seqgen_core.settings.tokens import PixelTokens

GATE_GAIN = 3.0
"""tanh(x) σ(y) of standard normal x and y has a standard deviation of 0.34. No residual connection helps the vertical
stack along, so its first weights make up for that, and what a deep layer hears of the rows above is not lost."""
LABEL_STD = 0.1
"""Of the class vectors at first: far quieter than what is heard of the image."""


def shares(channels: int, colours: int) -> list[int]:
    """Edges of the groups into which the colours part the channels: colour c has those from edge c to edge c + 1."""
    return [channels * colour // colours for colour in range(colours + 1)]


def looked_at(kernel_size: int, image: PixelTokens) -> tuple[int, int]:
    """Rows above and columns on each side that a kernel looks at, without those that no pixel of the image has."""
    return min(kernel_size // 2, image.height - 1), min(kernel_size // 2, image.width - 1)


class ColourConv(nn.Module):
    """Convolution over the pixels to the left and this one, in which no colour's channels hear a later colour's.

    inputs, outputs: edges of the colours' groups. left: taps before this pixel. own: whether a colour hears itself in
    this pixel (mask B) or only the earlier colours (mask A); with mask A and one colour this pixel has no tap at all.
    """

    mask: Tensor | None

    def __init__(self, inputs: list[int], outputs: list[int], left: int, *, own: bool, bias: bool = True) -> None:
        super().__init__()
        colours = len(inputs) - 1
        self.inputs, self.outputs, self.left, self.here = inputs, outputs, left, own or colours > 1
        drawn = nn.Conv2d(inputs[-1], outputs[-1], (1, left + self.here), bias=bias)
        self.weight, self.bias = drawn.weight, drawn.bias  # (outputs, inputs, 1, K), the leftmost tap first
        mask = torch.ones(self.weight.shape, dtype=torch.bool) if colours > 1 else None
        self.masked = 0  # weights that stay zero
        if mask is not None:
            for colour, (first, stop) in enumerate(pairwise(outputs)):
                mask[first:stop, inputs[colour + own] :, :, -1] = False
                self.masked += (stop - first) * (inputs[-1] - inputs[colour + own])
        self.register_buffer("mask", mask, persistent=False)
        self._shut()

    def begin(self, head: Head) -> None:
        """First weights of the layer that makes every colour's outputs for the head."""
        for first, stop in pairwise(self.outputs):
            head.begin(self.weight.detach()[first:stop], None if self.bias is None else self.bias.detach()[first:stop])
        self._shut()

    @torch.no_grad()
    def _shut(self) -> None:
        if self.mask is not None:
            self.weight.mul_(self.mask)

    def kernel(self) -> Tensor:
        """The weights (outputs, inputs, 1, K), without gradient where they are masked."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """Whole rows: (B, inputs, H, W) -> (B, outputs, H, W)."""
        if self.left or not self.here:
            x = F.pad(x, (self.left, 0 if self.here else -1))
        return F.conv2d(x, self.kernel(), self.bias)

    def at(self, window: Tensor, colour: int) -> Tensor:
        """One colour at one pixel: window (B, inputs, K or more) up to that pixel -> (B, outputs of the colour).

        In that pixel, inputs that the colour does not hear must be zero; the last of them may be left away.
        """
        rows = slice(self.outputs[colour], self.outputs[colour + 1])
        weight = self.weight[rows, : window.shape[1]]
        window = window[:, :, : weight.shape[3]]
        return F.linear(window.flatten(1), weight.flatten(1), None if self.bias is None else self.bias[rows])


class Layer(nn.Module):
    """Figure 2 of the paper: what the vertical stack hears of the rows above enters the horizontal one's gates.

    In the horizontal stack the channels of one colour lie side by side, before the gates too.
    """

    def __init__(self, settings: PixelcnnSettings, image: PixelTokens, index: int) -> None:
        super().__init__()
        colours, channels, self.first = image.channels, settings.channels, index == 0
        up, self.side = looked_at(settings.first_kernel_size if self.first else settings.kernel_size, image)
        self.above = up if self.first else up + 1  # rows of the vertical kernel: the first one ends above the row
        self.edges = shares(channels, colours)
        heard = shares(2 * colours, colours) if self.first else self.edges
        self.vertical = self.link = self.horizontal = self.condition = None
        if up:
            self.vertical = nn.Conv2d(heard[-1], 2 * channels, (self.above, 2 * self.side + 1))
            self.link = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
            gain = 1.0 if self.first else GATE_GAIN  # intensities come through no gates
            nn.init.normal_(self.vertical.weight, std=gain / math.sqrt(self.vertical.weight[0].numel()))
        if self.side or colours > 1 or not self.first:
            before_gates = [2 * edge for edge in self.edges]
            self.horizontal = ColourConv(heard, before_gates, self.side, own=not self.first, bias=False)
        self.bias = nn.Parameter(torch.empty(2 * channels))
        nn.init.uniform_(self.bias, -1 / math.sqrt(2 * channels), 1 / math.sqrt(2 * channels))
        if settings.classes:
            self.condition = nn.Embedding(settings.classes, (4 if up else 2) * channels)
            nn.init.normal_(self.condition.weight, std=LABEL_STD)
        self.residual = ColourConv(self.edges, self.edges, 0, own=True, bias=True)

    def descend(self, x: Tensor, labels: Tensor | None, count: int, sent: int) -> tuple[Tensor, Tensor]:
        """The vertical stack: inputs (B, C, H, W) -> what it tells of the newest `sent` rows, and `count` rows of it.

        Told: (B, 2C, sent, W), the horizontal stack's bias included. Rows: (B, 2C, count, W), before the gates. Inputs
        that are missing at the top are outside of the image, and zero.
        """
        offset = self.offset(labels)
        if self.vertical is None or self.link is None:
            offset = offset.expand(x.shape[0], -1, sent, x.shape[3])
            return offset, offset
        missing = count + self.above - 1 - x.shape[2]
        z = self.vertical(F.pad(x, (self.side, self.side, missing, 0)))  # (B, 2C, count, W)
        if self.condition is not None:
            z = z + self.condition(labels)[:, : z.shape[1], None, None]
        return self.link(z[:, :, count - sent :]) + offset, z

    def offset(self, labels: Tensor | None) -> Tensor:
        """What is added before the horizontal gates everywhere: (B or 1, 2C, 1, 1)."""
        bias = self.bias[None]
        if self.condition is not None:
            bias = bias + self.condition(labels)[:, -self.bias.shape[0] :]
        return bias[:, :, None, None]

    def across(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """The horizontal stack over rows: inputs, what is told (B, 2C, H, W) -> outputs and gates (B, C, H, W)."""
        z = told if self.horizontal is None else told + self.horizontal(x)
        widths = [2 * (stop - first) for first, stop in pairwise(self.edges)]
        parts = [gated(part) for part in z.split(widths, dim=1)]
        gates = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        y = self.residual(gates)
        return (y if self.first else x + y), gates

    def at(self, window: Tensor, told: Tensor, earlier: Tensor, colour: int) -> tuple[Tensor, Tensor]:
        """The horizontal stack for one colour of one pixel: its outputs, and the gates of all colours up to it.

        window (B, inputs, K) up to the pixel; told (B, 2C); earlier: gates, of the colours before it at least.
        """
        first, stop = self.edges[colour], self.edges[colour + 1]
        z = told[:, 2 * first : 2 * stop]
        if self.horizontal is not None:
            z = z + self.horizontal.at(window, colour)
        gates = after(earlier[:, :first], gated(z))
        y = self.residual.at(gates[:, :, None], colour)
        return (y if self.first else window[:, first:stop, -1] + y), gates
