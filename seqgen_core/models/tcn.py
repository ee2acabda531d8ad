"""TCN: residual blocks of two dilated causal convolutions each, whose dilation doubles from block to block.

Source: Bai, Kolter and Koltun 2018, arXiv:1803.01271, section 3, and the options of its experiments: weight
normalisation, dropout, an embedding of the tokens, tied weights. With tied weights the last block has as many channels
as the embedding, as in the experiments on text.
Changed: where tokens enter the first block as they are, a 1×1 convolution always matches them to its channels. Left
out: dropout of whole channels, which the paper speaks of in section 3.4 but its code does not do.
Axes: B batch, T time in tokens, C channels, E numbers in the vector of a token, K taps, P past inputs kept by a layer.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.models.blocks import Memory, TokenConv
from seqgen_core.models.condition import Condition
from seqgen_core.models.embedding import Entry, Exit, Heard, convolve_heard, newest, weigh
from seqgen_core.models.rows import preceded_rows
from seqgen_core.settings.model import TcnSettings
from seqgen_core.settings.tokens import TokenSpec

MATCH_STD = 0.01
"""Of the first weights of the 1×1 convolutions that match numbers of channels, as in the authors' code."""


class Tcn(CausalModel):
    """advance: tokens int64 (B, T, *shape), state -> outputs (B, T, head.size), next state.

    State: the newest K - 1 tokens, int64 (B, K - 1, *shape); then for each further convolution its newest inputs
    (B, C, P), oldest first.
    """

    def __init__(self, settings: TcnSettings, tokens: TokenSpec) -> None:
        super().__init__(tokens, settings.mixtures)
        self.settings = settings
        taps, inputs = settings.kernel_size, settings.embedding
        self.entry = Entry(tokens, taps, settings.embedding, settings.embedding_dropout)
        blocks = []
        for level in range(settings.levels):
            tied = settings.tied and level == settings.levels - 1
            channels = settings.embedding if tied else settings.channels
            if level == 0:
                first = self.entry.convolution(channels, taps)
                match = self.entry.convolution(channels, 1) if inputs != channels else None
            else:
                first = nn.Conv1d(inputs, channels, taps, dilation=2**level)
                match = nn.Conv1d(inputs, channels, 1) if inputs != channels else None
            blocks.append(Block(first, match, channels, taps, level, settings.dropout))
            inputs = channels
        self.blocks = nn.ModuleList(blocks)
        self.exit = Exit(inputs, self.head, self.entry, settings.tied)
        self.receptive_field = 1 + 2 * sum(block.past for block in self._each_block())

    def initial_state(self, batch: int) -> list[Tensor]:
        """No tokens, silence in every layer."""
        bias = self.exit.bias  # lends its device and dtype
        state = [self.entry.silence(batch, bias.device)]
        inputs = None
        for block in self._each_block():
            pasts = (block.channels,) if inputs is None else (inputs, block.channels)
            state += [bias.new_zeros(batch, channels, block.past) for channels in pasts]
            inputs = block.channels
        return state

    def _run(
        self,
        tokens: Tensor,
        state: list[Tensor] | None,
        condition: Condition,
        last: int,
        presence: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        total = tokens.shape[1]
        memory = Memory(None if state is None else state[1:])
        # From its start on, each convolution's outputs are needed to reach the outputs that are asked for.
        reach = last + 2 * sum(block.past for block in self._each_block())
        x = None
        for block in self._each_block():
            first, second = min(total, reach - block.past), min(total, reach - 2 * block.past)
            reach -= 2 * block.past
            if x is None:
                heard = self.entry.hear(tokens, None if state is None else state[0], presence, first)
            else:
                heard = preceded_rows(x, memory.take(x), first + block.past), None
            x = block(heard, memory, second)  # (B, second, C)
        assert x is not None
        outputs = self.exit(x, self.entry)  # (B, last, head.size)
        return outputs, [] if state is None else [self.entry.kept(tokens, state[0]), *memory.kept]

    def shardable(self) -> list[nn.Module]:
        """Each block."""
        return list(self.blocks)

    def _each_block(self) -> Iterator["Block"]:
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def layer_table(self) -> list[LayerRow]:
        """The embedding, each block's convolutions and match, the output."""
        taps, rows, field = self.settings.kernel_size, [], 1
        if self.entry.table is not None:
            rows.append(LayerRow("embedding", 1, 1, 1, field, *weigh(self.entry.table)))
        for level, block in enumerate(self._each_block()):
            for name, conv in (("conv 1", block.first), ("conv 2", block.second)):
                field += block.past
                rows.append(LayerRow(f"block {level + 1} {name}", taps, block.dilation, 1, field, *weigh(conv)))
            if block.match is not None:
                rows.append(LayerRow(f"block {level + 1} match", 1, 1, 1, field, *weigh(block.match)))
        return [*rows, LayerRow("output", 1, 1, 1, field, *self.exit.weigh(self.entry))]


class Block(nn.Module):
    """Figure 1 (b) of the paper: two convolutions, each with ReLU and dropout, added to what went in, and a ReLU."""

    def __init__(
        self,
        first: nn.Conv1d | TokenConv,
        match: nn.Module | None,
        channels: int,
        taps: int,
        level: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dilation, self.dropout, self.channels = 2**level, dropout, channels
        self.past = (taps - 1) * self.dilation  # P of either convolution
        self.first = weight_norm(first, dim=1 if isinstance(first, TokenConv) else 0)  # a norm for each output channel
        self.second = weight_norm(nn.Conv1d(channels, channels, taps, dilation=self.dilation))
        self.match = match
        if isinstance(match, nn.Conv1d):
            nn.init.normal_(match.weight, std=MATCH_STD)

    def forward(self, heard: Heard, memory: Memory, count: int) -> Tensor:
        """The inputs that the first convolution needs -> the newest outputs (B, count, C)."""
        x = self._drop(torch.relu(convolve_heard(self.first, heard)))
        x = preceded_rows(x, memory.take(x), count + self.past)
        x = self._drop(torch.relu(convolve_heard(self.second, (x, None))))
        around = newest(heard, count)
        return torch.relu(x + (around[0] if self.match is None else convolve_heard(self.match, around)))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


MODEL = Tcn
