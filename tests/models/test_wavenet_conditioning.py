"""WaveNet's conditions: what it is told is heard at the right token, in every layer, and is worth something."""

import dataclasses

import numpy as np
import pytest
import torch

from seqgen_core import models
from seqgen_core.data.store import PreparedData
from seqgen_core.data.windows import Windows
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.errors import ShapeError
from seqgen_core.models.condition import Condition
from seqgen_core.models.reach import measure_reach
from seqgen_core.models.scoring import score_streams
from seqgen_core.models.wavenet import Layer, WaveNet
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.model import WaveNetSettings
from seqgen_core.settings.tokens import CategoricalTokens

SMALL = WaveNetSettings(
    stacks=1, layers=3, residual_channels=6, dilation_channels=5, skip_channels=12, output_channels=9, local_features=4
)
FOUR = CategoricalTokens(values=4)


def wavenet(**changes) -> WaveNet:
    torch.manual_seed(0)
    model = models.build(SMALL.model_copy(update=changes), FOUR).double().eval()
    assert isinstance(model, WaveNet)
    return model


def test_features_that_stand_still_are_a_bias_of_filter_and_gate():
    model, plain = wavenet(), wavenet(local_features=0)
    tokens, told = torch.randint(4, (2, 30)), torch.randn(4, dtype=torch.float64)
    state = {name: value for name, value in model.state_dict().items() if "local" not in name}
    for name, layer in model.named_modules():
        if isinstance(layer, Layer):
            assert layer.local is not None
            state[f"{name}.gated.bias"] = layer.gated.bias + layer.local.weight[:, :, 0] @ told
    plain.load_state_dict(state)
    with torch.no_grad():
        told_all_along = model(tokens, Condition(features=told.expand(2, 30, 4)))
        torch.testing.assert_close(told_all_along, plain(tokens))
        assert not torch.allclose(told_all_along, model(tokens, Condition(features=torch.zeros(2, 30, 4).double())))


def test_each_output_hears_its_own_features_and_none_that_come_later():
    model = wavenet()
    reach = model.receptive_field
    assert reach == 8
    assert measure_reach(model) == reach
    features = torch.randn(1, 30, 4, dtype=torch.float64, requires_grad=True)
    outputs = model(torch.randint(4, (1, 30)), Condition(features=features))
    (influence,) = torch.autograd.grad(outputs[0, 20].square().sum(), features)
    heard = influence[0].abs().amax(dim=1).nonzero()[:, 0]
    # The third layer hears the second now and 4 ago, that one the first now and 2 ago, each what it is told then.
    assert heard.tolist() == [14, 16, 18, 20]


def test_every_layer_is_told_on_top_of_the_label():
    model = wavenet(classes=3)
    tokens = torch.randint(4, (2, 9))
    features = torch.randn(2, 9, 4, dtype=torch.float64)
    labels = torch.tensor([0, 2])
    model(tokens, Condition(labels, features)).square().sum().backward()
    told = [name for name, weight in model.named_parameters() if ".local." in name or ".condition." in name]
    assert len(told) == 6
    assert all(bool(model.get_parameter(name).grad.abs().any()) for name in told)  # ty: ignore[unresolved-attribute]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (Condition(), r"no features for a model of 4 features per token; wanted \(2, 9, 4\)"),
        (Condition(features=torch.zeros(2, 8, 4)), r"features \(2, 8, 4\); wanted \(2, 9, 4\)"),
        (Condition(features=torch.zeros(2, 9, 3)), r"features \(2, 9, 3\); wanted \(2, 9, 4\)"),
    ],
)
def test_features_that_do_not_fit_are_refused(condition, said):
    with pytest.raises(ShapeError, match=said):
        wavenet()(torch.zeros(2, 9, dtype=torch.int64), condition)
    with pytest.raises(ShapeError, match=r"features \(2, 9, 4\); wanted None"):
        wavenet(local_features=0)(torch.zeros(2, 9, dtype=torch.int64), Condition(features=torch.zeros(2, 9, 4)))


def test_the_table_counts_what_is_told():
    told, plain = wavenet(), wavenet(local_features=0)
    more = 3 * 4 * 2 * SMALL.dilation_channels
    assert told.parameter_count - plain.parameter_count == more
    assert told.multiply_adds - plain.multiply_adds == more
    assert told.reference_parameters - plain.reference_parameters == more
    assert sum(row.parameters for row in told.layer_table()) == told.parameter_count


def test_what_is_told_of_a_token_tells_that_token_from_storage_to_score(tmp_path):
    # Tokens without any order, and features that say each of them: only features of the very token can help.
    rng = np.random.default_rng(0)
    with PreparedWriter(
        tmp_path, AudioCodecSettings(rate=1000, levels=4), MelSettings(rate=1000, bands=4, hop=1, window=4)
    ) as writer:
        for split in ("train", "valid"):
            tokens = rng.integers(0, 4, 600)
            writer.add(tokens, origin=split, split=split, frames=np.eye(4)[tokens])
        writer.finish()
    data = PreparedData.open(tmp_path)
    model = wavenet().float()
    windows = Windows(data, data.items("train"), window=60, context=7, batch_size=4, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(60):
        batch = windows.batch(step)
        assert batch.features is not None
        condition = Condition(features=torch.from_numpy(batch.features))
        outputs = model(torch.from_numpy(batch.inputs), condition, last=batch.targets.shape[1])
        bits = model.head.bits(outputs, torch.from_numpy(batch.targets))[torch.from_numpy(batch.mask)].mean()
        optimizer.zero_grad()
        bits.backward()
        optimizer.step()
    told = data.stream(data.items("valid")[0])
    (score,) = score_streams(model, [told], chunk=100)
    assert score.tokens == 599
    assert score.bits_per_token < 0.2
    # Told of the token before instead, it is worse off than with a guess.
    assert told.features is not None
    late = dataclasses.replace(told, features=np.roll(np.asarray(told.features[np.arange(600)]), 1, axis=0))
    assert score_streams(model, [late])[0].bits_per_token > 2
