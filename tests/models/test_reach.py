"""The measured reach is measured: it finds the truth when the model's own figure is wrong."""

import pytest
import torch

from seqgen_core import models
from seqgen_core.models import wavenet
from seqgen_core.models.reach import measure_reach
from seqgen_core.settings.model import SequnetSettings, WaveNetSettings
from seqgen_core.settings.tokens import CategoricalTokens

TOKENS = CategoricalTokens(values=5)


@pytest.mark.parametrize("claimed", [1, 20, 37, 500])
def test_a_false_declaration_is_not_believed(claimed: int) -> None:
    model = models.build(SequnetSettings(features=3, levels=3, depth=1, kernel_size=3), TOKENS)
    assert model.receptive_field == 35
    model.receptive_field = claimed
    assert measure_reach(model) == 35


def test_a_changed_dilation_is_seen() -> None:
    model = models.build(WaveNetSettings(stacks=1, layers=3, residual_channels=2, dilation_channels=2), TOKENS)
    layer = model.get_submodule("layers.2")
    assert isinstance(layer, wavenet.Layer)
    layer.gated.dilation, layer.past = (3,), 3
    assert measure_reach(model) == 1 + 1 + 2 + 3
    assert model.receptive_field == 8


def test_narrow_layers_and_shut_relus_hide_nothing() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        narrow = WaveNetSettings(
            stacks=3, layers=3, residual_channels=1, dilation_channels=1, skip_channels=1, classes=2
        )
        assert measure_reach(models.build(narrow, TOKENS)) == 22
        assert measure_reach(models.build(SequnetSettings(features=1, levels=3, depth=2), TOKENS)) == 109


def test_the_model_is_left_as_it_was() -> None:
    model = models.build(WaveNetSettings(stacks=1, layers=2), TOKENS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_reach(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_recurrent_model_has_no_reach() -> None:
    model = models.build(WaveNetSettings(stacks=1, layers=2), TOKENS)
    model.receptive_field = None
    with pytest.raises(ValueError, match="recurrent"):
        measure_reach(model)
