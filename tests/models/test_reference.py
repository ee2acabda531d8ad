"""Weights named as the reference code names them give, in our models, what the slow judges say."""

from pathlib import Path

import judges
import numpy as np
import pytest
import torch

from seqgen_core import models
from seqgen_core.errors import SeqgenError
from seqgen_core.models.reference import describe_snapshot, load_snapshot, reference_state_dict, snapshot_values
from seqgen_core.settings.model import SequnetSettings, WaveNetSettings
from seqgen_core.settings.tokens import CategoricalTokens


def as_tensors(weights: judges.Weights, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: torch.from_numpy(value.copy()) for name, value in weights.items()}


def our_outputs(
    weights: judges.Weights, settings: WaveNetSettings | SequnetSettings, tokens: np.ndarray, values: int
) -> np.ndarray:
    model = models.build(settings, CategoricalTokens(values=values)).double()
    model.load_state_dict(reference_state_dict(as_tensors(weights, "module."), settings))
    with torch.no_grad():
        return model(torch.from_numpy(tokens)[None])[0].numpy()


@pytest.mark.parametrize(("levels", "depth", "taps"), [(1, 1, 3), (2, 1, 5), (3, 2, 3), (4, 1, 7)])
def test_sequnet_equals_its_judge(levels: int, depth: int, taps: int) -> None:
    rng = np.random.default_rng(levels)
    weights = judges.random_sequnet(rng, 5, 4, levels, depth, taps)
    tokens = rng.integers(5, size=61)
    settings = SequnetSettings(features=4, levels=levels, depth=depth, kernel_size=taps)
    expected = judges.sequnet(weights, tokens, levels, depth)
    np.testing.assert_allclose(our_outputs(weights, settings, tokens, 5), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("stacks", "layers", "taps"), [(1, 1, 2), (2, 3, 2), (3, 2, 3)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("entry", ["one-hot", "embedding"])
def test_wavenet_equals_its_judge(stacks: int, layers: int, taps: int, bias: bool, entry: str) -> None:
    rng = np.random.default_rng(stacks)
    weights = judges.random_wavenet(rng, 5, stacks, layers, taps, (3, 4, 6), bias)
    tokens = rng.integers(5, size=40)
    settings = WaveNetSettings(
        stacks=stacks,
        layers=layers,
        kernel_size=taps,
        residual_channels=3,
        dilation_channels=4,
        skip_channels=6,
        bias=bias,
        input=entry,  # ty: ignore[invalid-argument-type]
    )
    expected = judges.wavenet(weights, tokens, stacks, layers)
    np.testing.assert_allclose(our_outputs(weights, settings, tokens, 5), expected, rtol=0, atol=1e-9)


def test_the_mean_of_skips_is_their_sum_over_the_layers() -> None:
    rng = np.random.default_rng(0)
    weights = judges.random_wavenet(rng, 5, 2, 2, 2, (3, 4, 6), True)
    tokens = rng.integers(5, size=20)
    settings = WaveNetSettings(
        stacks=2, layers=2, residual_channels=3, dilation_channels=4, skip_channels=6, input="one-hot"
    )
    model = models.build(settings.model_copy(update={"skip": "mean"}), CategoricalTokens(values=5)).double()
    model.load_state_dict(reference_state_dict(as_tensors(weights), settings))
    averaged = {name: value / 4 if name.startswith("skip_convs") else value for name, value in weights.items()}
    expected = judges.wavenet(averaged, tokens, 2, 2)
    with torch.no_grad():
        found = model(torch.from_numpy(tokens)[None])[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_snapshots_load_wrapped_or_bare_and_tell_their_settings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bare = as_tensors(judges.random_sequnet(rng, 5, 4, 3, 2, 5))
    torch.save(bare, tmp_path / "bare")
    wrapped = {"model_state_dict": {f"module.{name}": value for name, value in bare.items()}, "step": 7}
    torch.save(wrapped, tmp_path / "wrapped")
    for file in ("bare", "wrapped"):
        loaded = load_snapshot(tmp_path / file)
        assert loaded.keys() == bare.keys()
        assert describe_snapshot(loaded) == {
            "kind": "sequnet",
            "features": 4,
            "levels": 3,
            "depth": 2,
            "kernel_size": 5,
        }
        assert snapshot_values(loaded) == 5
    wavenet = as_tensors(judges.random_wavenet(rng, 5, 2, 3, 2, (3, 4, 6), False))
    described = describe_snapshot(wavenet)
    assert described["total_layers"] == 6
    assert described["bias"] is False
    assert (described["residual_channels"], described["dilation_channels"], described["skip_channels"]) == (3, 4, 6)


def test_settings_that_differ_are_named_with_the_right_ones() -> None:
    weights = as_tensors(judges.random_sequnet(np.random.default_rng(0), 5, 4, 3, 2, 5))
    with pytest.raises(SeqgenError) as caught:
        reference_state_dict(weights, SequnetSettings(features=4, levels=4, depth=1, kernel_size=5))
    assert "levels=3, depth=2" in caught.value.got
    assert "levels=4, depth=1" in caught.value.wanted
    assert caught.value.hint == "Give levels=3 depth=2."
    wavenet = as_tensors(judges.random_wavenet(np.random.default_rng(0), 5, 2, 3, 2, (3, 4, 6), True))
    with pytest.raises(SeqgenError) as caught:
        reference_state_dict(
            wavenet, WaveNetSettings(residual_channels=3, dilation_channels=4, skip_channels=6, input="one-hot")
        )
    assert "product is 6" in caught.value.hint


def test_missing_unexpected_and_misshapen_tensors_are_all_named() -> None:
    weights = as_tensors(judges.random_sequnet(np.random.default_rng(0), 5, 4, 2, 1, 5))
    del weights["upsampling_blocks.0.upconv.gate.bias"]
    weights["output_conv.1.bias"] = torch.zeros(9)
    weights["hourglass.weight"] = torch.zeros(1)
    with pytest.raises(SeqgenError) as caught:
        reference_state_dict(weights, SequnetSettings(features=4, levels=2))
    assert "upsampling_blocks.0.upconv.gate.bias is missing" in caught.value.got
    assert "output_conv.1.bias has shape (9,), not (5,)" in caught.value.got
    assert "hourglass.weight is unexpected" in caught.value.got


def test_files_that_are_no_snapshots_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a snapshot")
    torch.save({"a": 1}, tmp_path / "numbers")
    torch.save({"model": Path("x")}, tmp_path / "objects")
    for name in ("text", "numbers", "objects", "absent"):
        with pytest.raises(SeqgenError, match=name):
            load_snapshot(tmp_path / name)
    with pytest.raises(SeqgenError, match="no model known"):
        describe_snapshot({"layer.weight": torch.zeros(1)})
