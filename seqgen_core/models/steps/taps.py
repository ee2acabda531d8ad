"""Convolutions over time as products with present and earlier values of slots."""

import torch
from torch import Tensor, nn

from seqgen_core.models.steps.program import Slot, Source


def over_time(conv: nn.Conv1d, *slots: Slot) -> tuple[tuple[Source, ...], Tensor]:
    """What a causal convolution reads of slots whose channels lie beside each other, and its matrix for that.

    Slot by slot, oldest tap first, so that neighbouring taps are neighbours in memory too.
    """
    taps, dilation = conv.kernel_size[0], conv.dilation[0]
    sources = tuple(Source(slot, (taps - 1 - tap) * dilation) for slot in slots for tap in range(taps))
    parts = conv.weight.split([slot.channels for slot in slots], dim=1)  # each (R, C, taps)
    return sources, torch.cat([part.transpose(1, 2).flatten(1) for part in parts], dim=1)


def conv_of(module: nn.Module, path: str) -> nn.Conv1d:
    """The convolution at a dotted path within a module."""
    conv = module.get_submodule(path)
    assert isinstance(conv, nn.Conv1d)
    return conv
