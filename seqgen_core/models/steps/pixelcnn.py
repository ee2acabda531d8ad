"""One step of a Gated PixelCNN: the vertical stack where a row begins, then the horizontal one for one colour.

The vertical stack runs over a whole row at once, so that its weights are read once for several columns; what it tells
turns with the pixels. In the horizontal stack each colour has layers of its own, which run at that colour's tokens and
have only the weights that the masks leave.
Axes: B batch, P past values, C channels, R rows of a weight.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from seqgen_core.models.blocks import read_clock
from seqgen_core.models.pixelcnn import Pixelcnn
from seqgen_core.models.pixelcnn_layers import ColourConv
from seqgen_core.models.pixelcnn_layers import Layer as BothStacks
from seqgen_core.models.pixelcnn_state import State, widened
from seqgen_core.models.steps.entry import heard_values
from seqgen_core.models.steps.program import (
    Activation,
    Clear,
    Layer,
    Operation,
    Rows,
    Slot,
    Source,
    Start,
    StepProgram,
    Turn,
)
from seqgen_core.models.tokens import NOTHING, heard


@torch.no_grad()
def program(model: Pixelcnn) -> StepProgram:
    """Of any token but an image's first, which says nothing: it must have been heard before the start."""
    network = _Network(model)
    told = network.descend()
    network.go_across(told)
    operations = tuple(network.operations)
    return StepProgram(model.tokens, model.head, operations, network.outputs, lambda start: read_clock(start.state[0]))


class _Hand:
    """The state at the start; intensities of the row in hand that are known; pixel and colour of the newest output."""

    def __init__(self, model: Pixelcnn, start: Start) -> None:
        self.state, self.image = State(*start.state), model.image
        known = (read_clock(self.state.clock) - 1) % model.row
        self.row = self.state.row.flatten(1)[:, :known]  # (B, P)
        self.pixel, self.colour = divmod(known, self.image.channels)

    def numbers(self, codes: Tensor) -> Tensor:
        """Intensities (B, P) as the network hears them, (B, 2, P)."""
        there = codes != NOTHING
        return torch.stack([heard(codes, self.image, torch.float32)[..., 0], there.float()], dim=1)


Begin = Callable[[_Hand], Tensor]
"""A slot's values at the start, (B, C, P)."""
BeginColour = Callable[[int, slice, _Hand], Tensor]
"""The same for the slot of one colour, from its number and its channels."""
Told = tuple[Slot | None, Tensor | None]
"""What is added before the horizontal gates of a colour: a slot (R), and biases (R)."""


