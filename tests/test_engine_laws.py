"""Law 3 for the engines: fed the tokens that a model is fed, they give its outputs, whatever the settings.

The judge is `advance`. Every kind of model with a step program is held to it, over the settings of test_laws.
"""

import importlib.util

import numpy as np
import pytest
import torch
from fed import Fed
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from test_laws import DRAWN, SEEDS, SPOKEN, STREAMS

from seqgen_core import models
from seqgen_core.errors import UsageError
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models import steps
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.model import MODEL_KINDS

torch.set_num_threads(1)

STEPPED = [kind for kind in MODEL_KINDS if importlib.util.find_spec(f"{steps.__name__}.{kind}")]
EACH_STEPPED_KIND = pytest.mark.parametrize("kind", STEPPED)
few = settings(max_examples=20, deadline=None)
fewer = settings(max_examples=5, deadline=None)
LONG = 300
"""Tokens that engines are fed: several periods of every drawn model, and rings that turn over many times."""


def drawn_model(data: st.DataObject, kind: str) -> CausalModel:
    chosen = data.draw(DRAWN[kind], label="settings")
    spoken = data.draw(SPOKEN.get(kind, STREAMS), label="tokens")
    torch.manual_seed(data.draw(SEEDS, label="seed"))
    try:
        model = models.build(chosen, spoken).eval().fold()
    except UsageError:  # these settings do not go with these tokens
        reject()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # biases are often zero at first
                parameter.normal_(std=0.3)
    return model


@EACH_STEPPED_KIND
@few
@given(data=st.data())
def test_law_3_the_compiled_engine_gives_the_outputs_of_the_model(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    batch, threads = (
        data.draw(st.sampled_from([1, 3]), label="batch"),
        data.draw(st.sampled_from([1, 2]), label="threads"),
    )
    fed = Fed(model, batch, data.draw(st.integers(1, 40), label="prime"), LONG)
    engine = CpuEngine(steps.step_program(model), batch, Filters(), threads=threads)
    outputs = fed.score(engine)
    np.testing.assert_allclose(outputs, fed.expected.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(fed.score(engine), outputs)  # nothing is left of the clip before


@EACH_STEPPED_KIND
@fewer
@given(data=st.data())
def test_a_clip_depends_neither_on_the_batch_nor_on_the_threads(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    weights = data.draw(st.sampled_from(["fp32", "bf16", "int8"]), label="weights")
    batch = data.draw(st.sampled_from([3, 9]), label="batch")
    fed = Fed(model, batch, data.draw(st.integers(1, 40), label="prime"), 40)
    program = steps.step_program(model)
    together = fed.score(CpuEngine(program, batch, Filters(), weights=weights))
    shared = fed.score(CpuEngine(program, batch, Filters(), threads=2, weights=weights))
    np.testing.assert_array_equal(shared, together)
    for clip in (0, batch - 1):
        alone = fed.clip(clip).score(CpuEngine(program, 1, Filters(), weights=weights))
        np.testing.assert_array_equal(alone[0], together[clip])


@EACH_STEPPED_KIND
@fewer
@given(data=st.data())
@pytest.mark.parametrize(("weights", "share"), [("bf16", 0.015), ("int8", 0.05)])
def test_short_weights_stay_near_the_model(kind: str, weights: str, share: float, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    fed = Fed(model, 3, data.draw(st.integers(1, 40), label="prime"), 60)
    outputs = fed.score(CpuEngine(steps.step_program(model), 3, Filters(), weights=weights))
    expected = fed.expected.numpy()
    assert np.square(outputs - expected).mean() ** 0.5 <= share * np.square(expected).mean() ** 0.5
