"""One step of a plain Seq-U-Net: every layer at the ticks of its level, as in `sequnet`."""

from seqgen_core.models.blocks import read_clock
from seqgen_core.models.sequnet_plain import SequnetPlain
from seqgen_core.models.steps.entry import Hearing, leave
from seqgen_core.models.steps.program import Layer, Slot, StepProgram
from seqgen_core.models.steps.sequnet import FIRST_PAST
from seqgen_core.models.steps.taps import conv_of, over_time


def program(model: SequnetPlain) -> StepProgram:
    """What a layer gives are the first of the channels that the next one hears, whose past is in the state.

    A shortcut is heard by two layers alike, and begins with the past that the first of them has kept.
    """
    features, slower = model.settings.features, model.settings.levels - 1
    layers = [layer for _, _, layer in model._path()]

    def heard_by(number: int) -> Slot:
        """What comes to the layer of this number from the one before; after the last, what goes to the output."""
        channels = layers[number - 1].outputs if number else features
        if number == len(layers):
            return Slot("features", channels)
        return Slot(f"input {number + 1}", channels, lambda start: start.state[FIRST_PAST + number][:, :channels])

    x, number = heard_by(0), 0
    hearing = Hearing(model.tokens, lambda start: start.state[1], model.entry)
    hearing.convolve(model.first, x, "leaky_relu")
    operations = hearing.operations

    def convolve(every: int, *heard: Slot) -> Slot:
        """The next layer, which hears these slots beside each other."""
        nonlocal number
        conv = conv_of(layers[number], "conv")
        number += 1
        after = heard_by(number)
        sources, weight = over_time(conv, *heard)
        operations.append(Layer(after, sources, weight, bias=conv.bias, activation="leaky_relu", every=every))
        return after

    shortcuts = []
    for level in range(slower):
        if level:
            x = convolve(2**level, x)
        shortcuts.append(x)
        x = convolve(2 * 2**level, x)
    x = convolve(2**slower, x)
    for level in reversed(range(slower)):
        even, odd = conv_of(layers[number], "even"), conv_of(layers[number], "odd")
        number += 1
        beside, clock = heard_by(number), 2**level
        for conv, at in ((even, 0), (odd, clock)):
            sources, weight = over_time(conv, x)
            operations.append(
                Layer(beside, sources, weight, bias=even.bias, activation="leaky_relu", every=2 * clock, at=at)
            )
        x = convolve(clock, beside, shortcuts[level])

    if model.mix is not None:
        mixed = Slot("mix", model.mix.out_channels)
        operations.append(Layer(mixed, *over_time(model.mix, x), bias=model.mix.bias))
        x = mixed
    outputs = Slot("outputs", model.head.size)
    operations.append(leave(model.exit, model.entry, x, outputs))
    return StepProgram(
        model.tokens,
        model.head,
        tuple(operations),
        outputs,
        clock=lambda start: read_clock(start.state[0]),
        codes=lambda start: start.state[1],
    )
