"""Teacher forcing: the mean bits per scored token of one batch, and one step of the optimiser on it."""

import math

import torch
from torch import Tensor

from seqgen_core.data.windows import Batch
from seqgen_core.models.base import CausalModel


def batch_bits(model: CausalModel, batch: Batch, device: torch.device, precision: str) -> Tensor:
    """Mean bits per scored token, a scalar that gradients flow through. precision: fp32 or bf16 (autocast)."""
    inputs = torch.from_numpy(batch.inputs).to(device)
    targets = torch.from_numpy(batch.targets).to(device)
    mask = torch.from_numpy(batch.mask).to(device)
    condition = torch.from_numpy(batch.labels).to(device) if model.classes and batch.labels is not None else None
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        outputs = model(inputs, condition, last=targets.shape[1])
    bits = model.head.bits(outputs, targets)
    return (bits * mask).sum() / mask.sum()


def gradient_step(
    model: CausalModel, optimizer: torch.optim.Optimizer, bits: Tensor, clip_norm: float | None
) -> tuple[float, float]:
    """Step down the gradient of the bits (in nats). Returns (bits, gradient norm before clipping).

    When either is not finite, no weight moves.
    """
    optimizer.zero_grad(set_to_none=True)
    (bits * math.log(2)).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm if clip_norm is not None else math.inf)
    figures = bits.item(), norm.item()
    if all(map(math.isfinite, figures)):
        optimizer.step()
    return figures
