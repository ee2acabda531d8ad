"""Teacher forcing: the bits of one batch as a module, and one step of the optimiser down their gradient."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from seqgen_core.data.windows import Batch
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition


@dataclass(frozen=True)
class Placed:
    """A batch, or some rows of one, as tensors on the device. Axes and meanings are those of `Batch`.

    total: tokens that count in the whole batch, all rows and devices together.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor
    condition: Condition
    fresh: Tensor | None
    total: int


def place(model: CausalModel, batch: Batch, device: torch.device) -> Placed:
    """The batch on the device; of labels and features only what the model asks for."""

    def there(array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if device.type == "cuda":  # from pinned memory the copy runs beside the computing
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor.to(device)

    labels = there(batch.labels) if model.classes and batch.labels is not None else None
    features = there(batch.features) if model.local_features and batch.features is not None else None
    return Placed(
        there(batch.inputs),
        there(batch.targets),
        there(batch.mask),
        Condition(labels, features),
        None if batch.fresh is None else torch.from_numpy(batch.fresh),
        batch.scored if batch.total is None else batch.total,
    )


class Objective(nn.Module):
    """The loss of a model, as one module that can be compiled, replicated over devices, or cut over them.

    precision: fp32 or bf16 (autocast).
    """

    def __init__(self, model: CausalModel, precision: str) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, batch: Placed, carried: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor] | None]:
        """Sum of the bits of all scored tokens, a scalar that gradients flow through, and the state after the batch.

        carried: the state after the batch before, for a batch whose rows may go on; gradients do not flow into it. The
        state is None for a batch that stands alone.
        """
        model, state = self.model, None
        with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            if batch.fresh is None:
                outputs = model(batch.inputs, batch.condition, last=batch.targets.shape[1])
            else:
                begin = _begin(model, batch.fresh, carried)
                outputs, state = model.advance(batch.inputs, begin, batch.condition)
        bits = model.head.bits(outputs, batch.targets)
        return (bits * batch.mask).sum(), None if state is None else [part.detach() for part in state]


def _begin(model: CausalModel, fresh: Tensor, carried: list[Tensor] | None) -> list[Tensor]:
    """The initial state in fresh rows, what was carried in the others. fresh: bool (B,), on the CPU."""
    initial = model.initial_state(len(fresh))
    if carried is None or bool(fresh.all()):
        return initial
    # What is learnt of the beginning stays part of the loss, as processes that train together want it.
    if not bool(fresh.any()) and not any(part.requires_grad for part in initial):
        return carried
    return [
        torch.where(fresh.to(new.device).view(-1, *[1] * (new.dim() - 1)), new, old.to(new))
        for new, old in zip(initial, carried, strict=True)
    ]


def gradient(bits: Tensor, total: int, processes: int = 1) -> None:
    """Add to the weights' gradients that of bits in nats, as a share of the mean over `total` tokens.

    processes: over how many the gradients are averaged afterwards.
    """
    (bits * (math.log(2) * processes / max(1, total))).backward()


def descend(parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, clip_norm: float | None) -> float:
    """One step of the optimiser down the gradients, shortened to clip_norm. Returns their L2 norm before that.

    When it is not finite, no weight moves.
    """
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip_norm if clip_norm is not None else math.inf)
    length = (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()
    if math.isfinite(length):
        optimizer.step()
    return length
