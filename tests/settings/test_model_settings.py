"""Model settings and presets: bounds, words, and that every preset is whole."""

import pytest
from pydantic import TypeAdapter, ValidationError

from seqgen_core.errors import UsageError
from seqgen_core.settings.model import MODEL_KINDS, ModelSettings, SequnetSettings, WaveNetSettings
from seqgen_core.settings.presets import load_preset, preset_names
from seqgen_core.settings.train import TrainSettings


def test_the_union_is_told_apart_by_kind() -> None:
    read = TypeAdapter(ModelSettings).validate_python
    assert read({"kind": "wavenet", "stacks": 4}) == WaveNetSettings(stacks=4)
    assert read({"kind": "sequnet", "levels": 4}) == SequnetSettings(levels=4)
    assert MODEL_KINDS["wavenet"] is WaveNetSettings
    assert MODEL_KINDS["sequnet"] is SequnetSettings
    with pytest.raises(ValidationError):
        read({"kind": "sequnet", "stacks": 4})


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_setting_is_documented_and_frozen(kind: str) -> None:
    settings = MODEL_KINDS[kind]()
    for name, field in type(settings).model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "kind", "other")  # noqa: B010  (the checker knows that it cannot be set)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("wavenet", "stacks", 0),
        ("wavenet", "kernel_size", 1),
        ("wavenet", "output_channels", 0),
        ("wavenet", "skip", "product"),
        ("sequnet", "levels", 0),
        ("sequnet", "depth", 0),
        ("sequnet", "kernel_size", 1),
    ],
)
def test_values_out_of_bounds_are_refused(kind: str, field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        MODEL_KINDS[kind].model_validate({field: value})


def test_an_even_kernel_is_refused_with_its_odd_neighbours() -> None:
    with pytest.raises(ValidationError, match=r"6 is even.*so 5 or 7"):
        SequnetSettings(kernel_size=6)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_whole(name: str) -> None:
    preset = load_preset(name)
    assert set(preset) <= {"description", "tokens", "model", "train"}
    assert preset["description"].endswith(".")
    TypeAdapter(ModelSettings).validate_python(preset["model"])
    TrainSettings(**preset.get("train", {}))


def test_an_unknown_preset_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load_preset("sequnet-raw-audoi")
    assert "sequnet-raw-audoi" in caught.value.got
    assert "wavenet-small" in caught.value.wanted
    assert "sequnet-raw-audio" in caught.value.hint
