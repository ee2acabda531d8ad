"""The presets of published models: their sizes, their reach, and the windows that they are trained on."""

import pytest
import torch
from pydantic import TypeAdapter

from seqgen_core import models
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.model import ModelSettings
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.tokens import TokenSpec
from seqgen_core.settings.train import TrainSettings

# Parameters as the code of arXiv:1911.06393 counts them; tokens of receptive field.
PUBLISHED = {
    "tcn-char-penn": (5_923_350, 61),
    "sequnet-char-penn": (5_905_240, 73),
    "tcn-word-penn": (14_659_600, 61),
    "sequnet-word-penn": (14_911_690, 73),
    "tcn-jsb": (534_468, 13),
    "sequnet-jsb": (521_938, 13),
    "tcn-nottingham": (1_754_058, 121),
    "sequnet-nottingham": (1_768_738, 145),
    "tcn-musedata": (1_754_058, 121),
    "sequnet-musedata": (1_768_738, 145),
}


def built(name: str) -> CausalModel:
    preset = load_preset(name)
    settings: ModelSettings = TypeAdapter(ModelSettings).validate_python(preset["model"])
    tokens: TokenSpec = TypeAdapter(TokenSpec).validate_python(preset["tokens"])
    with torch.device("meta"):
        return models.build(settings, tokens)


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name: str) -> None:
    model = built(name)
    assert (model.parameter_count, model.receptive_field) == PUBLISHED[name]
    assert model.reference_parameters == model.parameter_count


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("tcn-char-penn", (80, 320)),
        ("sequnet-char-penn", (72, 325)),  # what its code makes of 320 outputs
        ("tcn-word-penn", (72, 45)),
        ("sequnet-word-penn", (72, 45)),
    ],
)
def test_windows_of_text_have_the_published_lengths_and_hold_the_whole_reach(
    name: str, window: tuple[int, int]
) -> None:
    train, reach = TrainSettings(**load_preset(name)["train"]), built(name).receptive_field
    assert (train.context, train.window) == window
    assert reach is not None
    assert train.context is not None
    assert train.context >= reach - 1


@pytest.mark.parametrize(("data", "longest"), [("jsb", 129), ("nottingham", 1788), ("musedata", 3457)])
@pytest.mark.parametrize("model", ["tcn", "sequnet"])
def test_a_window_of_music_is_a_whole_piece(model: str, data: str, longest: int) -> None:
    train = TrainSettings(**load_preset(f"{model}-{data}")["train"])
    assert (train.batch_size, train.context) == (1, None)
    assert train.window >= longest
