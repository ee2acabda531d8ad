"""Seq-U-Net: a causal U-Net whose levels work at halving clocks, each level half as often as the one above.

Source: Stoller et al. 2019, arXiv:1911.06393, section 3, in the gated residual form used there for raw audio.
Changed: the clock is part of the state, so that stepping, chunks and the whole clip give the same outputs; each
transposed convolution is written as two, one for the even and one for the odd outputs.
Axes: B batch, T time in tokens, C channels, V token values, K taps, P past inputs kept by a layer, N ticks of a level.

A level with clock c ticks at the tokens number 0, c, 2c, … since the initial state, so every level ticks at the first
token. Between its ticks a slow level's newest value stands: no output waits for a tick to come.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.models.blocks import Memory, TokenConv, read_clock
from seqgen_core.models.condition import Condition
from seqgen_core.models.row_products import multiply_rows
from seqgen_core.models.rows import gated_doubling, gated_residual
from seqgen_core.models.sequnet_plan import BlockPlan, plan_ticks
from seqgen_core.models.tokens import NOTHING
from seqgen_core.settings.model import SequnetSettings
from seqgen_core.settings.tokens import TokenSpec


class Sequnet(CausalModel):
    """advance: tokens int64 (B, T, *shape), state -> outputs (B, T, head.size), next state.

    State: the clock, int64 (B,), one value for the whole batch: tokens heard modulo `period`; the newest K - 1 tokens,
    int64 (B, K - 1, *shape); then for each layer its newest inputs (B, C, P), oldest first.
    """

    def __init__(self, settings: SequnetSettings, tokens: TokenSpec) -> None:
        super().__init__(tokens, settings.mixtures)
        self.settings = settings
        channels, taps, depth, slower = settings.features, settings.kernel_size, settings.depth, settings.levels - 1
        self.period = 2**slower
        self.input = TokenConv(tokens, channels, taps)
        self.down = nn.ModuleList(_Down(channels, taps, depth) for _ in range(slower))  # fastest first
        self.bottleneck = nn.ModuleList(_Residual(channels, channels, taps) for _ in range(depth))
        self.up = nn.ModuleList(_Up(channels, taps, depth) for _ in range(slower))  # fastest first
        self.output = nn.Conv1d(channels, self.head.size, 1)
        self.head.begin(self.output.weight, self.output.bias)
        self.receptive_field = self.layer_table()[-1].receptive_field

    def initial_state(self, batch: int) -> list[Tensor]:
        """Clock 0, no tokens, silence in every layer."""
        weight = self.output.weight  # lends its device and dtype
        clock = torch.zeros(batch, dtype=torch.int64, device=weight.device)
        codes = clock.new_full((batch, self.settings.kernel_size - 1, *self.tokens.shape), NOTHING)
        return [clock, codes, *(weight.new_zeros(batch, layer.inputs, layer.past) for layer in self._each_layer())]

    def _run(
        self,
        tokens: Tensor,
        state: list[Tensor] | None,
        condition: Condition,
        last: int,
        presence: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        settings = self.settings
        begin = 0 if state is None else read_clock(state[0])
        plan = plan_ticks(begin, tokens.shape[1], last, settings.levels, settings.depth, settings.kernel_size)
        memory = Memory(None if state is None else state[2:])
        wanted = plan.entry + settings.kernel_size - 1
        before = self.initial_state(len(tokens))[1] if state is None else state[1]
        codes = torch.cat([before, tokens], dim=1)  # (B, K - 1 + T)
        if presence is not None:
            presence = F.pad(presence, (settings.kernel_size - 1, 0))[:, -wanted:]

        x = self.input.rows_of(codes[:, -wanted:], presence)  # (B, N, C)
        shortcuts = []
        for block, ticks in zip(self.down, plan.down, strict=True):
            x, shortcut = block(x, memory, ticks)
            shortcuts.append(shortcut)
        for conv, count in zip(self.bottleneck, plan.bottleneck, strict=True):
            x = conv(x, None, memory, count)
        for level in reversed(range(len(self.up))):
            x = self.up[level](x, shortcuts[level], memory, plan.up[level])
        outputs = multiply_rows(torch.relu(x), self.output.weight, self.output.bias)  # (B, last, V)

        if state is None:
            return outputs, []
        clock = (state[0] + tokens.shape[1]) % self.period
        return outputs, [clock, codes[:, tokens.shape[1] :].clone(), *memory.kept]

    def shardable(self) -> list[nn.Module]:
        """Each level on the way down and on the way up, and each convolution of the bottleneck."""
        return [*self.down, *self.bottleneck, *self.up]

    def _each_layer(self) -> Iterator["_Layer"]:
        """In the order in which a token passes through, which is the order of the state."""
        for block in [*self.down, self.bottleneck, *reversed(self.up)]:
            yield from (layer for layer in block.modules() if isinstance(layer, _Layer))

    def layer_table(self) -> list[LayerRow]:
        """The input, every convolution of the longest way through all levels, the output."""
        taps = self.settings.kernel_size
        field = taps  # tokens
        size = sum(parameter.numel() for parameter in self.input.parameters())
        rows = [LayerRow("input", taps, 1, 1, field, size, 0.0)]
        levels = [(f"down {level + 1}", 2**level, block) for level, block in enumerate(self.down)]
        levels.append(("bottleneck", self.period, self.bottleneck))
        levels += reversed([(f"up {level + 1}", 2**level, block) for level, block in enumerate(self.up)])
        for title, clock, block in levels:
            for path, layer in block.named_modules():
                if not isinstance(layer, _Layer):
                    continue
                name = path if not path[-1].isdigit() else f"conv {int(path.split('.')[-1]) + 1}"
                # A layer between two levels looks as far back as any other at the faster of its two clocks.
                field += (taps - 1) * clock
                size = sum(parameter.numel() for parameter in layer.parameters())
                weights = sum(weight.numel() for weight in layer.parameters() if weight.dim() == 3)
                out_clock = 2 * clock if isinstance(layer, _Downsample) else clock
                work = weights / (clock if isinstance(layer, _Residual) else 2 * clock)
                rows.append(LayerRow(f"{title} {name}", taps, 1, out_clock, field, size, work))
        size = sum(parameter.numel() for parameter in self.output.parameters())
        rows.append(LayerRow("output", 1, 1, 1, field, size, float(self.output.weight.numel())))
        return rows


class _Layer(nn.Module):
    """A gated convolution that is added to its input."""

    inputs: int
    """Channels that it reads."""
    past: int
    """Inputs that it keeps, P."""


class _Residual(_Layer):
    """x (B, N, C), with further channels beside it -> (B, count, C): x plus the gated convolution of both."""

    def __init__(self, inputs: int, channels: int, taps: int) -> None:
        super().__init__()
        self.inputs, self.past = inputs, taps - 1
        self.gated = nn.Conv1d(inputs, 2 * channels, taps)

    def forward(self, x: Tensor, beside: Tensor | None, memory: Memory, count: int) -> Tensor:
        if count == 0:
            memory.hold()
            return x
        past = memory.take(x, beside)
        return gated_residual(x, beside, past, self.gated.weight, self.gated.bias, count)


class _Downsample(_Layer):
    """x (B, N, C) -> (B, count, C) at half the clock; behind: 1 where the newest input is between two slow ticks."""

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.inputs, self.past = channels, taps - 1
        self.gated = nn.Conv1d(channels, 2 * channels, taps, stride=2)

    def forward(self, x: Tensor, memory: Memory, count: int, behind: int) -> Tensor:
        if x.shape[1] == 0:
            memory.hold()
            return x
        past = memory.take(x)
        if count == 0:
            return x[:, :0]
        return gated_residual(x, None, past, self.gated.weight, self.gated.bias, count, stride=2, behind=behind)


class _Upsample(_Layer):
    """Slow x (B, N, C) -> (B, count, C) at twice the clock; behind: 1 where the newest output is between slow ticks.

    A transposed convolution of stride 2 on the past alone: outputs at slow ticks see the taps number 0, 2, 4, …,
    outputs between them the taps 1, 3, …, both counted from the newest slow input, which has just come in the one case
    and still stands in the other.
    """

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.inputs, self.past = channels, (taps - 1) // 2
        self.even = nn.Conv1d(channels, 2 * channels, (taps + 1) // 2)
        self.odd = nn.Conv1d(channels, 2 * channels, (taps - 1) // 2, bias=False)  # has the bias of the even

    def forward(self, x: Tensor, memory: Memory, count: int, behind: int) -> Tensor:
        if count == 0:
            memory.hold()
            return x
        assert self.even.bias is not None
        past = memory.take(x)
        return gated_doubling(x, past, self.even.weight, self.odd.weight, self.even.bias, count, behind)


class _Down(nn.Module):
    """One level on the way down: features for the shortcut, and these at half the clock."""

    def __init__(self, channels: int, taps: int, depth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_Residual(channels, channels, taps) for _ in range(depth))
        self.downsample = _Downsample(channels, taps)

    def forward(self, x: Tensor, memory: Memory, ticks: BlockPlan) -> tuple[Tensor, Tensor]:
        for conv, count in zip(self.convs, ticks.convs, strict=True):
            x = conv(x, None, memory, count)
        return self.downsample(x, memory, ticks.resampled, ticks.behind), x


class _Up(nn.Module):
    """One level on the way up: the slower level's features are put beside the shortcut, which they change."""

    def __init__(self, channels: int, taps: int, depth: int) -> None:
        super().__init__()
        self.upsample = _Upsample(channels, taps)
        self.convs = nn.ModuleList(_Residual(2 * channels, channels, taps) for _ in range(depth))

    def forward(self, x: Tensor, shortcut: Tensor, memory: Memory, ticks: BlockPlan) -> Tensor:
        beside = self.upsample(x, memory, ticks.resampled, ticks.behind)
        for conv, count in zip(self.convs, ticks.convs, strict=True):
            shortcut = conv(shortcut, beside, memory, count)
        return shortcut


MODEL = Sequnet
