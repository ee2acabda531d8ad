"""Heads: from a model's outputs to a likelihood and to samples, so that training and generation cannot disagree."""

from typing import Protocol

from torch import Tensor

from seqgen_core.errors import UsageError
from seqgen_core.models.heads.bernoulli import BernoulliHead
from seqgen_core.models.heads.categorical import CategoricalHead
from seqgen_core.models.heads.mixture import LogisticMixtureHead
from seqgen_core.settings.tokens import BinaryTokens, TokenSpec

__all__ = ["BernoulliHead", "CategoricalHead", "Head", "LogisticMixtureHead", "build_head"]

AMPLITUDE_MIXTURES = 10
"""Logistics for amplitude tokens where the settings name none; Parallel WaveNet (arXiv:1711.10433) takes as many."""


class Head(Protocol):
    """What training, evaluation and generation ask of a model's outputs. Tokens are (..., *shape)."""

    size: int
    """Outputs per token."""
    draws: int
    """Uniforms that one sampled token takes."""

    def begin(self, weight: Tensor, bias: Tensor | None) -> None:
        """Give the layer that makes the outputs its first weights: weight (size, …), bias (size,)."""
        ...

    def bits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log2 of the probability of targets (..., *shape) under outputs (..., size), in float32 or finer: (...)."""
        ...

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Probability of every token value (..., V), or of a one at every place of a binary vector (..., W)."""
        ...

    def mode(self, outputs: Tensor) -> Tensor:
        """Likeliest token, int64 (..., *shape)."""
        ...

    def sample(
        self, outputs: Tensor, uniforms: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> Tensor:
        """Tokens int64 (B, *shape) drawn from outputs (B, size) by uniforms float64 (B, draws) in [0, 1)."""
        ...


def build_head(tokens: TokenSpec, mixtures: int = 0) -> Head:
    """The head for one sort of token; mixtures > 0 asks for that many logistics in place of a softmax.

    Raises UsageError where a mixture is asked for tokens without an order.
    """
    if tokens.kind == "amplitude":
        return LogisticMixtureHead(tokens.values, mixtures or AMPLITUDE_MIXTURES)
    if mixtures:
        if not tokens.ordered:
            raise UsageError(
                f"model.mixtures = {mixtures} asks for a mixture of logistics, but the data are {tokens}.",
                "Tokens with an order, such as amplitudes or intensities.",
                "Set model.mixtures=0.",
            )
        return LogisticMixtureHead(tokens.values, mixtures)
    if isinstance(tokens, BinaryTokens):
        return BernoulliHead(tokens.width)
    return CategoricalHead(tokens.values, ordered=tokens.ordered)