class _Network:
    """The operations of a step, in the order of dependence."""

    def __init__(self, model: Pixelcnn) -> None:
        self.model, self.image, self.colours = model, model.image, model.image.channels
        self.layers = list(model._each_layer())
        self.edges = self.layers[0].edges
        self.operations: list[Operation] = []
        self.outputs = Slot("outputs", model.head.size)

    def descend(self) -> list[list[Told]]:
        """The vertical stack, which begins with the intensities above: what each layer tells each colour of the row."""
        told: list[list[Told]] = []
        source, step = None, self.colours
        for index, layer in enumerate(self.layers):
            if layer.vertical is None:
                told.append([(label, bias) for label, bias, _ in self._offsets(layer)])
                continue
            if source is None:
                source = self._hear(
                    "intensities", lambda hand: torch.cat([hand.state.codes.flatten(1), hand.row], dim=1)
                )
            weight = layer.vertical.weight.permute(0, 2, 3, 1).flatten(1)  # (2C, rows * columns * inputs)
            sums, last = Slot(f"sums {index + 1}", len(weight)), index == len(self.layers) - 1
            out = sums if last else self._slot(f"vertical {index + 1}", self.edges[-1], partial(_rows_above, index))
            self.operations.append(
                Rows(
                    out,
                    source,
                    weight,
                    self.image.width,
                    height=layer.above,
                    side=layer.side,
                    step=step,
                    bias=layer.vertical.bias,
                    plus=_labels(layer, slice(len(weight))),
                    activation="none" if last else "gated",
                    sums=None if last else sums,
                    every=self.model.row,
                )
            )
            told.append([self._tell(index, layer, sums, *offset) for offset in self._offsets(layer)])
            source, step = out, 1
        return told

    def _tell(self, index: int, layer: BothStacks, sums: Slot, label: Slot | None, bias: Tensor, rows: slice) -> Told:
        """What a layer tells one colour, pixel by pixel."""
        assert layer.link is not None
        slot = self._slot(f"told {index + 1}", len(bias), partial(_told_of_row, index, rows))
        weight, width = layer.link.weight[rows, :, 0, 0], self.image.width
        self.operations.append(Rows(slot, sums, weight, width, bias=bias, plus=label, every=self.model.row))
        self.operations.append(Turn(slot, width, every=self.colours))
        return slot, None

    def _offsets(self, layer: BothStacks) -> list[tuple[Slot | None, Tensor, slice]]:
        """For each colour what is added everywhere before the horizontal gates, and which rows of them are its own."""
        skipped = 0 if layer.condition is None else layer.condition.embedding_dim - len(layer.bias)
        found = []
        for first, stop in pairwise(2 * edge for edge in self.edges):
            label = _labels(layer, slice(skipped + first, skipped + stop))
            found.append((label, layer.bias[first:stop], slice(first, stop)))
        return found

    def go_across(self, told: list[list[Told]]) -> None:
        """The horizontal stack, colour by colour, and the two layers after it."""
        model, layers = self.model, self.layers
        beside = None if layers[0].horizontal is None else self._hear("intensities beside", lambda hand: hand.row)
        gates = [self._pixels(f"gates {index + 1}", self.edges, partial(_gates, index)) for index in range(len(layers))]
        made = [self._pixels(f"outputs {index + 1}", self.edges, partial(_made, index)) for index in range(len(layers))]
        mixed = self._pixels("mix", model.mix.outputs, _mixed)
        edged = [slot for layer, slots in zip(layers[1:], made[:-1], strict=True) if layer.side for slot in slots]
        for slot in edged if beside is None else [beside, *edged]:
            self.operations.append(Clear(slot, every=model.row))
        for colour in range(self.colours):
            x: list[Slot] | None = None
            for index, layer in enumerate(layers):
                sources, weight = _window(layer, beside, x, colour)
                plus, bias = told[index][colour]
                self._add(gates[index][colour], colour, sources, weight, bias, plus=plus, activation="gated")
                last = index == len(layers) - 1
                self._add(
                    made[index][colour],
                    colour,
                    *_pointwise(layer.residual, gates[index], colour),
                    residual=None if x is None else x[colour],
                    then="relu" if last else "none",
                )
                x = made[index]
            self._add(mixed[colour], colour, *_pointwise(model.mix, made[-1], colour), activation="relu")
            self._add(self.outputs, colour, *_pointwise(model.output, mixed, colour))

    def _add(
        self,
        out: Slot,
        colour: int,
        sources: Sequence[Source],
        weight: Tensor | None,
        bias: Tensor | None,
        *,
        plus: Slot | None = None,
        activation: Activation = "none",
        residual: Slot | None = None,
        then: Literal["none", "relu"] = "none",
    ) -> None:
        """A layer that runs at one colour's tokens."""
        self.operations.append(
            Layer(
                out,
                tuple(sources),
                weight,
                bias=bias,
                plus=plus,
                activation=activation,
                residual=residual,
                then=then,
                every=self.colours,
                at=colour,
            )
        )

    def _hear(self, name: str, codes: Callable[[_Hand], Tensor]) -> Slot:
        """Intensities, each as two numbers: itself, and a 1 that tells it from what lies outside."""
        table = torch.stack([heard_values(self.image), torch.ones(self.image.values)], dim=1)
        slot = self._slot(name, 2, lambda hand: hand.numbers(codes(hand)))
        self.operations.append(Layer(slot, table=table))
        return slot

    def _pixels(self, name: str, edges: Sequence[int], begin: BeginColour) -> list[Slot]:
        """A slot for each colour, which gets a value at every pixel."""
        return [
            self._slot(f"{name}, colour {colour + 1}", stop - first, partial(begin, colour, slice(first, stop)))
            for colour, (first, stop) in enumerate(pairwise(edges))
        ]

    def _slot(self, name: str, channels: int, begin: Begin) -> Slot:
        return Slot(name, channels, lambda start: begin(_Hand(self.model, start)))


