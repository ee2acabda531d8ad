"""One step of a SampleRNN: the tiers whose frame begins, then the network over the newest tokens.

Changed beside the model, to the same outputs: no ReLU stands behind the first layer of the sample-level network, so its
rows and the upsampling of the fastest tier are multiplied beforehand by the weights of the first hidden layer. What a
tier tells is not upsampled for its whole frame at once: each tick of the faster tier multiplies its own slice.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seqgen_core.models.blocks import TokenConv, read_clock
from seqgen_core.models.samplernn import LOUDNESS, SampleRNN
from seqgen_core.models.samplernn_layers import Recurrent, Tier, hear_vectors
from seqgen_core.models.steps.entry import LARGEST_TABLE, heard_values, numbers_before
from seqgen_core.models.steps.program import (
    Activation,
    Gru,
    Hear,
    Layer,
    Lstm,
    Operation,
    Slot,
    Source,
    Start,
    StepProgram,
)


@torch.no_grad()
def program(model: SampleRNN) -> StepProgram:
    """The tiers, slowest first, then the sample-level network, in which no embedding and no first layer are left."""
    settings, frames = model.settings, _Frames(model)
    operations, place = [], 2  # of the first tier's state
    x: _Frames | Slot = frames
    slower: tuple[Tier, Slot] | None = None
    for number, tier in enumerate(model._each_tier(), start=1):
        name = f"tier {number}"
        if slower is not None and tier.expand is not None:
            frame, x = Slot(f"{name} frame", settings.channels), Slot(f"{name} inputs", settings.channels)
            operations.append(_layer(frame, [(frames, tier.expand.weight)], tier.expand.bias, tier.size))
            operations += _told(*slower, x, plus=frame)
        y, layers = _tier(name, tier, x, place)
        operations += layers
        slower, place = (tier, y), place + tier.kept
    assert slower is not None

    first, second = _linears(model.hidden)
    newest, mixed = Slot("newest", settings.channels), Slot("hidden 1", settings.channels)
    deeper, outputs = Slot("hidden 2", settings.channels), Slot("outputs", model.head.size)
    operations.append(_newest(model, frames, newest, first.weight))
    operations += _told(*slower, mixed, plus=newest, layer=first, activation="relu")
    operations.append(Layer(deeper, (Source(mixed),), second.weight, bias=second.bias, activation="relu"))
    operations.append(Layer(outputs, (Source(deeper),), model.output.weight, bias=model.output.bias))
    return StepProgram(
        model.tokens,
        model.head,
        (*frames.operations(operations), *operations),
        outputs,
        clock=lambda start: read_clock(start.state[0]),
        codes=_codes if model.period > 1 else None,
    )


class _Frames:
    """How the newest tokens enter a layer: multiplied as numbers or vectors, or by rows of a table of their products.

    slot: the newest token as numbers or as its vector, as far back as layers look.
    """

    def __init__(self, model: SampleRNN) -> None:
        self.tokens = model.tokens
        self.as_numbers = self.tokens.ordered or not model.symbols
        self.vectors = None if self.as_numbers or model.embedding is None else model.embedding.weight  # (V, E)
        vectors = self.vectors
        if vectors is None:
            self.slot = Slot("numbers", math.prod(self.tokens.shape), numbers_before(self.tokens, _codes))
        else:
            before = lambda start: hear_vectors(_codes(start), vectors).transpose(1, 2)  # noqa: E731
            self.slot = Slot("vectors", vectors.shape[1], before)

    def operations(self, layers: list[Operation]) -> list[Operation]:
        """What gives the slot its values, if one of the layers reads it."""
        if all(
            source.slot is not self.slot for layer in layers if isinstance(layer, Layer) for source in layer.sources
        ):
            return []
        return [Hear(self.slot, heard_values(self.tokens)) if self.as_numbers else Layer(self.slot, table=self.vectors)]

    def sources(self, columns: int) -> tuple[Source, ...]:
        """The slot's values that so many columns of a weight multiply, oldest first."""
        count = columns // self.slot.channels
        return tuple(Source(self.slot, count - 1 - index) for index in range(count))

    def table(self, weight: Tensor) -> Tensor | None:
        """Rows (S V, R) of what every symbol at every place of a frame adds to weight (R, S F) times the frame."""
        if self.as_numbers:
            return None
        if self.vectors is None:
            return weight.t()
        parts = weight.view(len(weight), -1, self.slot.channels)  # (R, S, E)
        if parts.shape[1] * len(self.vectors) * len(weight) * 4 > LARGEST_TABLE:
            return None
        return torch.einsum("ve,rse->svr", self.vectors, parts).flatten(0, 1)


Term = tuple[Slot | _Frames, Tensor]
"""What is heard, and the weight (R, C) that its newest value is multiplied with."""


def _codes(start: Start) -> Tensor:
    return start.state[1]


