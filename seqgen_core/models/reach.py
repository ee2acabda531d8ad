"""How far back a built model really looks: found by the response to single tokens, not by the model's own formula.

Axes: B clips side by side, T time in tokens.
"""

import copy
import heapq
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition
from seqgen_core.models.tokens import random_tokens

MOST_CLIPS = 32
"""Clips side by side where each token has one of its own."""


def measure_reach(model: CausalModel) -> int:
    """Tokens, the newest included, that some output depends on, over all phases of the model's clock.

    A copy of the model on the CPU gets new weights without biases and ReLUs that are always open. Silence then gives
    outputs that are exactly zero, and a token in silence moves exactly those outputs to which a path leads from it:
    the derivative of the outputs by what is heard of that token. The clip is long enough when its end is silent; where
    no stream can be longer than `longest`, it is one such stream, all of whose tokens are tried.
    Raises ValueError for a recurrent model, which looks back to the beginning of any clip.
    """
    if model.receptive_field is None:
        raise ValueError("a recurrent model has no receptive field to measure")
    twin = _redrawn(model)
    if model.longest is not None:
        return _largest_lag_within(twin, model.longest) + 1
    length = model.receptive_field + model.receptive_field // 8 + 2 * model.period
    while (lag := _largest_lag(twin, length)) is None:
        length *= 2
    return lag + 1


def _redrawn(model: CausalModel) -> CausalModel:
    twin = copy.deepcopy(model).cpu().requires_grad_(False).eval().fold()
    # The longest path multiplies a weight of every layer: float32 has room for about a hundred.
    fine = model.parameter_count < 1e6 or len(model.layer_table()) > 100
    twin = twin.double() if fine else twin.float()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in twin.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        if parameter.dim() == 1 or "condition" in name.split("."):
            parameter.zero_()  # a bias or a class label would sound in silence
        elif parameter.dim() == 2:  # a table of vectors: so quiet that the layers above it saturate no gate
            parameter.copy_(1e-6 * noise)
        else:  # a convolution (outputs, inputs, taps): each tap passes on as much as it gets
            parameter.copy_(noise / math.sqrt(parameter.shape[1]))
    return twin


def silent_condition(model: CausalModel, batch: int, steps: int) -> Condition:
    """Class 0 and features of zeros, of which `_redrawn` leaves nothing to hear."""
    told = model.local_features
    return Condition(
        labels=torch.zeros(batch, dtype=torch.int64) if model.classes else None,
        features=next(model.parameters()).new_zeros(batch, steps, told) if told else None,
    )


class _OpenRelus(TorchFunctionMode):
    """A ReLU that happens to be shut would hide a path."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return args[0] if func in (torch.relu, F.relu, Tensor.relu) else func(*args, **(kwargs or {}))


def _sound(model: CausalModel, tokens: Tensor, presence: Tensor) -> Tensor:
    """Loudest outputs (B, T) of tokens (B, T, *shape) that are as loud as presence (B, T) says."""
    with _OpenRelus():
        outputs = model.forward_weighted(tokens, presence, silent_condition(model, *tokens.shape[:2]))
    return outputs.abs().amax(dim=2)


@torch.inference_mode()
def _largest_lag_within(model: CausalModel, length: int) -> int:
    """Largest distance from a token to an output that it moves, in streams of just that length; -1 where none does.

    The tokens are tried from the first on, each in a clip of its own, until the rest is too close to the end.
    """
    tokens = random_tokens(model.tokens, 1, length, torch.Generator().manual_seed(1))
    largest, first, count = -1, 0, 2
    while first < length and length - 1 - first > largest:
        places = torch.arange(first, min(first + count, length))
        presence = next(model.parameters()).new_zeros(len(places), length)
        presence[torch.arange(len(places)), places] = 1
        moved = _sound(model, tokens.expand(len(places), *tokens.shape[1:]), presence) > 0  # (B, T)
        newest = length - 1 - moved.flip(1).int().argmax(dim=1)
        largest = max([largest, *(newest - places)[moved.any(dim=1)].tolist()])
        first += len(places)
        count = min(2 * count, MOST_CLIPS)
    return largest


@torch.inference_mode()
def _largest_lag(model: CausalModel, length: int) -> int | None:
    """Largest distance from a token to an output that it moves; None where that output is the clip's last.

    The tokens of one whole period stand for all. Sounding a stretch of them gives the last output that any of them
    moves, and so a bound on their lags; the stretch with the largest bound is halved until one token is left.
    """
    generator = torch.Generator().manual_seed(1)
    tokens = random_tokens(model.tokens, 1, length, generator)
    loudness = 0.5 + torch.rand(length, generator=generator, dtype=next(model.parameters()).dtype)

    def last_moved(first: int, stop: int, steps: int) -> int:
        presence = torch.zeros(1, steps, dtype=loudness.dtype)
        presence[0, first:stop] = loudness[first:stop]
        moved = _sound(model, tokens[:, :steps], presence)[0].nonzero()
        return int(moved[-1]) if len(moved) else first - 1

    moved = last_moved(0, model.period, length)
    steps = moved + 1  # no later output can be moved by a part of these tokens
    if steps == length:
        return None
    # (minus the bound, first, stop, last output moved, whether that was measured for this very stretch)
    stretches = [(-moved, 0, model.period, moved, True)]
    while True:
        bound, first, stop, moved, measured = heapq.heappop(stretches)
        if not measured:
            moved = last_moved(first, stop, steps)
            heapq.heappush(stretches, (first - moved, first, stop, moved, True))
        elif stop - first == 1:
            return -bound
        else:
            middle = (first + stop) // 2
            for part_first, part_stop in ((first, middle), (middle, stop)):
                heapq.heappush(stretches, (part_first - moved, part_first, part_stop, moved, False))
