"""One training step over several devices: the objective replicated on each (DDP), or cut over all of them (FSDP2).

Sources: Li et al. 2020, arXiv:2006.15704, section 3, and Zhao et al. 2023, arXiv:2304.11277, section 3.
"""

import contextlib
from collections.abc import Generator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from seqgen_core.training.distributed import Group
from seqgen_core.training.objective import Objective


class Parallel:
    """The objective as the devices of a group compute it together; call `run` as one would call the objective.

    shard: cut the weights over the devices, in place; each block's are gathered while it works.
    """

    def __init__(self, objective: Objective, group: Group, device: torch.device, *, shard: bool) -> None:
        self.run: nn.Module = objective
        if shard:
            mesh = init_device_mesh(device.type, (group.size,))
            for block in objective.model.shardable():
                fully_shard(block, mesh=mesh)
            fully_shard(objective, mesh=mesh)
        elif group.size > 1:
            self.run = DistributedDataParallel(objective, broadcast_buffers=False, gradient_as_bucket_view=True)

    @contextlib.contextmanager
    def part(self, last: bool) -> Generator[None]:
        """Around the forward and backward pass of one part of a batch; the gradients are averaged with the last."""
        if isinstance(self.run, FSDPModule):
            self.run.set_requires_gradient_sync(last)
        if isinstance(self.run, DistributedDataParallel) and not last:
            with self.run.no_sync():
                yield
        else:
            yield


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with those that are cut over devices gathered, on the CPU; all processes must ask together."""
    return {name: value.full_tensor().cpu() if isinstance(value, DTensor) else value for name, value in tensors.items()}


def laid_as(pattern: Tensor, value: Tensor) -> Tensor:
    """A whole tensor on the pattern's device, cut over devices as the pattern is; all processes must ask together."""
    value = value.to(pattern.device)
    if isinstance(pattern, DTensor):
        return distribute_tensor(value, pattern.device_mesh, pattern.placements)
    return value
