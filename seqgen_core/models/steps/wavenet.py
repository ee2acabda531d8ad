"""One step of a WaveNet: each layer's gates and residual connection, then all skip connections as one product."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqgen_core.models.steps.entry import hear_tokens
from seqgen_core.models.steps.program import Layer, Operation, Slot, Source, Start, StepProgram, Tell
from seqgen_core.models.wavenet import Layer as WaveNetLayer
from seqgen_core.models.wavenet import WaveNet


def program(model: WaveNet) -> StepProgram:
    """The paper's skip connections, added up layer by layer, are one product with the gates of all layers.

    In that product the biases of all skip connections are added beforehand, and their mean is taken.
    """
    settings = model.settings
    channels, inner, taps = settings.residual_channels, settings.dilation_channels, settings.kernel_size
    layers = list(model._each_layer())
    operations: list[Operation] = []

    def kept(index: int) -> Slot:
        return Slot(f"input {index + 1}", channels, lambda start: start.state[index])

    x = kept(0)
    operations += hear_tokens(model.tokens, model.input, x)
    told = Slot("features", settings.local_features)
    if settings.local_features:
        operations.append(Tell(told))

    gates = []
    for index, layer in enumerate(layers):
        sources = [Source(x, (taps - 1 - tap) * layer.dilation) for tap in range(taps)]
        weight = layer.gated.weight.transpose(1, 2).flatten(1)  # (2 inner, taps * channels), oldest tap first
        if layer.local is not None:
            sources.append(Source(told))
            weight = torch.cat([weight, layer.local.weight[:, :, 0]], dim=1)
        gate = Slot(f"gates {index + 1}", inner)
        gates.append(gate)
        label = None if layer.condition is None else Slot(f"label {index + 1}", 2 * inner, _label_rows(layer))
        operations.append(Layer(gate, tuple(sources), weight, bias=layer.gated.bias, plus=label, activation="gated"))
        if layer.residual is not None:
            after = kept(index + 1)
            residual = layer.residual
            operations.append(Layer(after, (Source(gate),), residual.weight[:, :, 0], bias=residual.bias, residual=x))
            x = after

    share = 1 / len(layers) if settings.skip == "mean" else 1.0
    skip, mixed = Slot("skip", settings.skip_channels), Slot("mix", model.mix.out_channels)
    outputs = Slot("outputs", model.head.size)
    weight = torch.cat([layer.skip.weight[:, :, 0] for layer in layers], dim=1) * share
    biases = [layer.skip.bias for layer in layers if layer.skip.bias is not None]
    bias = torch.stack(biases).sum(dim=0) * share if biases else None
    sources = tuple(Source(gate) for gate in gates)
    operations.append(Layer(skip, sources, weight, bias=bias, activation="relu"))
    operations.append(Layer(mixed, (Source(skip),), _matrix(model.mix), bias=model.mix.bias, activation="relu"))
    operations.append(Layer(outputs, (Source(mixed),), _matrix(model.output), bias=model.output.bias))
    return StepProgram(model.tokens, model.head, tuple(operations), outputs, features=settings.local_features)


def _matrix(conv: nn.Conv1d) -> Tensor:
    return conv.weight[:, :, 0]


def _label_rows(layer: WaveNetLayer) -> Callable[[Start], Tensor]:
    def rows(start: Start) -> Tensor:
        assert layer.condition is not None
        assert start.labels is not None
        return layer.condition(start.labels)[:, :, None]

    return rows
