"""The step program of plain Seq-U-Net: how much work it is, with every way in and out."""

import pytest
import torch

from seqgen_core import models
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps import step_program
from seqgen_core.settings.model import SequnetPlainSettings
from seqgen_core.settings.tokens import CategoricalTokens


def build(**settings: object) -> CausalModel:
    torch.manual_seed(0)
    drawn = SequnetPlainSettings.model_validate({"features": 6, "levels": 4, **settings})
    return models.build(drawn, CategoricalTokens(values=9)).eval()


@pytest.mark.parametrize("levels", [2, 4, 10])
@pytest.mark.parametrize("bottom", [None, 5])
def test_it_multiplies_as_often_as_the_model_says(levels: int, bottom: int | None) -> None:
    model = build(levels=levels, bottleneck_features=bottom)
    assert step_program(model).multiply_adds == pytest.approx(model.multiply_adds, rel=1e-12)


def test_products_with_learned_vectors_are_looked_up() -> None:
    model = build(embedding=8, kernel_size=3)
    assert step_program(model).multiply_adds == pytest.approx(model.multiply_adds - 3 * 8 * 6, rel=1e-12)


def test_tied_weights_are_those_of_the_vectors() -> None:
    model = build(embedding=8, tied=True)
    outputs = list(step_program(model).layers())[-1]
    assert outputs.weight is model.get_parameter("entry.table.weight")
