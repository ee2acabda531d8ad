"""One step of each model as a program for the engines: a file per kind of model over one vocabulary (`program`)."""

import importlib

from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps.program import StepProgram


def step_program(model: CausalModel) -> StepProgram:
    """What the model does with one new token. Its weights must be folded; they are not copied."""
    module = importlib.import_module(f"{__name__}.{model.kind}")
    return module.program(model)
