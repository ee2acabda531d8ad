"""Seq-U-Net, plain variant: a causal U-Net of LeakyReLU convolutions whose levels work at halving clocks.

Source: Stoller et al. 2019, arXiv:1911.06393, section 3, in the form that its experiments on text and piano rolls use:
no gates, no residual connections, one convolution per block, dropout, an embedding of the tokens, tied weights.
Changed: the clock counts from the first token and is part of the state, so that stepping, chunks and the whole clip
give the same outputs, where the authors' code lets every window end on a tick of all levels; each transposed
convolution is written as two, one for the even and one for the odd outputs; weights begin as He et al. 2015
(arXiv:1502.01852) have it, so that a deep network hears its slowest level.
Axes: B batch, T time in tokens, C channels, K taps, P past inputs kept by a layer, N ticks of a level.

Ticks are those of `sequnet`: a level with clock c ticks at the tokens number 0, c, 2c, … since the initial state.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.models.blocks import Memory, read_clock
from seqgen_core.models.condition import Condition
from seqgen_core.models.embedding import Entry, Exit, convolve_heard, weigh
from seqgen_core.models.row_products import multiply_rows
from seqgen_core.models.rows import convolve_rows, preceded_rows
from seqgen_core.models.sequnet_plan import plan_ticks
from seqgen_core.settings.model import SequnetPlainSettings
from seqgen_core.settings.tokens import TokenSpec

SLOPE = 0.01
"""Of the LeakyReLU below zero."""


class SequnetPlain(CausalModel):
    """advance: tokens int64 (B, T, *shape), state -> outputs (B, T, head.size), next state.

    State: the clock, int64 (B,), one value for the whole batch: tokens heard modulo `period`; the newest K - 1 tokens,
    int64 (B, K - 1, *shape); then for each further layer its newest inputs (B, C, P), oldest first.
    """

    def __init__(self, settings: SequnetPlainSettings, tokens: TokenSpec) -> None:
        super().__init__(tokens, settings.mixtures)
        self.settings = settings
        features, taps, faster = settings.features, settings.kernel_size, range(settings.levels - 1)
        bottom = settings.bottleneck_features or features
        self.period = 2 ** len(faster)
        self.entry = Entry(tokens, taps, settings.embedding, settings.embedding_dropout)
        self.first = self.entry.convolution(features, taps)
        self.down = nn.ModuleList(_Conv(features, features, taps) for _ in faster[1:])  # level 2 first
        self.downsample = nn.ModuleList(
            _Downsample(features, features, taps) for _ in faster
        )  # fastest first, as below
        self.bottleneck = _Conv(features, bottom, taps)
        slower = [*[features] * (len(faster) - 1), bottom]  # channels of each level's slower neighbour
        self.upsample = nn.ModuleList(_Upsample(channels, channels, taps) for channels in slower)
        self.up = nn.ModuleList(_Conv(channels + features, features, taps) for channels in slower)
        width = settings.embedding if settings.tied else features
        self.mix = nn.Conv1d(features, width, 1) if settings.tied else None
        self.exit = Exit(width, self.head, self.entry, settings.tied)
        self.receptive_field = self.layer_table()[-1].receptive_field

    def initial_state(self, batch: int) -> list[Tensor]:
        """Clock 0, no tokens, silence in every layer."""
        bias = self.exit.bias  # lends its device and dtype
        clock = torch.zeros(batch, dtype=torch.int64, device=bias.device)
        silence = self.entry.silence(batch, bias.device)
        return [clock, silence, *(bias.new_zeros(batch, layer.inputs, layer.past) for _, _, layer in self._path())]

    def _run(
        self,
        tokens: Tensor,
        state: list[Tensor] | None,
        condition: Condition,
        last: int,
        presence: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        begin = 0 if state is None else read_clock(state[0])
        plan = plan_ticks(begin, tokens.shape[1], last, self.settings.levels, 1, self.settings.kernel_size)
        memory = Memory(None if state is None else state[2:])
        heard = self.entry.hear(tokens, None if state is None else state[1], presence, plan.down[0].convs[0])
        x = self._activate(convolve_heard(self.first, heard))  # (B, N, C)
        shortcuts = []
        for level, ticks in enumerate(plan.down):
            if level:
                x = self._activate(self.down[level - 1](x, memory, ticks.convs[0]))
            shortcuts.append(x)
            x = self._activate(self.downsample[level](x, memory, ticks.resampled, ticks.behind))
        x = self._activate(self.bottleneck(x, memory, plan.bottleneck[0]))
        for level in reversed(range(len(plan.up))):
            ticks, shortcut = plan.up[level], shortcuts[level]
            x = self._activate(self.upsample[level](x, memory, ticks.resampled, ticks.behind))
            both = torch.cat([x, shortcut[:, shortcut.shape[1] - x.shape[1] :]], dim=2)
            x = self._activate(self.up[level](both, memory, ticks.convs[0]))
        outputs = self.exit(
            x if self.mix is None else multiply_rows(x, self.mix.weight, self.mix.bias), self.entry
        )  # (B, last, head.size)

        if state is None:
            return outputs, []
        clock = (state[0] + tokens.shape[1]) % self.period
        return outputs, [clock, self.entry.kept(tokens, state[1]), *memory.kept]

    def _activate(self, x: Tensor) -> Tensor:
        dropout = self.settings.dropout if self.training else 0.0
        x = F.leaky_relu(x, SLOPE)
        return F.dropout(x, dropout) if dropout else x

    def _path(self) -> Iterator[tuple[str, int, "_Layer"]]:
        """Name, faster clock and layer, in the order in which a token passes through, which is that of the state."""
        for level in range(len(self.downsample)):
            if level:
                yield f"down {level + 1} conv", 2**level, _layer(self.down[level - 1])
            yield f"down {level + 1} downsample", 2**level, _layer(self.downsample[level])
        yield "bottleneck", self.period, self.bottleneck
        for level in reversed(range(len(self.up))):
            yield f"up {level + 1} upsample", 2**level, _layer(self.upsample[level])
            yield f"up {level + 1} conv", 2**level, _layer(self.up[level])

    def layer_table(self) -> list[LayerRow]:
        """The embedding, every convolution of the longest way through all levels, the output."""
        taps, rows = self.settings.kernel_size, []
        if self.entry.table is not None:
            rows.append(LayerRow("embedding", 1, 1, 1, 1, *weigh(self.entry.table)))
        field = taps  # tokens
        rows.append(LayerRow("down 1 conv", taps, 1, 1, field, *weigh(self.first)))
        for name, clock, layer in self._path():
            # A layer between two levels looks as far back as any other at the faster of its two clocks.
            field += (taps - 1) * clock
            size = sum(parameter.numel() for parameter in layer.parameters())
            weights = sum(weight.numel() for weight in layer.parameters() if weight.dim() == 3)
            out_clock = 2 * clock if isinstance(layer, _Downsample) else clock
            work = weights / (clock if isinstance(layer, _Conv) else 2 * clock)
            rows.append(LayerRow(name, taps, 1, out_clock, field, size, work))
        if self.mix is not None:
            rows.append(LayerRow("mix", 1, 1, 1, field, *weigh(self.mix)))
        return [*rows, LayerRow("output", 1, 1, 1, field, *self.exit.weigh(self.entry))]


class _Layer(nn.Module):
    """A convolution over K ticks of the faster of its clocks."""

    def __init__(self, inputs: int, outputs: int, past: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.past = inputs, outputs, past

    def _begin(self, *convs: nn.Conv1d) -> None:
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)

    def _nothing(self, x: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], 0, self.outputs)


class _Conv(_Layer):
    """x (B, N, C) -> (B, count, outputs) at the same clock."""

    def __init__(self, inputs: int, outputs: int, taps: int) -> None:
        super().__init__(inputs, outputs, taps - 1)
        self.conv = nn.Conv1d(inputs, outputs, taps)
        self._begin(self.conv)

    def forward(self, x: Tensor, memory: Memory, count: int) -> Tensor:
        if count == 0:
            memory.hold()
            return self._nothing(x)
        return _apply(self.conv, preceded_rows(x, memory.take(x), count + self.past))


class _Downsample(_Layer):
    """x (B, N, C) -> (B, count, outputs) at half the clock; behind: 1 where the newest input is between slow ticks."""

    def __init__(self, inputs: int, outputs: int, taps: int) -> None:
        super().__init__(inputs, outputs, taps - 1)
        self.conv = nn.Conv1d(inputs, outputs, taps, stride=2)
        self._begin(self.conv)

    def forward(self, x: Tensor, memory: Memory, count: int, behind: int) -> Tensor:
        if x.shape[1] == 0:
            memory.hold()
            return self._nothing(x)
        past = memory.take(x)
        if count == 0:
            return self._nothing(x)
        return _apply(self.conv, preceded_rows(x[:, : x.shape[1] - behind], past, 2 * count - 1 + self.past))


class _Upsample(_Layer):
    """Slow x (B, N, C) -> (B, count, outputs) at twice the clock; behind: 1 where the newest output is between ticks.

    A transposed convolution of stride 2 on the past alone: outputs at slow ticks see the taps number 0, 2, 4, …,
    outputs between them the taps 1, 3, …, both counted from the newest slow input.
    """

    def __init__(self, inputs: int, outputs: int, taps: int) -> None:
        super().__init__(inputs, outputs, (taps - 1) // 2)
        self.even = nn.Conv1d(inputs, outputs, (taps + 1) // 2)
        self.odd = nn.Conv1d(inputs, outputs, (taps - 1) // 2, bias=False)  # has the bias of the even
        self._begin(self.even, self.odd)

    def forward(self, x: Tensor, memory: Memory, count: int, behind: int) -> Tensor:
        if count == 0:
            memory.hold()
            return self._nothing(x)
        past = memory.take(x)
        slow = x if past is None else torch.cat([past, x], dim=1)
        between = slow if behind else slow[:, :-1]  # what stood before the newest output at a slow tick
        if count == 1:
            return self._odd(between, 1) if behind else self._even(slow, 1)
        pairs = (count + 1) // 2
        ordered = [self._odd(between, pairs), self._even(slow, pairs)]
        if behind:
            ordered.reverse()
        return torch.stack(ordered, dim=2).flatten(1, 2)[:, 2 * pairs - count :]

    def _even(self, slow: Tensor, count: int) -> Tensor:
        return _apply(self.even, preceded_rows(slow, None, count + self.past))

    def _odd(self, slow: Tensor, count: int) -> Tensor:
        return convolve_rows(preceded_rows(slow, None, count + self.past - 1), self.odd.weight, self.even.bias)


def _apply(conv: nn.Conv1d, window: Tensor) -> Tensor:
    return convolve_rows(window, conv.weight, conv.bias, conv.stride[0])


def _layer(module: nn.Module) -> _Layer:
    assert isinstance(module, _Layer)
    return module


MODEL = SequnetPlain
