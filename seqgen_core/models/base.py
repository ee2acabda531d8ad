"""CausalModel: what every model offers, and the laws that tests hold it to (tests/test_laws.py).

Axes: B batch, T time in tokens, C channels, V token values, P past inputs kept.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqgen_core.errors import ShapeError
from seqgen_core.models.heads import Head, build_head
from seqgen_core.settings.tokens import TokenSpec


@dataclass(frozen=True)
class LayerRow:
    """One line of a model's table, in the order in which a token passes through."""

    name: str
    kernel: int
    """Taps over time."""
    dilation: int
    """Ticks of the layer's input clock between taps."""
    clock: int
    """Tokens per tick of the layer's output."""
    receptive_field: int
    """Tokens that the layer's output can depend on, the newest included."""
    parameters: int
    multiply_adds: float
    """Multiplications with a weight per generated token, averaged over the clock."""


class CausalModel(nn.Module, ABC):
    """p(next token | tokens before), as outputs that the head turns into likelihoods and samples.

    tokens: what one token is. head: gives `head.size`, the outputs per token.
    receptive_field: tokens, the newest included; None for a recurrent model.
    period: the network repeats itself in time with this period, in tokens counted from the initial state.
    classes: labels for global conditioning; with 0 there is no condition.
    """

    receptive_field: int | None
    period: int = 1
    classes: int = 0

    def __init__(self, tokens: TokenSpec) -> None:
        super().__init__()
        self.tokens = tokens
        self.head: Head = build_head(tokens)

    @abstractmethod
    def initial_state(self, batch: int) -> list[Tensor]:
        """Nothing heard yet: a flat list of tensors, batch first, on the device of the weights."""

    @abstractmethod
    def layer_table(self) -> list[LayerRow]:
        """One row per layer, in the order in which a token passes through."""

    @abstractmethod
    def _run(
        self,
        tokens: Tensor,
        state: list[Tensor] | None,
        condition: Tensor | None,
        last: int,
        presence: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Outputs (B, last, head.size) and the next state, which is empty where state is None, the initial state.

        With a state, last is T. presence (B, T), where given, weighs what the model hears of each token.
        """

    def advance(
        self, tokens: Tensor, state: list[Tensor], condition: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Consume tokens int64 (B, T), T >= 1: outputs (B, T, head.size) and the next state.

        outputs[:, t] predicts the token after tokens[:, t]. condition: int64 (B,) class labels where classes > 0.
        Raises ShapeError, naming the shape that it got, where a tensor does not fit.
        """
        self._check(tokens, condition)
        for position, kept in enumerate(state):
            if kept.shape[0] != tokens.shape[0]:
                raise ShapeError(
                    f"state tensor {position} has shape {tuple(kept.shape)}; wanted batch {tokens.shape[0]} first"
                )
        return self._run(tokens, state, condition, tokens.shape[1], None)

    def forward(self, tokens: Tensor, condition: Tensor | None = None, last: int | None = None) -> Tensor:
        """Outputs (B, last or T, head.size) of the last tokens, in parallel from the initial state.

        Equal to those of `advance`; only what the outputs asked for depend on is computed.
        Raises ShapeError where a tensor does not fit, or last is not in 1 to T.
        """
        self._check(tokens, condition)
        steps = tokens.shape[1] if last is None else last
        if not 1 <= steps <= tokens.shape[1]:
            raise ShapeError(f"last={last} outputs of tokens {tuple(tokens.shape)}; wanted 1 to {tokens.shape[1]}")
        return self._run(tokens, None, condition, steps, None)[0]

    def forward_weighted(self, tokens: Tensor, presence: Tensor, condition: Tensor | None = None) -> Tensor:
        """`forward` with what is heard of each token weighed by presence (B, T): 1 as it is, 0 not heard.

        Its gradient by presence says which tokens an output depends on.
        """
        self._check(tokens, condition)
        if presence.shape != tokens.shape:
            raise ShapeError(f"presence {tuple(presence.shape)} beside tokens {tuple(tokens.shape)}; wanted one shape")
        return self._run(tokens, None, condition, tokens.shape[1], presence)[0]

    @property
    def multiply_adds(self) -> float:
        """Multiplications with a weight per generated token, averaged over the clock; look-ups are none."""
        return math.fsum(row.multiply_adds for row in self.layer_table())

    @property
    def parameter_count(self) -> int:
        """Trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def reference_parameters(self) -> int:
        """Trained numbers as the paper's own code counts them."""
        return self.parameter_count

    def _check(self, tokens: Tensor, condition: Tensor | None) -> None:
        shape = tuple(tokens.shape)
        if tokens.dim() != 2 or shape[0] < 1 or shape[1] < 1 or tokens.dtype != torch.int64:
            raise ShapeError(f"tokens {shape} of {tokens.dtype}; wanted int64 (B, T) with B and T at least 1")
        self._check_codes("tokens", tokens, self.tokens.values)
        if self.classes and condition is None:
            raise ShapeError(f"no condition for a model of {self.classes} classes; wanted int64 labels ({shape[0]},)")
        if condition is None:
            return
        if not self.classes:
            raise ShapeError(f"condition {tuple(condition.shape)} for a model without classes; wanted None")
        if condition.shape != shape[:1] or condition.dtype != torch.int64:
            raise ShapeError(
                f"condition {tuple(condition.shape)} of {condition.dtype}; wanted int64 labels ({shape[0]},)"
            )
        self._check_codes("condition", condition, self.classes)

    @staticmethod
    def _check_codes(name: str, codes: Tensor, values: int) -> None:
        # On other devices the look-up itself complains; asking here would make the device wait at every step.
        if codes.device.type != "cpu":
            return
        low, high = (int(edge) for edge in torch.aminmax(codes))
        if low < 0 or high >= values:
            raise ShapeError(f"{name} {tuple(codes.shape)} hold {low} to {high}; wanted 0 to {values - 1}")
