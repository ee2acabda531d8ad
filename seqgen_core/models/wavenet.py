"""WaveNet: stacks of dilated causal convolutions that score the next token.

Source: van den Oord et al. 2016, arXiv:1609.03499, sections 2.1 to 2.5.
Changed: the last layer's residual 1×1 convolution, which reaches no output, is left out; skip connections can be
averaged; a token can enter by a table of vectors; features for local conditioning come at the rate of the tokens,
interpolated between frames rather than by a learned upsampling, which the paper found a little better than repeating
them. Left out: context stacks.
Axes: B batch, T time in tokens, C channels, V token values, F features per token, P past inputs kept by a layer.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.models.blocks import TokenConv, begin_smooth, convolve, gated, kept, preceded, to_outputs
from seqgen_core.models.condition import Condition
from seqgen_core.settings.model import WaveNetSettings
from seqgen_core.settings.tokens import TokenSpec


class WaveNet(CausalModel):
    """advance: tokens int64 (B, T, *shape), state -> outputs (B, T, head.size), next state.

    State: for each layer its newest inputs (B, residual channels, P), oldest first.
    """

    def __init__(self, settings: WaveNetSettings, tokens: TokenSpec) -> None:
        super().__init__(tokens, settings.mixtures)
        self.settings = settings
        self.classes, self.local_features = settings.classes, settings.local_features
        channels, skips = settings.residual_channels, settings.skip_channels
        count = settings.stacks * settings.layers
        dilations = [2 ** (index % settings.layers) for index in range(count)]  # tokens between taps
        if settings.input == "one-hot" or tokens.kind not in ("categorical", "pixels"):
            self.input = TokenConv(tokens, channels, taps=1, bias=settings.bias)
        else:
            self.input = nn.Embedding(tokens.values, channels)
            if tokens.ordered:
                begin_smooth(self.input.weight, 1.0)
        self.layers = nn.ModuleList(
            Layer(settings, dilation, final=index == count - 1) for index, dilation in enumerate(dilations)
        )
        width = settings.output_channels or skips
        self.mix = nn.Conv1d(skips, width, 1)
        self.output = nn.Conv1d(width, self.head.size, 1)
        self.head.begin(self.output.weight, self.output.bias)
        self.receptive_field = 1 + sum(layer.past for layer in self._each_layer())

    def initial_state(self, batch: int) -> list[Tensor]:
        """Silence: zeros (B, C, P) for each layer."""
        weight = self.mix.weight  # lends its device and dtype
        channels = self.settings.residual_channels
        return [weight.new_zeros(batch, channels, layer.past) for layer in self._each_layer()]

    def _run(
        self,
        tokens: Tensor,
        state: list[Tensor] | None,
        condition: Condition,
        last: int,
        presence: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        total = tokens.shape[1]
        x = self._enter(tokens, presence)  # (B, C, T)
        told = None if condition.features is None else condition.features.transpose(1, 2)  # (B, F, T)
        # From its start on, each layer's outputs are needed to reach the outputs that are asked for.
        reach = last + sum(layer.past for layer in self._each_layer())
        skip, next_state = None, []
        for index, layer in enumerate(self._each_layer()):
            past = None if state is None else state[index]
            if past is not None:
                next_state.append(kept(x, past))
            reach -= layer.past
            x, sent = layer(x, past, condition.labels, told, min(total, reach), last)
            skip = sent if skip is None else skip + sent  # (B, skips, last)
        assert skip is not None
        if self.settings.skip == "mean":
            skip = skip / len(self.layers)
        x = torch.relu(self.mix(torch.relu(skip)))
        return to_outputs(self.output, x), next_state  # (B, last, V)

    def _enter(self, tokens: Tensor, presence: Tensor | None) -> Tensor:
        if isinstance(self.input, TokenConv):
            return self.input(tokens, presence)
        x = self.input(tokens)  # (B, T, C)
        if presence is not None:
            x = x * presence[:, :, None]
        return x.transpose(1, 2)

    def _each_layer(self) -> Iterator["Layer"]:
        for layer in self.layers:
            assert isinstance(layer, Layer)
            yield layer

    @property
    def reference_parameters(self) -> int:
        """With the last layer's residual 1×1 convolution, which reaches no output."""
        settings = self.settings
        unused = settings.residual_channels * (settings.dilation_channels + settings.bias)
        return self.parameter_count + unused

    def layer_table(self) -> list[LayerRow]:
        """The input, every layer with its 1×1 convolutions, the output."""
        settings = self.settings
        entry = sum(parameter.numel() for parameter in self.input.parameters())
        rows = [LayerRow("input", 1, 1, 1, 1, entry, 0.0)]
        field = 1
        for index, layer in enumerate(self._each_layer()):
            field += layer.past
            name = f"stack {index // settings.layers + 1} layer {index % settings.layers + 1}"
            size = sum(parameter.numel() for parameter in layer.parameters())
            work = sum(conv.weight.numel() for conv in layer.modules() if isinstance(conv, nn.Conv1d))
            rows.append(LayerRow(name, settings.kernel_size, layer.dilation, 1, field, size, float(work)))
        for name, conv in (("mix", self.mix), ("output", self.output)):
            size = sum(parameter.numel() for parameter in conv.parameters())
            rows.append(LayerRow(name, 1, 1, 1, field, size, float(conv.weight.numel())))
        return rows


class Layer(nn.Module):
    """Figure 4 of the paper: gated dilated convolution, then 1×1 convolutions to the residual and the skip path."""

    def __init__(self, settings: WaveNetSettings, dilation: int, final: bool) -> None:
        super().__init__()
        channels, inner, bias = settings.residual_channels, settings.dilation_channels, settings.bias
        self.dilation = dilation
        self.past = (settings.kernel_size - 1) * dilation  # P
        self.gated = nn.Conv1d(channels, 2 * inner, settings.kernel_size, dilation=dilation, bias=bias)
        self.condition = nn.Embedding(settings.classes, 2 * inner) if settings.classes else None
        # Without a bias: the gated convolution has one, and features of zeros say nothing.
        self.local = nn.Conv1d(settings.local_features, 2 * inner, 1, bias=False) if settings.local_features else None
        self.residual = None if final else nn.Conv1d(inner, channels, 1, bias=bias)
        self.skip = nn.Conv1d(inner, settings.skip_channels, 1, bias=bias)

    def forward(
        self, x: Tensor, past: Tensor | None, labels: Tensor | None, told: Tensor | None, count: int, last: int
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, T), features (B, F, T) -> outputs (B, C, count), for the skip path (B, skips, last)."""
        z = convolve(self.gated, preceded(x, past, count + self.past))  # (B, 2 * inner, count)
        if self.condition is not None:
            z = z + self.condition(labels)[:, :, None]
        if self.local is not None and told is not None:
            z = z + self.local(told[:, :, told.shape[2] - count :])
        z = gated(z)  # (B, inner, count)
        sent = self.skip(z[:, :, count - last :])
        if self.residual is None:
            return z, sent
        return x[:, :, x.shape[2] - count :] + self.residual(z), sent


MODEL = WaveNet
