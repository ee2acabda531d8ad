"""What a model really multiplies: the weights of convolutions and matrix products, as often as they are used."""

from typing import Any

import pytest
import torch

from seqgen_core.models.base import CausalModel
from seqgen_core.models.tokens import random_tokens


class Multiplications:
    """Within `with`, counts multiplications with a weight in conv1d and linear of one clip; look-ups are none."""

    def __init__(self) -> None:
        self.done = 0
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> "Multiplications":
        conv1d, linear = torch.nn.functional.conv1d, torch.nn.functional.linear

        def counted(*given: Any, **named: Any) -> torch.Tensor:
            y = conv1d(*given, **named)
            self.done += given[1].numel() * y.shape[2]
            return y

        def counted_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            self.done += weight.numel() * x.shape[1]
            return linear(x, weight, bias)

        self._patch.setattr(torch.nn.functional, "conv1d", counted)
        self._patch.setattr(torch.nn.functional, "linear", counted_product)
        return self

    def __exit__(self, *reason: object) -> None:
        self._patch.undo()


def per_stepped_token(model: CausalModel) -> float:
    """Multiplications per token while stepping through two periods of the clock."""
    tokens, state = random_tokens(model.tokens, 1, 2 * model.period), model.initial_state(1)
    with Multiplications() as counted, torch.no_grad():
        for time in range(tokens.shape[1]):
            _, state = model.advance(tokens[:, time : time + 1], state)
    return counted.done / tokens.shape[1]


def table_adds_up(model: CausalModel) -> bool:
    """Whether the rows hold every parameter once, reach ever further up to the declared reach, and have own names."""
    rows = model.layer_table()
    reaches = [row.receptive_field for row in rows]
    return (
        sum(row.parameters for row in rows) == model.parameter_count
        and reaches == sorted(reaches)
        and reaches[-1] == model.receptive_field
        and len({row.name for row in rows}) == len(rows)
    )
