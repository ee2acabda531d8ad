"""What a run's model is before it has weights: its size and how far it looks back."""

import torch

from seqgen_core import models
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.run import RunSettings


def blueprint(settings: RunSettings) -> CausalModel:
    """The model of a run without numbers in its tensors: parameter_count, receptive_field, layer_table()."""
    with torch.device("meta"):
        return models.build(settings.model, settings.tokens)
