"""The laws that every model of the union keeps, over settings drawn by Hypothesis, in float64.

A new model needs one line in DRAWN; a model without one fails the first test.
"""

import itertools
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor

from seqgen_core import models
from seqgen_core.errors import UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition
from seqgen_core.models.heads import build_head
from seqgen_core.models.reach import measure_reach
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.base import Settings
from seqgen_core.settings.model import (
    MODEL_KINDS,
    PixelcnnSettings,
    SamplernnSettings,
    SequnetPlainSettings,
    SequnetSettings,
    TcnSettings,
    WaveNetSettings,
)
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec

torch.set_num_threads(1)

SMALL = st.integers(2, 6)
WIDE = st.integers(16, 20)  # so many channels that the ReLUs behind them are never all shut


def embedding_models(kind: type[Settings], **drawn: st.SearchStrategy) -> st.SearchStrategy:
    """Settings whose tokens enter as they are or by an embedding, whose weights the output layer may share."""
    plain = st.builds(kind, dropout=st.sampled_from([0.0, 0.2]), **drawn)
    entries = {"embedding": WIDE, "embedding_dropout": st.sampled_from([0.0, 0.1]), "tied": st.booleans()}
    return plain | st.builds(kind, dropout=st.sampled_from([0.0, 0.2]), **entries, **drawn)


DRAWN = {
    "wavenet": st.builds(
        WaveNetSettings,
        stacks=st.integers(1, 3),
        layers=st.integers(1, 4),
        kernel_size=st.integers(2, 4),
        residual_channels=SMALL,
        dilation_channels=SMALL,
        # So many that the ReLUs above them are never all shut.
        skip_channels=st.integers(32, 40),
        output_channels=st.one_of(st.none(), st.integers(32, 40)),
        bias=st.booleans(),
        skip=st.sampled_from(["sum", "mean"]),
        input=st.sampled_from(["embedding", "one-hot"]),
        classes=st.sampled_from([0, 3]),
        local_features=st.sampled_from([0, 3]),
    ),
    "sequnet": st.builds(
        SequnetSettings,
        features=st.integers(6, 8),
        levels=st.integers(1, 4),
        depth=st.integers(1, 2),
        kernel_size=st.sampled_from([3, 5, 7]),
    ),
    "tcn": embedding_models(TcnSettings, channels=WIDE, levels=st.integers(1, 4), kernel_size=st.integers(2, 4)),
    "sequnet_plain": embedding_models(
        SequnetPlainSettings,
        features=st.integers(8, 10),
        bottleneck_features=st.sampled_from([None, 7]),
        levels=st.integers(2, 4),
        kernel_size=st.sampled_from([3, 5, 7]),
    ),
    "samplernn": st.integers(1, 3).flatmap(
        lambda layers: st.builds(
            SamplernnSettings,
            frame_sizes=st.sampled_from([(4,), (7,), (6, 3), (5, 5), (12, 6, 3)]),
            cell=st.sampled_from(["gru", "lstm"]),
            layers=st.just(layers),
            channels=WIDE,
            embedding=st.sampled_from([0, 3]),
            skip=st.booleans() if layers > 1 else st.just(False),
            weight_norm=st.booleans(),
            learn_initial_state=st.booleans(),
        )
    ),
    "pixelcnn": st.builds(
        PixelcnnSettings,
        layers=st.integers(1, 3),
        # So many for each colour that the ReLUs above them are never all shut.
        channels=st.integers(48, 54),
        first_kernel_size=st.sampled_from([3, 5, 7]),
        kernel_size=st.sampled_from([3, 5]),
        output_channels=st.integers(48, 54),
        classes=st.sampled_from([0, 3]),
        mixtures=st.sampled_from([0, 2]),
    ),
}
STREAMS = st.sampled_from(
    [
        CategoricalTokens(values=7),
        CategoricalTokens(values=7, ordered=True),
        BinaryTokens(width=9),
        AmplitudeTokens(),
        PixelTokens(height=9, width=16, levels=5),
    ]
)
"""What models of 1-D streams speak."""
IMAGES = st.builds(
    PixelTokens,
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    channels=st.integers(1, 3),
    levels=st.sampled_from([2, 5]),
).filter(lambda image: image.length > 2)  # a single intensity depends on none
"""What models of images speak."""
SPOKEN: dict[str, st.SearchStrategy[TokenSpec]] = {"pixelcnn": IMAGES}
"""Tokens of the models that do not speak STREAMS."""
SEEDS = st.integers(0, 2**31)
EACH_KIND = pytest.mark.parametrize("kind", MODEL_KINDS)
few = settings(max_examples=50, deadline=None)


