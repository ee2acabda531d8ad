"""The categorical head: a softmax over the token values, and drawing from weights by uniforms.

Axes: B batch, V token values.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen_core.errors import ShapeError
from seqgen_core.models.blocks import begin_smooth
from seqgen_core.models.row_products import Nats, takes_passes
from seqgen_core.models.tokens import check_codes


class CategoricalHead:
    """Outputs (..., V) are unnormalised log-probabilities. ordered: near values mean near things."""

    draws = 1

    def __init__(self, values: int, *, ordered: bool = False) -> None:
        self.size, self.ordered = values, ordered

    def begin(self, weight: Tensor, bias: Tensor | None) -> None:
        """Smooth rows for ordered values, as wide as torch's own draw; otherwise torch's own draw stands."""
        if self.ordered:
            begin_smooth(weight, 1 / math.sqrt(3 * weight[0].numel()))

    def bits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log2 p of targets int64 (...) under outputs (..., V), in float32, or float64 where outputs are."""
        if outputs.shape[:-1] != targets.shape or outputs.shape[-1] != self.size:
            raise ShapeError(
                f"outputs {tuple(outputs.shape)} for targets {tuple(targets.shape)}; wanted {self.size} per target"
            )
        rows, codes = outputs.reshape(-1, self.size), targets.reshape(-1)
        if takes_passes(outputs, coarse=True):
            check_codes("targets", targets, self.size)
            nats = Nats.apply(rows.contiguous(), codes.contiguous())
        else:
            nats = F.cross_entropy(_fine(rows), codes, reduction="none")
        return nats.view(targets.shape) / math.log(2)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Softmax (..., V)."""
        return _fine(outputs).softmax(dim=-1)

    def mode(self, outputs: Tensor) -> Tensor:
        """Likeliest token, the lowest of equals."""
        return outputs.argmax(dim=-1)

    def sample(
        self, outputs: Tensor, uniforms: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> Tensor:
        """The token at which the cumulated probability first exceeds each uniform, in float64.

        temperature divides the log-probabilities; 0 takes the mode. top_k (0: off) keeps the k likeliest tokens; of
        these top_p keeps the fewest likeliest whose probability reaches it. Of equals the lower token is kept.
        Raises ShapeError where the shapes differ or, on the CPU, an output is NaN or +inf or all are -inf.
        """
        if outputs.dim() != 2 or outputs.shape[1] != self.size or uniforms.shape != (outputs.shape[0], 1):
            raise ShapeError(
                f"outputs {tuple(outputs.shape)} and uniforms {tuple(uniforms.shape)}; wanted (B, {self.size}), (B, 1)"
            )
        device = outputs.device
        if device.type == "mps":  # has no float64
            outputs = outputs.cpu()
        if outputs.device.type == "cpu" and not bool(outputs.amax(dim=1).isfinite().all()):
            raise ShapeError(f"outputs {tuple(outputs.shape)} hold NaN or infinities; wanted finite log-probabilities")
        if temperature == 0:
            return self.mode(outputs).to(device)
        outputs = outputs.double()
        # The largest becomes 0 before the division, so that no temperature, however small, overflows.
        weights = ((outputs - outputs.amax(dim=1, keepdim=True)) / temperature).exp()  # (B, V)
        return draw_from_weights(weights, uniforms[:, 0], top_k, top_p).to(device)


def draw_from_weights(weights: Tensor, uniforms: Tensor, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Places int64 (B,) in rows of unnormalised float64 weights (B, V), at the share that each uniform (B,) names.

    top_k and top_p as for the categorical head's `sample`.
    """
    if top_k or top_p < 1:
        weights = _keep_likeliest(weights, top_k, top_p)
    cumulated = weights.cumsum(dim=1)
    threshold = uniforms.to(cumulated)[:, None] * cumulated[:, -1:]
    possible = weights > 0
    hit = ((cumulated > threshold) & possible).to(torch.uint8)
    # Rounding can leave a uniform close to 1 without a hit: it means the last possible place.
    final = weights.shape[1] - 1 - possible.flip(1).to(torch.uint8).argmax(dim=1)
    return torch.where(hit.amax(dim=1) > 0, hit.argmax(dim=1), final)


def _fine(outputs: Tensor) -> Tensor:
    return outputs if outputs.dtype == torch.float64 else outputs.float()


def _keep_likeliest(weights: Tensor, top_k: int, top_p: float) -> Tensor:
    ordered, order = weights.sort(dim=1, descending=True, stable=True)  # (B, V)
    if top_k:
        ordered[:, top_k:] = 0
    if top_p < 1:
        before = ordered.cumsum(dim=1) - ordered  # mass of the likelier tokens
        before[:, 0] = 0  # the likeliest always stays
        ordered = ordered * (before < top_p * ordered.sum(dim=1, keepdim=True))
    return torch.zeros_like(weights).scatter(1, order, ordered)
