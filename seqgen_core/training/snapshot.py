"""What decides the next weights besides the weights themselves: the optimiser's tensors and the random state."""

import torch
from torch import Tensor

from seqgen_core.models.base import CausalModel
from seqgen_core.training.parallel import laid_as


def optimizer_tensors(model: CausalModel, optimizer: torch.optim.Optimizer, device: torch.device) -> dict[str, Tensor]:
    """The optimiser's tensors as `<what>.<parameter>`, and torch's random state as rng.cpu and rng.cuda."""
    tensors: dict[str, Tensor] = {"rng.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(device)
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    return tensors


def restore_optimizer(
    tensors: dict[str, Tensor], model: CausalModel, optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """Take back what `optimizer_tensors` gave; a parameter that it knows nothing of starts afresh."""
    for name, parameter in model.named_parameters():
        state = {
            key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in tensors
        }
        if state:
            optimizer.state[parameter] = {
                key: value if key == "step" else laid_as(parameter, value) for key, value in state.items()
            }
            if any(group.get("fused") for group in optimizer.param_groups):  # counts its steps where it works
                optimizer.state[parameter]["step"] = state["step"].to(device)
    if "rng.cpu" in tensors:
        torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["rng.cuda"], device)