def test_every_model_of_the_union_is_drawn() -> None:
    assert set(DRAWN) == set(MODEL_KINDS)


def drawn_model(data: st.DataObject, kind: str, tokens: TokenSpec | None = None) -> CausalModel:
    chosen = data.draw(DRAWN[kind], label="settings")
    torch.manual_seed(data.draw(SEEDS, label="seed"))
    spoken = tokens if tokens is not None else data.draw(SPOKEN.get(kind, STREAMS), label="tokens")
    try:
        return models.build(chosen, spoken).double().eval()
    except UsageError:  # these settings do not go with these tokens
        reject()


def drawn_clip(model: CausalModel, batch: int, steps: int) -> tuple[Tensor, Condition]:
    tokens = random_tokens(model.tokens, batch, steps)
    labels = torch.randint(model.classes, (batch,)) if model.classes else None
    features = torch.randn(batch, steps, model.local_features, dtype=torch.float64) if model.local_features else None
    return tokens, Condition(labels, features)


def no_longer_than(model: CausalModel, steps: int) -> int:
    return steps if model.longest is None else min(steps, model.longest)


@EACH_KIND
@few
@given(data=st.data())
def test_law_1_no_output_depends_on_later_tokens(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    steps = data.draw(st.integers(2, no_longer_than(model, 90)), label="steps")
    nudged = data.draw(st.integers(0, steps - 1), label="nudged")
    tokens, condition = drawn_clip(model, 8, steps)  # several clips, so that in one of them the last ReLU is open
    other = tokens.clone()
    other[:, nudged] = (tokens[:, nudged] + 1) % model.tokens.values
    with torch.no_grad():
        before, after = model(tokens, condition), model(other, condition)
    assert torch.equal(before[:, :nudged], after[:, :nudged])
    if model.longest is None:  # in an image the next intensity can lie where this one is out of sight
        assert not torch.equal(before[:, nudged], after[:, nudged])


@EACH_KIND
@few
@given(data=st.data())
def test_law_2_the_reach_is_as_declared_over_all_phases(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind).requires_grad_(False)
    if model.receptive_field is None:
        check_that_the_past_has_no_end(model)
        return
    assert measure_reach(model) == model.receptive_field

    # The same by gradients, phase by phase, on the weights as built; several clips, so that some ReLU is open.
    steps = no_longer_than(model, model.receptive_field + model.period)
    tokens, condition = drawn_clip(model, 6, steps)
    presence = torch.ones(tokens.shape[:2], dtype=torch.float64, requires_grad=True)
    outputs = model.forward_weighted(tokens, presence, condition)
    weights = torch.randn_like(outputs)
    lags = []
    for time in range(steps - model.period, steps):
        (influence,) = torch.autograd.grad(
            (outputs[:, time] * weights[:, time]).sum(), presence, retain_graph=time < steps - 1
        )
        heard = influence.abs().amax(dim=0).nonzero()
        if model.longest is None or len(heard):  # nothing of an image is known before its first intensity
            assert int(heard[-1]) <= time
            lags.append(time - int(heard[0]))
    assert max(lags, default=-1) == model.receptive_field - 1


def check_that_the_past_has_no_end(model: CausalModel) -> None:
    """The outputs of one whole period, late in a clip, all depend on the clip's very first token."""
    steps = 3 * model.period + 10
    tokens, condition = drawn_clip(model, 6, steps)
    presence = torch.ones(tokens.shape[:2], dtype=torch.float64, requires_grad=True)
    outputs = model.forward_weighted(tokens, presence, condition)
    weights = torch.randn_like(outputs)
    for time in range(steps - model.period, steps):
        output = (outputs[:, time] * weights[:, time]).sum()
        (influence,) = torch.autograd.grad(output, presence, retain_graph=time < steps - 1)
        heard = influence.abs().amax(dim=0).nonzero()
        assert (int(heard[0]), int(heard[-1])) == (0, time)


@EACH_KIND
@few
@given(data=st.data())
def test_law_3_stepping_is_the_forward(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    steps = data.draw(st.integers(1, no_longer_than(model, 120)), label="steps")
    chunk = st.integers(1, data.draw(st.sampled_from([1, 5, 60]), label="largest chunk"))
    tokens, condition = drawn_clip(model, 2, steps)
    cuts = [0]
    while cuts[-1] < steps:
        cuts.append(min(steps, cuts[-1] + data.draw(chunk)))
    last = data.draw(st.integers(1, steps), label="last")
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        model.to(dtype)
        condition = Condition(condition.labels, None if condition.features is None else condition.features.to(dtype))
        with torch.no_grad():
            parallel = model(tokens, condition)
            state, pieces = model.initial_state(2), []
            for first, stop in itertools.pairwise(cuts):
                given_state = [kept.clone() for kept in state]
                piece, next_state = model.advance(tokens[:, first:stop], state, condition.stretch(first, stop))
                assert all(torch.equal(kept, copy) for kept, copy in zip(state, given_state, strict=True))
                pieces.append(piece)
                state = next_state
            stepped = torch.cat(pieces, dim=1)
            newest = model(tokens, condition, last=last)
        assert parallel.shape == (2, steps, model.head.size)
        torch.testing.assert_close(stepped, parallel, rtol=0, atol=tolerance)
        torch.testing.assert_close(newest, parallel[:, -last:], rtol=0, atol=tolerance)


@few
@given(
    data=st.data(),
    values=st.integers(2, 40),
    mixtures=st.sampled_from([0, 1, 4]),
    loudness=st.sampled_from([0.1, 1.0, 10.0, 300.0]),
)
def test_law_4_the_head_is_a_distribution(data: st.DataObject, values: int, mixtures: int, loudness: float) -> None:
    head = build_head(CategoricalTokens(values=values, ordered=True), mixtures)
    torch.manual_seed(data.draw(SEEDS))
    outputs = loudness * torch.randn(3, head.size, dtype=torch.float64)
    probabilities = head.probabilities(outputs)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(3, dtype=torch.float64))
    every = torch.arange(values).expand(3, values)
    bits = head.bits(outputs[:, None].expand(3, values, head.size), every)
    torch.testing.assert_close(torch.exp2(-bits), probabilities)

    # Evenly spaced uniforms hit each token as often as its share of the line, up to both ends; for two uniforms the
    # evenly spaced points of a square do, up to the edge of every strip.
    draws, loss = (2000, 1.01 / 2000) if head.draws == 1 else (400**2, (2 + max(1, mixtures)) / 400)
    side = round(draws ** (1 / head.draws))
    line = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    uniforms = torch.cartesian_prod(*[line] * head.draws).view(draws, head.draws)
    for row in range(3):
        tokens = head.sample(outputs[row].expand(draws, head.size), uniforms)
        shares = torch.bincount(tokens, minlength=values) / draws
        assert float((shares - probabilities[row]).abs().max()) <= loss


@few
@given(data=st.data(), width=st.integers(1, 6), loudness=st.sampled_from([0.1, 1.0, 10.0]))
def test_law_4_vectors_of_ones_and_zeros_are_a_distribution(data: st.DataObject, width: int, loudness: float) -> None:
    head = build_head(BinaryTokens(width=width))
    torch.manual_seed(data.draw(SEEDS))
    outputs = loudness * torch.randn(3, width, dtype=torch.float64)
    vectors = torch.cartesian_prod(*[torch.arange(2)] * width).view(2**width, width)  # all there are
    bits = head.bits(outputs[:, None].expand(3, 2**width, width), vectors.expand(3, 2**width, width))
    chances = torch.exp2(-bits)  # (3, 2 ** width)
    torch.testing.assert_close(chances.sum(dim=1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(chances @ vectors.double(), head.probabilities(outputs))
    draws = 2000
    line = (torch.arange(draws, dtype=torch.float64)[:, None] + 0.5) / draws
    for row in range(3):
        shares = head.sample(outputs[row].expand(draws, width), line.expand(draws, width)).double().mean(dim=0)
        assert float((shares - head.probabilities(outputs)[row]).abs().max()) <= 1.01 / draws


@EACH_KIND
@few
@given(data=st.data())
def test_law_5_every_parameter_gets_a_gradient(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    model.train()
    steps = no_longer_than(model, 4 * model.period + 40)
    tokens, condition = drawn_clip(model, 3, steps)
    outputs = model(tokens[:, :-1], condition.stretch(0, steps - 1))
    model.head.bits(outputs, tokens[:, 1:]).mean().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().any())]
    assert silent == []


@EACH_KIND
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_law_5_twenty_steps_on_real_sound_lower_the_loss(kind: str, data: st.DataObject, shared_data: Path) -> None:
    with wave.open(str(shared_data / "speech" / "fsdd" / "3_jackson_5.wav")) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")
    amplitude = samples[1000:1800] / 32768
    curve = np.sign(amplitude) * np.log1p(255 * np.abs(amplitude)) / np.log1p(255)
    tokens = torch.from_numpy(np.round((curve + 1) / 2 * 31).astype(np.int64))[None]
    spoken = PixelTokens(height=17, width=47, levels=32) if kind in SPOKEN else CategoricalTokens(values=32)
    model = drawn_model(data, kind, spoken)
    _, condition = drawn_clip(model, 1, 799)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(21):
        loss = model.head.bits(model(tokens[:, :-1], condition), tokens[:, 1:]).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.2