def _layer(out: Slot, terms: list[Term], bias: Tensor | None, every: int) -> Layer:
    """The sum of products, at the beginning of every frame."""
    sources: list[Source] = []
    weights: list[Tensor] = []
    table, taps = None, 1
    for heard, weight in terms:
        if isinstance(heard, Slot):
            sources.append(Source(heard))
            weights.append(weight)
            continue
        table = heard.table(weight)
        if table is not None:
            taps = len(table) // heard.tokens.values
        else:
            sources += heard.sources(weight.shape[1])
            weights.append(weight * LOUDNESS if heard.tokens.ordered else weight)
    weight = torch.cat(weights, dim=1) if weights else None
    return Layer(out, tuple(sources), weight, table, taps, bias, every=every)


def _tier(name: str, tier: Tier, x: _Frames | Slot, place: int) -> tuple[Slot, list[Operation]]:
    """The recurrent layers of a tier: what they tell, and how. place: of the first one's state."""
    operations: list[Operation] = []
    given, outputs = [], []
    for index, layer in enumerate(tier.each_layer()):
        heard = [x] if index == 0 else [outputs[-1], x] if tier.skips else [outputs[-1]]
        made = _recurrent(f"{name} layer {index + 1}", layer, heard, place, tier.size)
        operations += made
        given.append(place)
        outputs.append(made[-1].out)
        place += layer.kept
    if not tier.skips:
        return outputs[-1], operations
    skips = _linears(tier.skips)
    weight, bias = torch.cat([skip.weight for skip in skips], dim=1), skips[0].bias

    def sent(start: Start) -> Tensor:
        # So fine that its rounding, which depends on how many clips there are, is lost.
        past = torch.cat([start.state[place] for place in given], dim=1).double()
        return (past @ weight.double().t() + bias)[:, :, None]

    y = Slot(f"{name} skips", tier.channels, sent)
    return y, [*operations, Layer(y, tuple(map(Source, outputs)), weight, bias=bias, every=tier.size)]


def _recurrent(name: str, layer: Recurrent, heard: list[_Frames | Slot], place: int, every: int) -> list[Operation]:
    """A recurrent layer: its products, then the cell, whose output is the last operation's. place: of its state."""
    channels = layer.channels

    def kept(part: int) -> Slot:
        return Slot(
            f"{name} {('outputs', 'cells')[part]}", channels, lambda start: start.state[place + part][:, :, None]
        )

    out, inputs = kept(0), layer.input_weight.tensor_split([channels] if len(heard) > 1 else [], dim=1)

    def product(what: str, first: int, stop: int, *, fresh: bool, past: bool) -> Layer:
        """Rows of all gates, in channels, of the products with the inputs, or the past, or both."""
        rows = slice(first * channels, stop * channels)
        terms: list[Term] = [(x, weight[rows]) for x, weight in zip(heard, inputs, strict=True)] if fresh else []
        terms += [(out, layer.past_weight[rows])] if past else []
        made = Slot(f"{name} {what}", (stop - first) * channels)
        return _layer(made, terms, layer.bias[rows] if fresh else None, every)

    if not layer.gru:
        gates = product("gates", 0, 4, fresh=True, past=True)
        return [gates, Lstm(out, kept(1), gates.out, every)]
    gates = product("gates", 0, 2, fresh=True, past=True)
    fresh, past = (product(what, 2, 3, fresh=what == "fresh", past=what == "past") for what in ("fresh", "past"))
    return [gates, fresh, past, Gru(out, gates.out, fresh.out, past.out, every)]


def _told(
    tier: Tier,
    y: Slot,
    out: Slot,
    plus: Slot,
    layer: nn.Linear | None = None,
    activation: Activation = "none",
) -> list[Operation]:
    """What a tier tells each tick of the faster one, or a linear layer makes of it, beside `plus`."""
    upsampling = tier.upsample.weight.view(tier.ratio, tier.channels, -1)
    biases = tier.upsample.bias.view(tier.ratio, -1)
    if layer is not None:
        upsampling, biases = layer.weight @ upsampling, layer(biases)
    finer = tier.size // tier.ratio
    return [
        Layer(out, (Source(y),), part, bias=offset, plus=plus, activation=activation, every=tier.size, at=tick * finer)
        for tick, (part, offset) in enumerate(zip(upsampling, biases, strict=True))
    ]


def _newest(model: SampleRNN, frames: _Frames, out: Slot, weight: Tensor) -> Layer:
    """The first layer of the sample-level network, multiplied by the weight (C, C) of the next one."""
    conv = model.newest
    if not isinstance(conv, TokenConv):
        assert model.embedding is not None
        conv = conv.folded(model.embedding.weight)
    rows = conv.weight @ weight.t()  # (K F, C), oldest tap first
    if conv.one_hot:
        return Layer(out, table=rows, taps=conv.taps)
    return Layer(out, frames.sources(len(rows)), rows.t())


def _linears(modules: Iterable[nn.Module]) -> list[nn.Linear]:
    return [module for module in modules if isinstance(module, nn.Linear)]
