"""The step program of Seq-U-Net: what runs at which token, and how much work that is."""

import numpy as np
import pytest
import torch
from fed import Fed

from seqgen_core import models
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps import step_program
from seqgen_core.models.steps.program import Layer
from seqgen_core.settings.model import SequnetSettings
from seqgen_core.settings.tokens import BinaryTokens, CategoricalTokens


def build(levels: int = 4, depth: int = 2) -> CausalModel:
    torch.manual_seed(0)
    return models.build(SequnetSettings(features=6, levels=levels, depth=depth), CategoricalTokens(values=7)).eval()


@pytest.mark.parametrize(("levels", "depth"), [(1, 1), (2, 1), (4, 2), (11, 2)])
def test_it_multiplies_as_often_as_the_model_says(levels: int, depth: int) -> None:
    model = build(levels, depth)
    assert step_program(model).multiply_adds == pytest.approx(model.multiply_adds, rel=1e-12)


def test_binary_vectors_are_multiplied_where_symbols_are_looked_up() -> None:
    model = models.build(SequnetSettings(features=6, levels=3, kernel_size=5), BinaryTokens(width=9))
    assert step_program(model).multiply_adds == pytest.approx(model.multiply_adds + 5 * 9 * 6, rel=1e-12)


def test_a_level_works_at_its_ticks_alone() -> None:
    model = build(levels=4, depth=1)
    program = step_program(model)

    def due(time: int) -> int:
        return sum(time % operation.every == operation.at for operation in program.operations)

    # Input and output, two convolutions at the fastest level, and an upsampling from one phase or the other; then at
    # each slower level that ticks a downsampling, two convolutions (or the bottleneck) and an upsampling.
    assert [due(time) for time in range(9)] == [5 + 4 + 4 + 2, 5, 9, 5, 5 + 4 + 4, 5, 9, 5, 15]


def test_long_after_the_prime_every_phase_of_the_clock_is_right() -> None:
    model = build(levels=6, depth=1)
    program = step_program(model)
    engine = CpuEngine(program, 2, Filters())
    for prime in (1, 2, 31, 32, 33):
        fed = Fed(model, 2, prime, 200)
        np.testing.assert_allclose(fed.score(engine), fed.expected.numpy(), rtol=1e-4, atol=1e-4)


def test_slots_keep_no_more_than_a_kernel() -> None:
    program = step_program(build(levels=5))
    assert max(program.slots.values()) == 5
    assert all(isinstance(operation, Layer) for operation in program.operations)