def _window(
    layer: BothStacks, beside: Slot | None, x: list[Slot] | None, colour: int
) -> tuple[list[Source], Tensor | None]:
    """What a colour's gates hear of the pixels to the left and of this one's earlier colours, and their weights.

    beside: all intensities, which the first layer hears; x: for each colour the inputs of a later one.
    """
    conv, sources, weights = layer.horizontal, [], []
    if conv is None:
        return [], None
    count, rows = len(conv.inputs) - 1, slice(conv.outputs[colour], conv.outputs[colour + 1])
    for tap in range(conv.weight.shape[3]):
        left = conv.left - tap  # pixels
        for other, (first, stop) in enumerate(pairwise(conv.inputs)):
            if x is None and beside is not None and (left or other < colour):
                sources.append(Source(beside, left * count + colour - 1 - other))
            elif x is not None and (left or other <= colour):
                sources.append(Source(x[other], left - (other > colour)))  # later colours are a pixel behind
            else:
                continue
            weights.append(conv.weight[rows, first:stop, 0, tap])
    return sources, torch.cat(weights, dim=1) if weights else None


def _pointwise(conv: ColourConv, x: list[Slot], colour: int) -> tuple[list[Source], Tensor, Tensor | None]:
    """What a colour hears of its pixel: of its own channels and the earlier colours'; weights; biases."""
    rows = slice(conv.outputs[colour], conv.outputs[colour + 1])
    weight = conv.weight[rows, : conv.inputs[colour + 1], 0, 0]
    return [Source(slot) for slot in x[: colour + 1]], weight, None if conv.bias is None else conv.bias[rows]


def _labels(layer: BothStacks, part: slice) -> Slot | None:
    """Some numbers of what a layer is told of the clip's class."""
    condition = layer.condition
    if condition is None:
        return None

    def numbers(start: Start) -> Tensor:
        assert start.labels is not None
        return condition(start.labels)[:, part, None]

    return Slot("label", len(range(condition.embedding_dim)[part]), numbers)


def _rows_above(index: int, hand: _Hand) -> Tensor:
    return hand.state.above[:, index].flatten(2)


def _told_of_row(index: int, rows: slice, hand: _Hand) -> Tensor:
    return hand.state.told[:, :, index, rows].roll(-hand.pixel - 1, dims=1).transpose(1, 2)


def _gates(index: int, colour: int, part: slice, hand: _Hand) -> Tensor:
    return widened(hand.state.gates[:, index], part.stop)[:, part, None]


def _made(index: int, colour: int, part: slice, hand: _Hand) -> Tensor:
    """Outputs of a layer: of the pixels to the left, unless it is the last one, and of this one, if it is half done."""
    early, beside = widened(hand.state.early[:, index], part.stop)[:, part, None], hand.state.beside
    if index == beside.shape[1]:
        return torch.relu(early)
    past = beside[:, index, part]
    return torch.cat([past, early], dim=2) if colour <= hand.colour < hand.image.channels - 1 else past


def _mixed(colour: int, part: slice, hand: _Hand) -> Tensor:
    return widened(hand.state.mixed, part.stop)[:, part, None]
