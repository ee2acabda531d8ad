"""The step program of TCN: how much work it is, and learned vectors that are folded into tables, or are not."""

import numpy as np
import pytest
import torch
from fed import Fed

from seqgen_core import models
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps import entry, step_program
from seqgen_core.settings.model import TcnSettings
from seqgen_core.settings.tokens import BinaryTokens, CategoricalTokens, TokenSpec

SYMBOLS = CategoricalTokens(values=9)


def build(tokens: TokenSpec = SYMBOLS, **settings: object) -> CausalModel:
    torch.manual_seed(0)
    drawn = TcnSettings.model_validate({"channels": 6, "levels": 3, "kernel_size": 3, **settings})
    return models.build(drawn, tokens).eval().fold()


def test_it_multiplies_as_often_as_the_model_says() -> None:
    model = build()
    assert step_program(model).multiply_adds == model.multiply_adds


@pytest.mark.parametrize("channels", [6, 8])  # as many as the vectors have: nothing is matched
def test_products_with_learned_vectors_are_looked_up_while_the_table_is_small(
    monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    model = build(embedding=8, channels=channels)
    fed = Fed(model, 2, 5, 40)
    looked_up = 3 * 8 * 6 + 8 * 6 if channels == 6 else 3 * 8 * 8  # the first convolution, and the match
    for largest, spared in ((entry.LARGEST_TABLE, looked_up), (0, 0)):
        monkeypatch.setattr(entry, "LARGEST_TABLE", largest)
        program = step_program(model)
        assert program.multiply_adds == model.multiply_adds - spared
        outputs = fed.score(CpuEngine(program, 2, Filters()))
        np.testing.assert_allclose(outputs, fed.expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("width", "folded"), [(3, True), (40, False)])
def test_vectors_of_binary_tokens_are_made_where_that_is_less_work(width: int, folded: bool) -> None:
    model = build(BinaryTokens(width=width), embedding=8)
    program = step_program(model)
    assert ("vectors" not in {slot.name for slot in program.slots}) == folded
    fed = Fed(model, 2, 5, 40)
    outputs = fed.score(CpuEngine(program, 2, Filters()))
    np.testing.assert_allclose(outputs, fed.expected.numpy(), rtol=1e-4, atol=1e-4)


def test_the_match_reads_what_the_first_convolution_reads() -> None:
    model = build(levels=2, embedding=8, tied=True)  # the last block has other channels than the one before
    program = step_program(model)
    names = [operation.out.name for operation in program.operations]
    assert names == [
        "block 1 conv 1",
        "block 1 match",
        "block 1",
        "block 2 conv 1",
        "block 2 match",
        "block 2",
        "outputs",
    ]
