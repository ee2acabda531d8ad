"""Plain Seq-U-Net: equal to a slow judge at every length, dropout, and no work beyond what is asked for."""

import counting
import judges
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from seqgen_core import models
from seqgen_core.errors import ShapeError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.model import SequnetPlainSettings
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, TokenSpec

SYMBOLS = CategoricalTokens(values=7)
TEXT = SequnetPlainSettings(features=6, bottleneck_features=4, levels=3, kernel_size=3, embedding=5, tied=True)
NOTES = SequnetPlainSettings(features=6, levels=3, kernel_size=5)


def built(settings: SequnetPlainSettings, tokens: TokenSpec) -> CausalModel:
    torch.manual_seed(0)
    return models.build(settings, tokens).double().eval()


def judged(model: CausalModel, numbers: np.ndarray) -> np.ndarray:
    """Section 3 of the paper tick by tick: outputs (ticks, head.size) from what is heard of each token (ticks, F)."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    settings = model.settings
    assert isinstance(settings, SequnetPlainSettings)

    def activated(name: str, x: np.ndarray) -> np.ndarray:
        weight = weights[f"{name}.weight"]
        if weight.ndim == 2:  # rows of the oldest tap first
            weight = weight.reshape(settings.kernel_size, -1, weight.shape[1]).transpose(2, 1, 0)
        y = judges.causal_convolution(x, weight, weights[f"{name}.bias"])
        return np.where(y > 0, y, 0.01 * y)

    def upsampled(name: str, slow: np.ndarray, ticks: int) -> np.ndarray:
        even, odd = weights[f"{name}.even.weight"], weights[f"{name}.odd.weight"]
        weight = np.zeros((*even.shape[:2], settings.kernel_size))
        weight[:, :, ::2], weight[:, :, 1::2] = even, odd
        stretched = np.zeros((ticks, slow.shape[1]))
        stretched[::2] = slow
        y = judges.causal_convolution(stretched, weight, weights[f"{name}.even.bias"])
        return np.where(y > 0, y, 0.01 * y)

    table = weights.get("entry.table.weight")
    x = numbers if table is None else numbers @ table
    shortcuts = []
    for level in range(settings.levels - 1):
        x = activated(f"down.{level - 1}.conv" if level else "first", x)
        shortcuts.append(x)
        # A convolution of stride 2 is the convolution of stride 1 of which every other output is thrown away.
        x = activated(f"downsample.{level}.conv", x)[::2]
    x = activated("bottleneck.conv", x)
    for level in reversed(range(settings.levels - 1)):
        both = np.concatenate([upsampled(f"upsample.{level}", x, len(shortcuts[level])), shortcuts[level]], axis=1)
        x = activated(f"up.{level}.conv", both)
    if table is not None and settings.tied:
        x = x @ weights["mix.weight"][:, :, 0].T + weights["mix.bias"]
        return x @ table.T + weights["exit.bias"]
    return x @ weights["exit.weight"].T + weights["exit.bias"]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 37])
@pytest.mark.parametrize(
    "settings",
    [
        TEXT,
        TEXT.model_copy(update={"tied": False, "bottleneck_features": None}),
        TEXT.model_copy(update={"levels": 2, "kernel_size": 5}),
        NOTES.model_copy(update={"kernel_size": 7}),
    ],
)
def test_symbols_equal_the_judge(settings: SequnetPlainSettings, steps: int) -> None:
    model = built(settings, SYMBOLS)
    tokens = random_tokens(SYMBOLS, 1, steps)
    with torch.no_grad():
        found = model(tokens)[0].numpy()
    np.testing.assert_allclose(found, judged(model, np.eye(7)[tokens[0].numpy()]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [NOTES, TEXT])
def test_binary_vectors_equal_the_judge(settings: SequnetPlainSettings) -> None:
    model = built(settings, BinaryTokens())
    tokens = random_tokens(model.tokens, 1, 30)
    with torch.no_grad():
        found = model(tokens)[0].numpy()
    np.testing.assert_allclose(found, judged(model, tokens[0].double().numpy()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("given", [{"dropout": 0.5}, {"embedding_dropout": 0.5}])
def test_dropout_is_of_training_alone(given: dict[str, float]) -> None:
    model = built(TEXT.model_copy(update=given), SYMBOLS)
    tokens = random_tokens(SYMBOLS, 1, 20)
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


def test_clocks_that_differ_within_a_batch_are_refused() -> None:
    model = built(NOTES, SYMBOLS)
    state = model.initial_state(2)
    state[0] = torch.tensor([0, 1])
    with pytest.raises(ShapeError, match=r"differ: \[0, 1\]"):
        model.advance(torch.zeros(2, 1, dtype=torch.int64), state)


def test_one_level_or_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValidationError, match="levels"):
        SequnetPlainSettings(levels=1)
    with pytest.raises(ValidationError, match=r"6 is even.*so 5 or 7"):
        SequnetPlainSettings(kernel_size=6)


def test_only_what_the_last_outputs_depend_on_is_computed() -> None:
    model = built(TEXT, SYMBOLS)
    tokens = random_tokens(SYMBOLS, 1, 400)
    with torch.no_grad():
        with counting.Multiplications() as whole:
            model(tokens)
        with counting.Multiplications() as newest:
            model(tokens, last=1)
    assert newest.done < whole.done * model.receptive_field / 400


@pytest.mark.parametrize(
    ("settings", "tokens"), [(TEXT, SYMBOLS), (NOTES, SYMBOLS), (NOTES, BinaryTokens()), (NOTES, AmplitudeTokens())]
)
def test_the_table_counts_what_is_done(settings: SequnetPlainSettings, tokens: TokenSpec) -> None:
    model = built(settings, tokens)
    assert counting.table_adds_up(model)
    assert counting.per_stepped_token(model) == pytest.approx(model.multiply_adds)


def test_bfloat16_autocast_keeps_the_state_in_the_weights_type() -> None:
    model = built(TEXT, SYMBOLS).float()
    state = model.initial_state(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, after = model.advance(random_tokens(SYMBOLS, 1, 6), state)
    assert [tensor.dtype for tensor in after] == [tensor.dtype for tensor in state]
