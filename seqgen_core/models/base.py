"""CausalModel: what every model offers, and the laws that tests hold it to (tests/test_laws.py).

Axes: B batch, T time in tokens, C channels, V token values, P past inputs kept.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from seqgen_core.errors import ShapeError
from seqgen_core.models.condition import NO_CONDITION, Condition
from seqgen_core.models.heads import Head, build_head
from seqgen_core.models.tokens import check_tokens
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
    receptive_field: int | None
    """Tokens that the layer's output can depend on, the newest included; None: all that came before."""
    parameters: int
    multiply_adds: float
    """Multiplications with a weight per generated token, averaged over the clock."""


class CausalModel(nn.Module, ABC):
    """p(next token | tokens before), as outputs that the head turns into likelihoods and samples.

    tokens: what one token is. head: gives `head.size`, the outputs per token.
    receptive_field: tokens, the newest included; None for a recurrent model.
    period: the network repeats itself in time with this period, in tokens counted from the initial state.
    classes: labels for global conditioning; local_features: numbers per token for local conditioning; 0 means none.
    longest: tokens of the longest stream that the model can take, where there is such a thing, as for images.
    """

    receptive_field: int | None
    period: int = 1
    classes: int = 0
    local_features: int = 0
    longest: int | None = None
    folded: bool = False
    """Whether `fold` was called."""

    def __init__(self, tokens: TokenSpec, mixtures: int = 0) -> None:
        super().__init__()
        self.tokens = tokens
        self.head: Head = build_head(tokens, mixtures)

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
        condition: Condition,
        last: int,
        presence: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Outputs (B, last, head.size) and the next state, which is empty where state is None, the initial state.

        With a state, last is T. presence (B, T), where given, weighs what the model hears of each token.
        """

    def advance(
        self, tokens: Tensor, state: list[Tensor], condition: Condition = NO_CONDITION
    ) -> tuple[Tensor, list[Tensor]]:
        """Consume tokens int64 (B, T, *shape), T >= 1: outputs (B, T, head.size) and the next state.

        outputs[:, t] predicts the token after tokens[:, t]. condition: labels where classes > 0, features of these
        very tokens where local_features > 0.
        Raises ShapeError, naming the shape that it got, where a tensor does not fit.
        """
        self._check(tokens, condition)
        for position, kept in enumerate(state):
            if kept.shape[0] != tokens.shape[0]:
                raise ShapeError(
                    f"state tensor {position} has shape {tuple(kept.shape)}; wanted batch {tokens.shape[0]} first"
                )
        return self._run(tokens, state, condition, tokens.shape[1], None)

    def forward(self, tokens: Tensor, condition: Condition = NO_CONDITION, last: int | None = None) -> Tensor:
        """Outputs (B, last or T, head.size) of the last tokens, in parallel from the initial state.

        Equal to those of `advance`; only what the outputs asked for depend on is computed.
        Raises ShapeError where a tensor does not fit, or last is not in 1 to T.
        """
        self._check(tokens, condition)
        steps = tokens.shape[1] if last is None else last
        if not 1 <= steps <= tokens.shape[1]:
            raise ShapeError(f"last={last} outputs of tokens {tuple(tokens.shape)}; wanted 1 to {tokens.shape[1]}")
        return self._run(tokens, None, condition, steps, None)[0]

    def forward_weighted(self, tokens: Tensor, presence: Tensor, condition: Condition = NO_CONDITION) -> Tensor:
        """`forward` with what is heard of each token weighed by presence (B, T): 1 as it is, 0 not heard.

        Its gradient by presence says which tokens an output depends on.
        """
        self._check(tokens, condition)
        if presence.shape != tokens.shape[:2]:
            raise ShapeError(f"presence {tuple(presence.shape)} beside tokens {tuple(tokens.shape)}; wanted its (B, T)")
        return self._run(tokens, None, condition, tokens.shape[1], presence)[0]

    def shardable(self) -> list[nn.Module]:
        """Parts that are called one after another and alone need their weights: where a model can be cut in memory."""
        return []

    @property
    def kind(self) -> str:
        """Sort of model, as the settings name it: the name of the file of its class."""
        return type(self).__module__.rpartition(".")[2]

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

    def fold(self) -> "CausalModel":
        """Replace weights that are computed anew at each use, as by weight normalisation, by their values, for good."""
        for module in self.modules():
            names = list(getattr(module, "parametrizations", {}))
            if names:  # torch computes them in a class that copies of the module share: leave theirs alone
                shared = type(module)
                module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            for name in names:
                value = getattr(module, name).detach()
                parametrize.remove_parametrizations(module, name)
                trained = getattr(module, name).requires_grad  # a parameter only where gradients were on
                delattr(module, name)
                setattr(module, name, nn.Parameter(value, requires_grad=trained))
        self.folded = True
        return self

    def _check(self, tokens: Tensor, condition: Condition) -> None:
        check_tokens(tokens, self.tokens)
        condition.check(tokens.shape[0], tokens.shape[1], self.classes, self.local_features)
