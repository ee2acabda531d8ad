"""One step of a TCN: each block's two convolutions, the second added to what went in."""

from torch import nn

from seqgen_core.models.steps.entry import Hearing, leave
from seqgen_core.models.steps.program import Activation, Layer, Slot, StepProgram
from seqgen_core.models.steps.taps import conv_of, over_time
from seqgen_core.models.tcn import Tcn


def program(model: Tcn) -> StepProgram:
    """The state has the past of every convolution but the first, which hears tokens."""
    hearing = Hearing(model.tokens, lambda start: start.state[0], model.entry)
    operations = hearing.operations
    blocks = list(model._each_block())

    def kept(name: str, channels: int, place: int) -> Slot:
        return Slot(name, channels, lambda start: start.state[place])

    x: Slot | None = None
    for level, block in enumerate(blocks):
        title, channels = f"block {level + 1}", block.channels
        inner = kept(f"{title} conv 1", channels, 1 + 2 * level)
        match = None if block.match is None else Slot(f"{title} match", channels)
        if x is None:
            hearing.convolve(block.first, inner, "relu")
            if match is not None:
                assert block.match is not None
                hearing.convolve(block.match, match)
            around = match or hearing.vectors()
        else:
            operations.append(_layer(inner, conv_of(block, "first"), x, activation="relu"))
            if match is not None:
                operations.append(_layer(match, conv_of(block, "match"), x))
            around = match or x
        second = conv_of(block, "second")
        sources, weight = over_time(second, inner)
        after = Slot(title, channels)
        if level + 1 < len(blocks):
            after = kept(title, channels, 2 + 2 * level)
        operations.append(
            Layer(after, sources, weight, bias=second.bias, activation="relu", residual=around, then="relu")
        )
        x = after

    assert x is not None
    outputs = Slot("outputs", model.head.size)
    operations.append(leave(model.exit, model.entry, x, outputs))
    return StepProgram(model.tokens, model.head, tuple(operations), outputs, codes=lambda start: start.state[0])


def _layer(out: Slot, conv: nn.Conv1d, x: Slot, activation: Activation = "none") -> Layer:
    return Layer(out, *over_time(conv, x), bias=conv.bias, activation=activation)
