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
from seqgen_core.models.blocks import TokenConv, begin_smooth, kept
from seqgen_core.models.condition import Condition
from seqgen_core.models.row_products import multiply_rows, takes_passes
from seqgen_core.models.rows import convolve_rows, gated_rows, preceded_rows
from seqgen_core.models.wavenet_stack import LayerTensors, run_stack
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
        x = self._enter(tokens, presence)  # (B, T, C)
        if state is not None and tokens.shape[1] > 1 and takes_passes(x, *state):
            layers = [layer.tensors(past, condition) for layer, past in zip(self._each_layer(), state, strict=True)]
            skip, next_state = run_stack(x, [layer.gated.dilation[0] for layer in self._each_layer()], layers)
        else:
            skip, next_state = self._run_layers(x, state, condition, last)
        if self.settings.skip == "mean":
            skip = skip / len(self.layers)
        x = torch.relu(multiply_rows(torch.relu(skip), self.mix.weight, self.mix.bias))
        return multiply_rows(x, self.output.weight, self.output.bias), next_state  # (B, last, V)

    def _run_layers(
        self, x: Tensor, state: list[Tensor] | None, condition: Condition, last: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Inputs (B, T, C) -> sums of the skip paths (B, last, S), and the next state."""
        # From its start on, each layer's outputs are needed to reach the outputs that are asked for.
        total, reach = x.shape[1], last + sum(layer.past for layer in self._each_layer())
        skip, next_state = None, []
        for index, layer in enumerate(self._each_layer()):
            past = None if state is None else state[index]
            if past is not None:
                next_state.append(kept(x, past))
            reach -= layer.past
            x, sent = layer(x, past, condition, min(total, reach), last)
            skip = sent if skip is None else skip + sent  # (B, last, S)
        assert skip is not None
        return skip, next_state

    def _enter(self, tokens: Tensor, presence: Tensor | None) -> Tensor:
        if isinstance(self.input, TokenConv):
            return self.input.rows_of(tokens, presence)
        x = self.input(tokens)  # (B, T, C)
        return x if presence is None else x * presence[:, :, None]

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
        self, x: Tensor, past: Tensor | None, condition: Condition, count: int, last: int
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, T, C), past (B, C, P) -> outputs (B, count, C), for the skip path (B, last, S)."""
        window = preceded_rows(x, None if past is None else past.transpose(1, 2), count + self.past)
        z = convolve_rows(window, self.gated.weight, self.gated.bias, dilation=self.gated.dilation[0])
        plus = self._told(condition, count)
        z = gated_rows(z if plus is None else z + plus)  # (B, count, inner)
        sent = multiply_rows(z[:, count - last :], self.skip.weight, self.skip.bias)
        if self.residual is None:
            return z, sent
        return x[:, x.shape[1] - count :] + multiply_rows(z, self.residual.weight, self.residual.bias), sent

    def _told(self, condition: Condition, count: int) -> Tensor | None:
        """What labels and the newest features add before the gates: (B, 1 or count, 2 * inner)."""
        plus = None
        if self.condition is not None:
            plus = self.condition(condition.labels)[:, None]
        if self.local is not None and condition.features is not None:
            features = condition.features
            told = multiply_rows(features[:, features.shape[1] - count :], self.local.weight, None)
            plus = told if plus is None else plus + told
        return plus

    def tensors(self, past: Tensor, condition: Condition) -> LayerTensors:
        """What the layer computes with, told of every token."""
        count = 1 if condition.features is None else condition.features.shape[1]
        residual = self.residual
        return LayerTensors(
            past,
            self._told(condition, count),
            self.gated.weight,
            self.gated.bias,
            None if residual is None else residual.weight,
            None if residual is None else residual.bias,
            self.skip.weight,
            self.skip.bias,
        )


MODEL = WaveNet
