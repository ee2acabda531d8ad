"""An exponential moving average of the weights, which evaluation and generation use.

Source: Polyak and Juditsky 1992 for the average; the warm-up min(decay, (1 + n) / (10 + n)) is TensorFlow's
ExponentialMovingAverage with num_updates, so that early averages are not stuck at the initial weights.
"""

import contextlib
from collections.abc import Generator

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from seqgen_core.models.base import CausalModel
from seqgen_core.training.parallel import laid_as


class MovingAverage:
    """weights: the averages by parameter name, on the model's device."""

    def __init__(self, model: CausalModel, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: CausalModel, step: int) -> None:
        """Move the average towards the weights after their step-th step."""
        averages, values = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.weights[name])
                values.append(value)
            else:
                self.weights[name].copy_(value)
        get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))(averages, values, step)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take the averages of a checkpoint."""
        for name, value in weights.items():
            self.weights[name].copy_(laid_as(self.weights[name], value))

    @contextlib.contextmanager
    def applied_to(self, model: CausalModel) -> Generator[None]:
        """The model holds the averages inside the block and its own weights again after it."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)
