"""The Bernoulli head: each place of a binary vector is one with a probability of its own, given the past.

The likelihood that the papers on polyphonic music report (Boulanger-Lewandowski et al. 2012, arXiv:1206.6392).
Axes: W places of the vector.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen_core.errors import ShapeError


class BernoulliHead:
    """Outputs (..., W) are the log-odds of a one at each place."""

    def __init__(self, width: int) -> None:
        self.size = self.draws = width

    def begin(self, weight: Tensor, bias: Tensor | None) -> None:
        """torch's own draw stands."""

    def bits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log2 p of targets int64 (..., W), summed over the places: (...), in float32, or float64 if outputs are."""
        if outputs.shape != targets.shape or outputs.shape[-1] != self.size:
            raise ShapeError(
                f"outputs {tuple(outputs.shape)} for targets {tuple(targets.shape)}; wanted {self.size} of each"
            )
        outputs = outputs if outputs.dtype == torch.float64 else outputs.float()
        nats = F.binary_cross_entropy_with_logits(outputs, targets.to(outputs), reduction="none").sum(dim=-1)
        return nats / math.log(2)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Probability of a one at each place (..., W)."""
        return (outputs if outputs.dtype == torch.float64 else outputs.float()).sigmoid()

    def mode(self, outputs: Tensor) -> Tensor:
        """Likeliest vector: ones where they are likelier than zeros."""
        return (outputs > 0).long()

    def sample(
        self, outputs: Tensor, uniforms: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> Tensor:
        """A one wherever the uniform is below its probability, in float64.

        temperature divides the log-odds; 0 takes the mode. top_k (0: off): only the k likeliest places may be one;
        top_p: places whose probability is below 1 - top_p stay zero. Of equals the lower place counts as likelier.
        Raises ShapeError where the shapes differ or, on the CPU, an output is NaN.
        """
        if outputs.dim() != 2 or outputs.shape[1] != self.size or uniforms.shape != outputs.shape:
            raise ShapeError(
                f"outputs {tuple(outputs.shape)} and uniforms {tuple(uniforms.shape)}; wanted (B, {self.size}) of each"
            )
        device = outputs.device
        if device.type == "mps":  # has no float64
            outputs, uniforms = outputs.cpu(), uniforms.cpu()
        if outputs.device.type == "cpu" and bool(outputs.isnan().any()):
            raise ShapeError(f"outputs {tuple(outputs.shape)} hold NaN; wanted log-odds")
        if temperature == 0:
            return self.mode(outputs).to(device)
        chances = (outputs.double() / temperature).sigmoid()  # (B, W)
        if top_p < 1:
            chances = chances * (chances >= 1 - top_p)
        if 0 < top_k < self.size:
            order = chances.argsort(dim=1, descending=True, stable=True)
            chances = chances.scatter(1, order[:, top_k:], 0.0)
        return (uniforms.to(chances) < chances).long().to(device)
