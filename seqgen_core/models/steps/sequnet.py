"""One step of a Seq-U-Net: every layer at the ticks of its level, so that most tokens meet the fast levels alone."""

from seqgen_core.models.blocks import read_clock
from seqgen_core.models.sequnet import Sequnet
from seqgen_core.models.steps.entry import hear_tokens
from seqgen_core.models.steps.program import Layer, Operation, Slot, StepProgram
from seqgen_core.models.steps.taps import conv_of, over_time

FIRST_PAST = 2
"""Place in the state of what the first layer has heard: the clock and the newest tokens come before."""


def program(model: Sequnet) -> StepProgram:
    """What a layer gives is what the next one hears, whose past is in the state.

    A shortcut is heard by two layers alike, and begins with the past that the first of them has kept.
    """
    channels, depth, slower = model.settings.features, model.settings.depth, model.settings.levels - 1
    layers = list(model._each_layer())

    def heard_by(number: int, part: int = 0) -> Slot:
        """What the layer of this number hears, or one part of it; after the last, what goes to the output."""
        if number == len(layers):
            return Slot("features", channels)
        place, first = FIRST_PAST + number, part * channels
        name = f"input {number + 1}{' beside' if part else ''}"
        return Slot(name, channels, lambda start: start.state[place][:, first : first + channels])

    x, number = heard_by(0), 0
    operations: list[Operation] = list(hear_tokens(model.tokens, model.input, x, codes=lambda start: start.state[1]))

    def convolve(x: Slot, beside: tuple[Slot, ...], every: int) -> Slot:
        """The next layer, added to x; the very last one ends with a ReLU."""
        nonlocal number
        conv = conv_of(layers[number], "gated")
        number += 1
        then = "relu" if number == len(layers) else "none"
        after = heard_by(number)
        sources, weight = over_time(conv, x, *beside)
        operations.append(
            Layer(after, sources, weight, bias=conv.bias, activation="gated", residual=x, then=then, every=every)
        )
        return after

    shortcuts = []
    for level in range(slower):
        for _ in range(depth):
            x = convolve(x, (), 2**level)
        shortcuts.append(x)
        x = convolve(x, (), 2 * 2**level)
    for _ in range(depth):
        x = convolve(x, (), 2**slower)
    for level in reversed(range(slower)):
        even, odd = conv_of(layers[number], "even"), conv_of(layers[number], "odd")
        number += 1
        beside, clock = heard_by(number, part=1), 2**level
        for conv, at in ((even, 0), (odd, clock)):
            sources, weight = over_time(conv, x)
            operations.append(
                Layer(beside, sources, weight, bias=even.bias, activation="gated", residual=x, every=2 * clock, at=at)
            )
        x = shortcuts[level]
        for _ in range(depth):
            x = convolve(x, (beside,), clock)

    outputs = Slot("outputs", model.head.size)
    operations.append(Layer(outputs, *over_time(model.output, x), bias=model.output.bias))
    return StepProgram(
        model.tokens,
        model.head,
        tuple(operations),
        outputs,
        clock=lambda start: read_clock(start.state[0]),
        codes=lambda start: start.state[1],
    )
