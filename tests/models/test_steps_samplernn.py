"""SampleRNN's step program on the CPU engine against `advance`: any tiers, cells, tokens, phase, batch and threads."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgen_core import models
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.samplernn import SampleRNN
from seqgen_core.models.samplernn_layers import Recurrent
from seqgen_core.models.steps import samplernn, step_program
from seqgen_core.models.steps.program import Layer, Start
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.model import SamplernnSettings
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec

torch.set_num_threads(1)

ORDERED = CategoricalTokens(values=7, ordered=True)
SYMBOLS = CategoricalTokens(values=7)
STREAMS = st.sampled_from(
    [ORDERED, SYMBOLS, BinaryTokens(width=5), AmplitudeTokens(), PixelTokens(height=9, width=16, levels=5)]
)
CHOSEN = st.integers(1, 3).flatmap(
    lambda layers: st.builds(
        SamplernnSettings,
        frame_sizes=st.sampled_from([(1,), (4,), (7,), (3, 1), (6, 3), (5, 5), (12, 6, 3)]),
        cell=st.sampled_from(["gru", "lstm"]),
        layers=st.just(layers),
        channels=st.integers(1, 40),
        embedding=st.sampled_from([0, 3]),
        skip=st.booleans() if layers > 1 else st.just(False),
        weight_norm=st.booleans(),
        learn_initial_state=st.booleans(),
    )
)


def build(tokens: TokenSpec, **changes: Any) -> SampleRNN:
    model = models.build(SamplernnSettings(**changes), tokens).eval()
    assert isinstance(model, SampleRNN)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, Recurrent) and layer.initial is not None:
                layer.initial.normal_()
    return model


def check_outputs(model: SampleRNN, clips: int, threads: int, primed: int, steps: int) -> None:
    """What the engine says of given tokens, after a prime, is what `advance` says, to 1e-4."""
    tokens = random_tokens(model.tokens, clips, primed + steps)
    with torch.inference_mode():
        outputs, state = model.advance(tokens[:, :primed], model.initial_state(clips))
        later, _ = model.advance(tokens[:, primed:], state)
        engine = CpuEngine(step_program(model), clips, Filters(), threads=threads)
        engine.begin(Start(state), outputs[:, -1])
    wanted = torch.cat([outputs[:, -1:], later[:, :-1]], dim=1).numpy()
    scored, _ = engine.score(tokens[:, primed:].numpy())
    np.testing.assert_allclose(scored, wanted, rtol=0, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    chosen=CHOSEN,
    tokens=STREAMS,
    folded=st.booleans(),
    clips=st.sampled_from([1, 3]),
    threads=st.sampled_from([1, 2]),
    primed=st.integers(1, 30),
    seed=st.integers(0, 2**31),
)
def test_outputs_are_those_of_advance(
    chosen: SamplernnSettings, tokens: TokenSpec, folded: bool, clips: int, threads: int, primed: int, seed: int
) -> None:
    torch.manual_seed(seed)
    model = build(tokens, **chosen.model_dump(exclude={"kind"}))
    check_outputs(model.fold() if folded else model, clips, threads, primed, 60)


@pytest.mark.parametrize("skip", [False, True])
def test_vectors_are_multiplied_where_a_table_would_be_too_large(skip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = build(SYMBOLS, frame_sizes=(6, 2), layers=2, skip=skip, channels=9, embedding=3).fold()
    looked_up = step_program(model).multiply_adds
    check_outputs(model, 2, 1, 5, 40)
    monkeypatch.setattr(samplernn, "LARGEST_TABLE", 0)
    check_outputs(model, 2, 1, 5, 40)
    assert step_program(model).multiply_adds > looked_up


@pytest.mark.parametrize("tokens", [ORDERED, BinaryTokens(width=5)])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_no_product_but_the_first_hidden_layers_is_saved(tokens: TokenSpec, cell: str) -> None:
    model = build(tokens, frame_sizes=(8, 2), layers=2, skip=True, cell=cell, channels=9, embedding=3).fold()
    assert step_program(model).multiply_adds == pytest.approx(model.multiply_adds - 9 * 9)


def test_what_a_tier_tells_is_multiplied_when_it_is_needed() -> None:
    """Each token multiplies one slice of the upsampling weights, so that no token has to wait for all of them."""
    model = build(ORDERED, frame_sizes=(12, 4), channels=9, embedding=3).fold()
    for name, clock in (("tier 2 inputs", [(12, 0), (12, 4), (12, 8)]), ("hidden 1", [(4, 0), (4, 1), (4, 2), (4, 3)])):
        slices = [op for op in step_program(model).operations if isinstance(op, Layer) and op.out.name == name]
        assert [(layer.every, layer.at) for layer in slices] == clock
