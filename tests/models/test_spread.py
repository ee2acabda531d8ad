"""Spreading a clocked program changes when it works, not what it says."""

import numpy as np
import pytest
import torch
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.heads import CategoricalHead
from seqgen_core.models.steps import step_program
from seqgen_core.models.steps.program import Layer, Slot, Source, Start, StepProgram
from seqgen_core.models.steps.spread import spread
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.model import SequnetPlainSettings, SequnetSettings
from seqgen_core.settings.tokens import CategoricalTokens

SYMBOLS = CategoricalTokens(values=12)


def loads(program):
    """Multiply-adds at each token of a period."""
    period = max(operation.every for operation in program.operations)
    load = np.zeros(period)
    for layer in program.layers():
        if layer.weight is not None:
            load[layer.at :: layer.every] += layer.weight.numel()
    return load


@pytest.mark.parametrize("heard", [1, 4, 5, 6, 7, 8, 23])
@pytest.mark.parametrize(
    "settings",
    [
        SequnetSettings(features=6, levels=4, depth=2, kernel_size=5),
        SequnetSettings(features=5, levels=3, depth=1, kernel_size=3),
        SequnetPlainSettings(features=6, levels=4, kernel_size=7),
        TINY_MODELS["samplernn"],
    ],
    ids=str,
)
def test_outputs_are_the_same(settings, heard):
    torch.manual_seed(heard)
    model = models.build(settings, SYMBOLS).eval().fold()
    tokens = random_tokens(SYMBOLS, 2, heard + 70)
    with torch.no_grad():
        outputs, state = model.advance(tokens[:, :heard], model.initial_state(2))
        later, _ = model.advance(tokens[:, heard:], state)
    expected = torch.cat([outputs[:, -1:], later[:, :-1]], dim=1).numpy()
    program = spread(step_program(model))
    engine = CpuEngine(program, 2, Filters())
    engine.begin(Start(state), outputs[:, -1])
    assert np.abs(engine.score(tokens[:, heard:].numpy())[0] - expected).max() < 1e-5


def test_the_busiest_token_has_less_to_do_and_all_together_as_much():
    model = models.build(SequnetSettings(features=16, levels=8, depth=1), SYMBOLS)
    plain = step_program(model)
    even = spread(plain)
    assert even.multiply_adds == pytest.approx(plain.multiply_adds)
    assert loads(even).sum() == pytest.approx(loads(plain).sum())
    assert loads(even).max() < 0.35 * loads(plain).max()


def test_a_program_without_clocks_is_left_alone():
    program = step_program(models.build(TINY_MODELS["wavenet"], SYMBOLS))
    assert spread(program) is program


def test_shapes_that_do_not_fit_are_refused():
    a, b = Slot("a", 2), Slot("b", 3)
    weight = torch.zeros(3, 2)
    Layer(b, (Source(a),), weight)
    for layer, fault in (
        (Layer(b, (Source(a),), weight.t()), r"b: weight \(2, 3\) for 3 rows and 2 columns"),
        (Layer(b, (Source(a),), weight, bias=torch.zeros(2)), r"b: bias \(2,\) for 3 rows"),
        (Layer(b, (Source(a),), weight, plus=a), "b: 2 numbers added to 3 rows"),
        (Layer(b, (Source(b),), torch.zeros(3, 3)), "b reads its own values"),
        (Layer(b, (Source(a),), weight, every=2, at=2), "b runs at 2 of every 2"),
    ):
        with pytest.raises(ValueError, match=fault):
            StepProgram(SYMBOLS, CategoricalHead(3), (layer,), b)
    with pytest.raises(ValueError, match="3 outputs for a head that reads 4"):
        StepProgram(SYMBOLS, CategoricalHead(4), (Layer(b, (Source(a),), weight),), b)
