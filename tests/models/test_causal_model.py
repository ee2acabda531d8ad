"""What every model refuses, and how it counts itself."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from seqgen_core import models
from seqgen_core.errors import ShapeError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import NO_CONDITION, Condition
from seqgen_core.settings.model import MODEL_KINDS, SequnetSettings, WaveNetSettings
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.tokens import BinaryTokens, CategoricalTokens

TOKENS = CategoricalTokens(values=5)
SMALL_WAVENET = WaveNetSettings(stacks=2, layers=2, residual_channels=3, dilation_channels=4, skip_channels=5)


def codes(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model: model(codes(4)), r"tokens \(4,\)"),
        (lambda model: model(codes(2, 0)), r"tokens \(2, 0\)"),
        (lambda model: model(codes(2, 3).float()), "float32"),
        (lambda model: model(codes(2, 3) + 5), "hold 5 to 5; wanted 0 to 4"),
        (lambda model: model(codes(2, 3) - 1), "hold -1 to -1"),
        (lambda model: model(codes(2, 3), last=4), "last=4"),
        (lambda model: model(codes(2, 3), last=0), "last=0"),
        (lambda model: model(codes(2, 3), Condition(codes(2))), "without classes"),
        (
            lambda model: model(codes(2, 3), Condition(features=torch.zeros(2, 3, 4))),
            r"features \(2, 3, 4\); wanted None",
        ),
        (lambda model: model(codes(2, 3, 4)), r"tokens \(2, 3, 4\)"),
        (lambda model: model.advance(codes(2, 3), model.initial_state(3)), "state tensor 0"),
        (lambda model: model.forward_weighted(codes(2, 3), torch.ones(2, 4)), r"presence \(2, 4\)"),
    ],
)
@pytest.mark.parametrize("settings", [SMALL_WAVENET, SequnetSettings(features=3, levels=2)])
def test_tensors_that_do_not_fit_are_named(
    settings: WaveNetSettings | SequnetSettings, call: Callable[[CausalModel], object], said: str
) -> None:
    with pytest.raises(ShapeError, match=said):
        call(models.build(settings, TOKENS))


def test_labels_are_asked_for_and_checked() -> None:
    model = models.build(SMALL_WAVENET.model_copy(update={"classes": 3}), TOKENS)
    with pytest.raises(ShapeError, match="no labels for a model of 3 classes"):
        model(codes(2, 4))
    with pytest.raises(ShapeError, match=r"labels \(3,\) of torch.int64; wanted int64 \(2,\)"):
        model(codes(2, 4), Condition(codes(3)))
    with pytest.raises(ShapeError, match=r"labels \(2,\) of torch.float32"):
        model(codes(2, 4), Condition(codes(2).float()))
    with pytest.raises(ShapeError, match="hold 3 to 3; wanted 0 to 2"):
        model(codes(2, 4), Condition(codes(2) + 3))
    assert not torch.equal(model(codes(1, 4), Condition(codes(1))), model(codes(1, 4), Condition(codes(1) + 1)))


def test_features_are_asked_for_and_checked() -> None:
    model = models.build(SMALL_WAVENET.model_copy(update={"local_features": 2}), TOKENS)
    with pytest.raises(ShapeError, match="no features for a model of 2 features per token"):
        model(codes(2, 4))
    for shape in ((2, 3, 2), (2, 4, 3), (1, 4, 2)):
        with pytest.raises(ShapeError, match=r"features .*; wanted \(2, 4, 2\)"):
            model(codes(2, 4), Condition(features=torch.zeros(shape)))
    told = torch.zeros(1, 4, 2)
    assert not torch.equal(
        model(codes(1, 4), Condition(features=told)), model(codes(1, 4), Condition(features=told + 1))
    )


def test_vectors_of_another_width_are_named() -> None:
    model = models.build(SMALL_WAVENET, BinaryTokens(width=3))
    with pytest.raises(ShapeError, match=r"tokens \(2, 4\) of torch.int64; wanted int64 \(B, T, 3\)"):
        model(codes(2, 4))
    with pytest.raises(ShapeError, match=r"tokens \(2, 4, 2\)"):
        model(codes(2, 4, 2))
    assert model(codes(2, 4, 3)).shape == (2, 4, 3)


def test_a_condition_is_cut_along_time_and_batch() -> None:
    whole = Condition(torch.tensor([4, 5]), torch.arange(12.0).view(2, 3, 2))
    later = whole.stretch(1, 3)
    assert later.labels is whole.labels
    assert later.features is not None
    assert later.features.tolist() == [[[2, 3], [4, 5]], [[8, 9], [10, 11]]]
    second = whole.rows([1])
    assert second.labels is not None
    assert second.features is not None
    assert (second.labels.tolist(), second.features.tolist()) == ([5], [[[6, 7], [8, 9], [10, 11]]])
    assert NO_CONDITION.stretch(0, 2) == NO_CONDITION.rows([0]) == NO_CONDITION


def test_clocks_that_differ_within_a_batch_are_refused() -> None:
    model = models.build(SequnetSettings(features=3, levels=3), TOKENS)
    state = model.initial_state(2)
    state[0] = torch.tensor([0, 1])
    with pytest.raises(ShapeError, match=r"differ: \[0, 1\]"):
        model.advance(codes(2, 1), state)


def test_the_presets_of_the_paper_have_its_sizes() -> None:
    with torch.device("meta"):
        built = {
            name: models.build(
                MODEL_KINDS[(given := load_preset(name)["model"])["kind"]](**given), CategoricalTokens(values=256)
            )
            for name in ("wavenet-sequnet-baseline", "sequnet-raw-audio")
        }
    baseline, raw_audio = built["wavenet-sequnet-baseline"], built["sequnet-raw-audio"]
    assert baseline.reference_parameters == 8_141_184
    assert baseline.parameter_count == 8_141_184 - 128 * 129  # the last residual 1×1, which reaches no output
    assert baseline.receptive_field == 32_765
    assert raw_audio.parameter_count == raw_audio.reference_parameters == 26_867_236
    assert raw_audio.receptive_field == 32_749
    assert raw_audio.period == 1024


@pytest.mark.parametrize("settings", [SMALL_WAVENET, SequnetSettings(features=3, levels=3, depth=2)])
def test_the_table_adds_up(settings: WaveNetSettings | SequnetSettings) -> None:
    model = models.build(settings, TOKENS)
    rows = model.layer_table()
    assert sum(row.parameters for row in rows) == model.parameter_count
    assert rows[-1].receptive_field == model.receptive_field
    reaches = [row.receptive_field for row in rows]
    assert reaches == sorted(reaches)
    assert len({row.name for row in rows}) == len(rows)


def test_multiply_adds_are_those_of_the_convolutions_run() -> None:
    """Counted at the convolutions while stepping through two periods, the narrow input look-up left out."""
    for settings in (SMALL_WAVENET, SequnetSettings(features=3, levels=4, depth=2)):
        model = models.build(settings, TOKENS)
        done = 0
        conv1d, linear = torch.nn.functional.conv1d, torch.nn.functional.linear

        def counted(*given: Any, **named: Any) -> torch.Tensor:
            nonlocal done
            y = conv1d(*given, **named)  # noqa: B023
            done += given[1].numel() * y.shape[2]
            return y

        def counted_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            nonlocal done
            done += weight.numel() * x.shape[1]
            return linear(x, weight, bias)  # noqa: B023

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.functional, "conv1d", counted)
            patch.setattr(torch.nn.functional, "linear", counted_product)
            state = model.initial_state(1)
            for _ in range(2 * model.period):
                _, state = model.advance(codes(1, 1), state)
        assert done / (2 * model.period) == pytest.approx(model.multiply_adds)


def test_bfloat16_autocast_keeps_the_state_in_the_weights_type() -> None:
    for settings in (SMALL_WAVENET, SequnetSettings(features=3, levels=3)):
        model = models.build(settings, TOKENS)
        state = model.initial_state(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, after = model.advance(codes(1, 6), state)
        assert [tensor.dtype for tensor in after] == [tensor.dtype for tensor in state]


def test_only_the_module_of_the_kind_is_imported() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from seqgen_core import models; from seqgen_core.settings.model import SequnetSettings;"
        "from seqgen_core.settings.tokens import CategoricalTokens as T;"
        "models.build(SequnetSettings(features=2, levels=1), T(values=2));"
        "print('seqgen_core.models.sequnet' in sys.modules, 'seqgen_core.models.wavenet' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]
