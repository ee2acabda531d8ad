"""The layers of SampleRNN: a tier, a recurrent layer whose weights may be normalised, a convolution over embeddings.

Axes: B batch, T time in tokens, N ticks of a tier, C channels, E numbers in a token's vector, K taps, V token values,
R ticks of the next faster tier in a frame.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from seqgen_core.models.blocks import TokenConv, look_up
from seqgen_core.models.recurrent import run_gru, run_lstm, takes_steps
from seqgen_core.models.tokens import NOTHING
from seqgen_core.settings.model import SamplernnSettings
from seqgen_core.settings.tokens import TokenSpec

M = TypeVar("M", bound=nn.Module)

FORGET_BIAS = 3.0
"""Of an LSTM's forget gates at first: they begin open, at 0.95."""

# Weights that are computed anew at each use, as by weight normalisation, have to be gathered for cuDNN at each use.
warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk", UserWarning)


def normalised(module: M, name: str, wanted: bool, dim: int = 0) -> M:
    """The module, its weight of that name with a norm for each index of axis `dim` (Salimans and Kingma 2016)."""
    return weight_norm(module, name, dim) if wanted else module


def linear(inputs: int, outputs: int, normalise: bool, *, bias: bool = True, gain: float = 1) -> nn.Linear:
    """A layer of uniform weights, whose outputs have `gain` times the variance of its inputs, and biases of 0."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    begin_uniform(layer.weight, inputs, gain)
    if bias:
        nn.init.zeros_(layer.bias)
    return normalised(layer, "weight", normalise)


def begin_uniform(weight: Tensor, inputs: int, gain: float = 1) -> None:
    """Fill weight with uniform numbers of variance gain / inputs."""
    edge = math.sqrt(3 * gain / inputs)
    nn.init.uniform_(weight, -edge, edge)


class Tier(nn.Module):
    """Recurrent layers at the clock of a frame: from frames, and what the slower tier tells, to what this one tells.

    size: tokens of a frame. ratio: R. inputs: numbers heard of a frame. kept: tensors of its state.
    """

    def __init__(self, settings: SamplernnSettings, size: int, ratio: int, inputs: int, slowest: bool) -> None:
        super().__init__()
        channels, norm = settings.channels, settings.weight_norm
        self.size, self.ratio, self.channels = size, ratio, channels
        # The slowest tier's first layer hears the frame itself; in the others it meets what the slower tier tells.
        self.expand = None if slowest else linear(inputs, channels, norm)
        heard = inputs if slowest else channels
        self.layers = nn.ModuleList(
            Recurrent(settings, heard if index == 0 else channels + heard * settings.skip)
            for index in range(settings.layers)
        )
        self.skips = nn.ModuleList(
            linear(channels, channels, norm, bias=index == 0)
            for index in range(settings.layers if settings.skip else 0)
        )
        self.upsample = linear(channels, ratio * channels, norm)
        self.kept = 1 + sum(layer.kept for layer in self.each_layer())

    def each_layer(self) -> Iterator["Recurrent"]:
        """The recurrent layers, the one that hears the frame first."""
        for layer in self.layers:
            assert isinstance(layer, Recurrent)
            yield layer

    def initial_state(self, batch: int) -> list[Tensor]:
        """Each layer's (B, C), two for an LSTM; then what was told of the newest frame (B, R, C), here nothing."""
        weight = self.upsample.bias  # lends its device and dtype
        state = [part for layer in self.each_layer() for part in layer.initial_state(batch, weight)]
        return [*state, weight.new_zeros(batch, self.ratio, self.channels)]

    def forward(self, frames: Tensor, told: Tensor | None, past: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """frames (B, N, inputs), told (B, N, C) -> what the last layer gives (B, N, C) and what the layers keep."""
        x = frames if self.expand is None else self.expand(frames) + told
        y, sum_of_all, kept = x, None, []
        for index, layer in enumerate(self.each_layer()):
            if index and self.skips:
                y = torch.cat([y, x], dim=2)
            y, remembered = layer(y, past[len(kept) : len(kept) + layer.kept])
            kept += remembered
            if self.skips:
                sent = self.skips[index](y)
                sum_of_all = sent if sum_of_all is None else sum_of_all + sent
        return y if sum_of_all is None else sum_of_all, kept

    def tell(self, y: Tensor) -> Tensor:
        """What is told of each tick of the faster tier: (B, N, C) -> (B, N * R, C)."""
        return self.upsample(y).view(len(y), -1, self.channels)


class Recurrent(nn.Module):
    """One layer of gated recurrent units or of long short-term memory, over all N at once.

    The weights are this module's and not those of nn.GRU, which holds on to the tensors that it was built with and so
    to old values of weights that are computed anew. As in the authors' code there is one set of biases.
    kept: tensors of its state.
    """

    def __init__(self, settings: SamplernnSettings, inputs: int) -> None:
        super().__init__()
        channels = settings.channels
        self.gru = settings.cell == "gru"
        self.kept = 1 if self.gru else 2
        gates = 3 if self.gru else 4  # torch's order: reset, update, candidate; input, forget, candidate, output
        self.input_weight = nn.Parameter(torch.empty(gates * channels, inputs))
        self.past_weight = nn.Parameter(torch.empty(gates * channels, channels))
        self.bias = nn.Parameter(torch.zeros(gates * channels))
        self.channels = channels
        self.initial = nn.Parameter(torch.zeros(self.kept, channels)) if settings.learn_initial_state else None
        begin_uniform(self.input_weight, inputs)
        begin_uniform(self.past_weight, channels)
        with torch.no_grad():
            if self.gru:
                nn.init.orthogonal_(self.past_weight[2 * channels :])
            else:
                self.bias[channels : 2 * channels] = FORGET_BIAS
        for name in ("input_weight", "past_weight"):
            normalised(self, name, settings.weight_norm)

    def initial_state(self, batch: int, like: Tensor) -> list[Tensor]:
        """Of a GRU its output, of an LSTM its output and its cells, each (B, C)."""
        initial = like.new_zeros(self.kept, self.channels) if self.initial is None else self.initial
        return [part.expand(batch, -1) for part in initial]

    def forward(self, x: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """x (B, N, inputs) after past, each (B, C) -> outputs (B, N, C) and what to keep."""
        x = x.to(past[0].dtype)
        if takes_steps(x):
            own = self.input_weight, self.past_weight, self.bias
            if self.gru:
                y = run_gru(x, past[0], *own)
                return y, [y[:, -1]]
            y, last = run_lstm(x, past[0], past[1], *own)
            return y, [y[:, -1], last]
        weights = [self.input_weight, self.past_weight, self.bias, torch.zeros_like(self.bias)]
        before = [part[None].contiguous() for part in past]
        # cuDNN keeps what the gradient needs only when told that it trains.
        options = (True, 1, 0.0, torch.is_grad_enabled(), False, True)
        if self.gru:
            y, after = torch.gru(x, before[0], weights, *options)
            return y, [after[0].to(past[0].dtype)]
        y, output, cells = torch.lstm(x, before, weights, *options)
        return y, [output[0].to(past[0].dtype), cells[0].to(past[1].dtype)]


class VectorConv(nn.Module):
    """Convolution of K taps over the vectors of symbols, without biases: codes (B, K - 1 + T) -> (B, C, T).

    The table of vectors (V, E) is given to each call. Where more outputs are asked for than there are token values,
    all products of a vector and a tap are laid out first, (K * V, C), and rows of them added: fewer multiplications.
    """

    def __init__(self, tokens: TokenSpec, embedding: int, channels: int, taps: int, normalise: bool) -> None:
        super().__init__()
        self.tokens, self.taps = tokens, taps
        self.linear = linear(taps * embedding, channels, normalise, bias=False)

    def forward(self, codes: Tensor, presence: Tensor | None, vectors: Tensor) -> Tensor:
        """presence (B, K - 1 + T), if given, weighs what is heard of each code; NOTHING adds nothing."""
        if codes.shape[0] * (codes.shape[1] - self.taps + 1) > len(vectors):
            return look_up(self.products(vectors), codes, self.taps, presence).transpose(1, 2)
        x = hear_vectors(codes, vectors)
        if presence is not None:
            x = x * presence[..., None]
        return F.conv1d(x.transpose(1, 2), self._kernel())

    def products(self, vectors: Tensor) -> Tensor:
        """Every row of vectors (V, E) times every tap: (K * V, C), the oldest tap first."""
        table = (vectors @ self._kernel().permute(2, 1, 0)).flatten(0, 1)
        return table.to(vectors.dtype)  # autocast makes it coarser, which look-ups gain nothing by

    def folded(self, vectors: Tensor) -> TokenConv:
        """The same as a convolution over one-hot vectors, whose weights are the products."""
        weight = nn.Parameter(self.products(vectors).detach(), requires_grad=vectors.requires_grad)
        return TokenConv(self.tokens, weight.shape[1], self.taps, bias=False, weight=weight)

    def _kernel(self) -> Tensor:
        weight = self.linear.weight
        return weight.view(len(weight), self.taps, -1).transpose(1, 2)  # (C, E, K)


def hear_vectors(codes: Tensor, vectors: Tensor) -> Tensor:
    """The row of vectors (V, E) of each code (B, T): (B, T, E); zeros for NOTHING."""
    return F.embedding(codes.clamp(min=0), vectors) * (codes != NOTHING)[..., None]
