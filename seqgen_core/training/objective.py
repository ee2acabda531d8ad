"""Teacher forcing: the mean bits per scored token of one batch, and one step of the optimiser on it."""

import math

import torch
from torch import Tensor

from seqgen_core.data.windows import Batch
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition


def batch_bits(
    model: CausalModel, batch: Batch, device: torch.device, precision: str, carried: list[Tensor] | None = None
) -> tuple[Tensor, list[Tensor] | None]:
    """Mean bits per scored token, a scalar that gradients flow through, and the state after the batch.

    carried: the state after the batch before, for a batch whose rows may go on; gradients do not flow into it. The
    state is None for a batch that stands alone. precision: fp32 or bf16 (autocast).
    """
    inputs = torch.from_numpy(batch.inputs).to(device)
    targets = torch.from_numpy(batch.targets).to(device)
    mask = torch.from_numpy(batch.mask).to(device)
    condition = batch_condition(model, batch, device)
    state = None
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        if batch.fresh is None:
            outputs = model(inputs, condition, last=targets.shape[1])
        else:
            begin = _begin(model, torch.from_numpy(batch.fresh).to(device), carried)
            outputs, state = model.advance(inputs, begin, condition)
    bits = model.head.bits(outputs, targets)
    mean = (bits * mask).sum() / mask.sum().clamp(min=1)
    return mean, None if state is None else [part.detach() for part in state]


def batch_condition(model: CausalModel, batch: Batch, device: torch.device) -> Condition:
    """What the model is told beside the tokens, as far as it asks for it."""
    labels = torch.from_numpy(batch.labels).to(device) if model.classes and batch.labels is not None else None
    features = (
        torch.from_numpy(batch.features).to(device) if model.local_features and batch.features is not None else None
    )
    return Condition(labels, features)


def _begin(model: CausalModel, fresh: Tensor, carried: list[Tensor] | None) -> list[Tensor]:
    """The initial state in fresh rows, what was carried in the others."""
    initial = model.initial_state(len(fresh))
    if carried is None or bool(fresh.all()):
        return initial
    return [
        torch.where(fresh.view(-1, *[1] * (new.dim() - 1)), new, old.to(new))
        for new, old in zip(initial, carried, strict=True)
    ]


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
