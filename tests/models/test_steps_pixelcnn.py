"""Gated PixelCNN's step program on the CPU engine against `advance`: any image, colours, kernels, layers, labels."""

import numpy as np
import pytest
import torch
from fed import Fed
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen_core import models
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.engines.cpu.layout import AT_ONCE
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps import step_program
from seqgen_core.models.steps.program import Rows, Slot, Turn
from seqgen_core.settings.model import PixelcnnSettings
from seqgen_core.settings.tokens import PixelTokens

torch.set_num_threads(1)

CHOSEN = st.builds(
    PixelcnnSettings,
    layers=st.integers(1, 4),
    channels=st.integers(4, 40),
    first_kernel_size=st.sampled_from([3, 5, 7]),
    kernel_size=st.sampled_from([3, 5]),
    output_channels=st.integers(4, 40),
    classes=st.sampled_from([0, 3]),
    mixtures=st.sampled_from([0, 2]),
)
IMAGES = st.builds(
    PixelTokens,
    height=st.integers(1, 6),
    width=st.integers(1, 11),  # more columns and fewer than are multiplied at once
    channels=st.integers(1, 4),
    levels=st.sampled_from([2, 5]),
).filter(lambda image: image.length > 2)


def build(chosen: PixelcnnSettings, image: PixelTokens, seed: int = 0) -> CausalModel:
    torch.manual_seed(seed)
    return models.build(chosen, image).eval()


@settings(max_examples=40, deadline=None)
@given(
    chosen=CHOSEN,
    image=IMAGES,
    clips=st.sampled_from([1, 3]),
    threads=st.sampled_from([1, 2]),
    primed=st.integers(1, 60),
    seed=st.integers(0, 2**31),
)
def test_outputs_are_those_of_advance(
    chosen: PixelcnnSettings, image: PixelTokens, clips: int, threads: int, primed: int, seed: int
) -> None:
    """To the end of the image, from any place in it: between colours, between pixels, at a row's edge."""
    model = build(chosen, image, seed)
    fed = Fed(model, clips, primed, image.length)
    program = step_program(model)
    scored = fed.score(CpuEngine(program, clips, Filters(), threads=threads))
    np.testing.assert_allclose(scored, fed.expected.numpy(), rtol=0, atol=1e-4)
    assert program.multiply_adds == pytest.approx(model.multiply_adds)


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_short_weights_stay_near(weights: str) -> None:
    chosen = PixelcnnSettings(layers=3, channels=24, classes=3)
    fed = Fed(build(chosen, PixelTokens(height=5, width=9, channels=3, levels=5)), 2, 20, 200)
    program = step_program(build(chosen, PixelTokens(height=5, width=9, channels=3, levels=5)))
    scored = fed.score(CpuEngine(program, 2, Filters(), weights=weights))
    difference = scored - fed.expected.numpy()
    assert 0 < np.square(difference).mean() < 0.05**2 * np.square(fed.expected.numpy()).mean()


@pytest.mark.parametrize("width", [AT_ONCE - 1, AT_ONCE + 3, 2 * AT_ONCE + 9])
def test_wide_rows_are_worked_out_in_pieces(width: int) -> None:
    image = PixelTokens(height=3, width=width, levels=5)
    fed = Fed(build(PixelcnnSettings(layers=2, channels=8, kernel_size=5), image), 2, width // 2, image.length)
    program = step_program(build(PixelcnnSettings(layers=2, channels=8, kernel_size=5), image))
    for threads in (1, 2):
        scored = fed.score(CpuEngine(program, 2, Filters(), threads=threads))
        np.testing.assert_allclose(scored, fed.expected.numpy(), rtol=0, atol=1e-4)


def test_the_vertical_stack_runs_once_for_a_row() -> None:
    """Its weights are read where a row begins; nothing of it is left to do at the other pixels but to turn."""
    image = PixelTokens(height=4, width=5, channels=3, levels=5)
    program = step_program(build(PixelcnnSettings(layers=2, channels=6), image))
    rows = [operation for operation in program.operations if isinstance(operation, Rows)]
    assert {(operation.every, operation.at, operation.columns) for operation in rows} == {(15, 0, 5)}
    turns = [operation for operation in program.operations if isinstance(operation, Turn)]
    assert len(turns) == 2 * 3
    assert {(operation.every, operation.at, operation.count) for operation in turns} == {(3, 0, 5)}


def test_a_row_layer_of_wrong_shape_is_refused() -> None:
    program = step_program(build(PixelcnnSettings(layers=2, channels=6), PixelTokens(height=4, width=5, levels=5)))
    row = next(operation for operation in program.operations if isinstance(operation, Rows))
    fields = {**vars(row), "side": row.side + 1}
    wrong = Rows(**fields)
    with pytest.raises(ValueError, match="weight"):
        type(program)(program.tokens, program.head, (wrong,), program.outputs)
    wrong = Rows(**{**vars(row), "sums": Slot("sums", 5)})
    with pytest.raises(ValueError, match="5 numbers for 12 rows"):
        type(program)(program.tokens, program.head, (wrong,), program.outputs)
