"""SampleRNN: recurrent tiers, each at a faster clock than the one above, over a network that scores the next token.

Source: Mehri et al. 2017, arXiv:1612.07837, section 2, with details of the authors' code: codes are heard by the tiers
as numbers in [-2, 2]; the sample-level network has no ReLU after its first layer; all layers but the embedding are
weight-normalised; forget gates begin open.
Changed: any number of tiers, from a list of frame sizes. A tier of frame size S ticks at the tokens number 0, S, 2S, …
since the initial state, hears the S newest tokens and tells of the next S outputs; so a stream needs no silence before
it, and a training window of a multiple of the period cuts no frame in two. The GRU is torch's, which resets the past
after its weights, the authors' before them: as many parameters. First weights are as loud as He's only behind a ReLU,
so that outputs begin quiet. Symbols without an order are heard through their embedding, binary vectors as they are.
Left out: the slowest tier's own predictions of its whole frame, which the authors' three-tier code holds and which
reach no output; `reference_parameters` counts them, and nothing else differs in number.
Axes: B batch, T time in tokens, N ticks of a tier, C channels, V token values, F numbers heard of a token, S tokens of
a frame, R ticks of the next faster tier in a frame.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.models.blocks import TokenConv, begin_smooth, read_clock
from seqgen_core.models.condition import Condition
from seqgen_core.models.samplernn_layers import (
    Recurrent,
    Tier,
    VectorConv,
    begin_uniform,
    hear_vectors,
    linear,
    normalised,
)
from seqgen_core.models.tokens import NOTHING, heard
from seqgen_core.settings.model import SamplernnSettings
from seqgen_core.settings.tokens import TokenSpec

LOUDNESS = 2.0
"""Tiers hear ordered codes and amplitudes as numbers between ± this."""


class SampleRNN(CausalModel):
    """advance: tokens int64 (B, T, *shape), state -> outputs (B, T, head.size), next state.

    State: the clock, int64 (B,), one value for the whole batch: tokens heard modulo `period`; the newest period - 1
    tokens, int64 (B, period - 1, *shape); then for each tier, slowest first, what its layers remember, each (B, C), and
    what it told of its newest frame (B, R, C).
    """

    def __init__(self, settings: SamplernnSettings, tokens: TokenSpec) -> None:
        super().__init__(tokens, settings.mixtures)
        self.settings = settings
        self.receptive_field = None
        channels, sizes, norm = settings.channels, settings.frame_sizes, settings.weight_norm
        self.period = sizes[0]
        self.symbols = symbols = tokens.kind in ("categorical", "pixels")
        self.embedding = nn.Embedding(tokens.values, settings.embedding) if symbols and settings.embedding else None
        if self.embedding is not None and tokens.ordered:
            begin_smooth(self.embedding.weight, 1.0)
        numbers = math.prod(tokens.shape)  # F
        if symbols and not tokens.ordered:
            numbers = settings.embedding or tokens.values
        self.tiers = nn.ModuleList(
            Tier(settings, size, size // finer, size * numbers, slowest=index == 0)
            for index, (size, finer) in enumerate(zip(sizes, [*sizes[1:], 1], strict=True))
        )
        self.newest: TokenConv | VectorConv
        if self.embedding is not None:
            self.newest = VectorConv(tokens, settings.embedding, channels, sizes[-1], norm)
        else:
            self.newest = TokenConv(tokens, channels, sizes[-1], bias=False)
            if not symbols:  # numbers, all of which are heard at once
                begin_uniform(self.newest.weight, len(self.newest.weight))
            normalised(self.newest, "weight", norm, dim=1)
        # Only what a ReLU halves has to be made louder again.
        self.hidden = nn.ModuleList(linear(channels, channels, norm, gain=gain) for gain in (1, 2))
        self.output = linear(channels, self.head.size, False)
        self.head.begin(self.output.weight, self.output.bias)
        normalised(self.output, "weight", norm)

    def initial_state(self, batch: int) -> list[Tensor]:
        """Clock 0, no tokens, nothing told; of each layer what it learnt to begin with, which gradients reach."""
        clock = torch.zeros(batch, dtype=torch.int64, device=self.output.bias.device)
        state = [clock, clock.new_full((batch, self.period - 1, *self.tokens.shape), NOTHING)]
        for tier in self._each_tier():
            state += tier.initial_state(batch)
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
        begin = 0 if state is None else read_clock(state[0])
        given = self.initial_state(len(tokens)) if state is None else state
        codes = torch.cat([given[1], tokens], dim=1)  # (B, period - 1 + T, *shape)
        if presence is not None:
            presence = F.pad(presence, (self.period - 1, 0))

        past, told, kept = given[2:], None, []
        for tier in self._each_tier():
            *layers, tells = past[: tier.kept]
            past = past[tier.kept :]
            finer = tier.size // tier.ratio
            first, ticks = _ticks(begin, total, tier.size)
            first_finer, ticks_finer = _ticks(begin, total, finer)
            # The faster tier's first ticks may lie in a frame of which all was told before.
            place = (begin + first_finer) % tier.size // finer
            lasting, unwanted = tells[:, place:], 0
            if ticks:
                frames = self._frames(codes, presence, first, ticks, tier.size)
                y, layers = tier(frames, told, layers)  # (B, N, C)
                if tier is self.tiers[-1]:
                    unwanted = (total - last) // tier.size
                fresh = tier.tell(y[:, unwanted:])  # (B, (N - unwanted) R, C)
                tells = fresh[:, -tier.ratio :].to(tells.dtype, copy=True)  # a view would hold on to all of it
                told = torch.cat([lasting, fresh], dim=1) if place else fresh
            else:
                told = lasting
            told = told[:, : ticks_finer - unwanted * tier.ratio]
            kept += [*layers, tells]
        assert told is not None

        wanted = last + self.newest.taps - 1
        newest = codes[:, -wanted:], presence[:, -wanted:] if presence is not None else None
        if self.embedding is not None and isinstance(self.newest, VectorConv):
            x = self.newest(*newest, self.embedding.weight)
        else:
            x = self.newest(*newest)
        x = x.transpose(1, 2) + told[:, -last:]  # (B, last, C)
        for layer in self.hidden:
            x = torch.relu(layer(x))
        outputs = self.output(x)
        if state is None:
            return outputs, []
        return outputs, [(state[0] + total) % self.period, codes[:, total:].clone(), *kept]

    def _frames(self, codes: Tensor, presence: Tensor | None, first: int, ticks: int, size: int) -> Tensor:
        """What is heard of the newest tokens at each tick, (B, N, S F); the first tick is at token `first`."""
        start = self.period + first - size
        codes = codes[:, start : start + ticks * size]
        presence = presence[:, start : start + ticks * size] if presence is not None else None
        if self.tokens.ordered or not self.symbols:
            x = heard(codes, self.tokens, self.output.bias.dtype)  # (B, N S, F)
            x = x * LOUDNESS if self.tokens.ordered else x
        elif self.embedding is not None:
            x = hear_vectors(codes, self.embedding.weight)
        else:
            x = F.one_hot(codes.clamp(min=0), self.tokens.values) * (codes != NOTHING)[..., None].to(self.output.bias)
        if presence is not None:
            x = x * presence[..., None]
        return x.view(len(x), ticks, -1)

    def _each_tier(self) -> Iterator[Tier]:
        for tier in self.tiers:
            assert isinstance(tier, Tier)
            yield tier

    def fold(self) -> "SampleRNN":
        """Also multiply the embedding out, so that the sample-level network only adds rows up."""
        super().fold()
        if self.embedding is not None and isinstance(self.newest, VectorConv):
            self.newest = self.newest.folded(self.embedding.weight)
            if self.tokens.ordered:
                self.embedding = None
        return self

    @property
    def reference_parameters(self) -> int:
        """With the slowest of several tiers' own predictions of its whole frame, which reach no output."""
        if len(self.settings.frame_sizes) == 1:
            return self.parameter_count
        predictions = self.period * self.head.size
        return self.parameter_count + predictions * (self.settings.channels + 1 + self.settings.weight_norm)

    def layer_table(self) -> list[LayerRow]:
        """Each tier's layers, slowest first; then the layers of the sample-level network."""
        rows = []
        for number, tier in enumerate(self._each_tier(), start=1):
            hears_frames = tier.layers[0] if tier.expand is None else tier.expand
            parts: list[tuple[str, nn.Module]] = [] if tier.expand is None else [("frame", tier.expand)]
            parts += [(f"layer {index + 1}", layer) for index, layer in enumerate(tier.layers)]
            parts += [(f"skip {index + 1}", layer) for index, layer in enumerate(tier.skips)]
            for name, layer in parts:
                rows.append(_row(f"tier {number} {name}", layer, tier.size, tier.size if layer is hears_frames else 1))
            finer = tier.size // tier.ratio
            rows.append(_row(f"tier {number} upsampling", tier.upsample, tier.size, 1, finer))
        if self.embedding is not None:
            rows.append(LayerRow("embedding", 1, 1, 1, 1, self.embedding.weight.numel(), 0.0))
        taps = self.newest.taps
        size = sum(parameter.numel() for parameter in self.newest.parameters())
        work = 0 if self.symbols else taps * math.prod(self.tokens.shape) * self.settings.channels
        rows.append(LayerRow("newest tokens", taps, 1, 1, taps, size, float(work)))
        rows += [_row(f"hidden {index + 1}", layer, 1) for index, layer in enumerate(self.hidden)]
        return [*rows, _row("output", self.output, 1)]


def _ticks(begin: int, total: int, size: int) -> tuple[int, int]:
    """Of tokens number begin to begin + total - 1: the first at a multiple of size, counted from begin; how many."""
    first = -begin % size
    return first, -(-(total - first) // size)


def _row(name: str, layer: nn.Module, size: int, kernel: int = 1, clock: int | None = None) -> LayerRow:
    """A layer that works at every size-th token and depends on all that came before."""
    # Weights that are normalised are computed, not parameters.
    names = ("input_weight", "past_weight") if isinstance(layer, Recurrent) else ("weight",)
    weights = sum(getattr(layer, weight).numel() for weight in names)
    parameters = sum(parameter.numel() for parameter in layer.parameters())
    return LayerRow(name, kernel, 1, clock or size, None, parameters, weights / size)


MODEL = SampleRNN
