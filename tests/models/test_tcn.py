"""TCN: equal to a slow judge, tied weights, dropout, weight normalisation, and no work beyond what is asked for."""

import copy

import counting
import judges
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from seqgen_core import models
from seqgen_core.errors import UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.model import TcnSettings
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, TokenSpec

SYMBOLS = CategoricalTokens(values=7)
TEXT = TcnSettings(channels=8, levels=3, kernel_size=3, embedding=5, tied=True)
NOTES = TcnSettings(channels=8, levels=2, kernel_size=2)


def built(settings: TcnSettings, tokens: TokenSpec) -> CausalModel:
    torch.manual_seed(0)
    return models.build(settings, tokens).double().eval()


def judged(model: CausalModel, numbers: np.ndarray) -> np.ndarray:
    """Figure 1 of the paper tick by tick: outputs (ticks, head.size) from what is heard of each token (ticks, F)."""
    weights = {name: value.numpy() for name, value in copy.deepcopy(model).fold().state_dict().items()}

    def convolved(name: str, x: np.ndarray, taps: int, dilation: int) -> np.ndarray:
        weight = weights[f"{name}.weight"]
        if weight.ndim == 2:  # rows of the oldest tap first
            weight = weight.reshape(taps, -1, weight.shape[1]).transpose(2, 1, 0)
        return judges.causal_convolution(x, weight, weights[f"{name}.bias"], dilation)

    table = weights.get("entry.table.weight")
    x = numbers if table is None else numbers @ table
    settings = model.settings
    assert isinstance(settings, TcnSettings)
    for level in range(settings.levels):
        inner = np.maximum(convolved(f"blocks.{level}.first", x, settings.kernel_size, 2**level), 0)
        inner = np.maximum(convolved(f"blocks.{level}.second", inner, settings.kernel_size, 2**level), 0)
        around = convolved(f"blocks.{level}.match", x, 1, 1) if f"blocks.{level}.match.weight" in weights else x
        x = np.maximum(inner + around, 0)
    last = table if table is not None and settings.tied else weights["exit.weight"]
    return x @ last.T + weights["exit.bias"]


@pytest.mark.parametrize(
    "settings",
    [
        TEXT,
        TEXT.model_copy(update={"tied": False}),
        TEXT.model_copy(update={"levels": 1}),
        TEXT.model_copy(update={"embedding": 8}),  # as wide as the blocks: nothing is matched
        TcnSettings(channels=8, levels=3, kernel_size=2),
    ],
)
def test_symbols_equal_the_judge(settings: TcnSettings) -> None:
    model = built(settings, SYMBOLS)
    tokens = random_tokens(SYMBOLS, 1, 40)
    with torch.no_grad():
        found = model(tokens)[0].numpy()
    np.testing.assert_allclose(found, judged(model, np.eye(7)[tokens[0].numpy()]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("embedding", [0, 5])
@pytest.mark.parametrize("tied", [False, True])
def test_binary_vectors_equal_the_judge(embedding: int, tied: bool) -> None:
    model = built(NOTES.model_copy(update={"embedding": embedding, "tied": tied and embedding > 0}), BinaryTokens())
    tokens = random_tokens(model.tokens, 1, 30)
    with torch.no_grad():
        found = model(tokens)[0].numpy()
    np.testing.assert_allclose(found, judged(model, tokens[0].double().numpy()), rtol=0, atol=1e-12)


def test_tied_weights_are_one_table() -> None:
    model, apart = built(TEXT, SYMBOLS), built(TEXT.model_copy(update={"tied": False}), SYMBOLS)
    assert not [name for name in model.state_dict() if name == "exit.weight"]
    own, theirs = (dict(m.named_parameters()) for m in (model, apart))
    assert own["entry.table.weight"].shape == theirs["entry.table.weight"].shape == (7, 5)
    model(torch.zeros(1, 3, dtype=torch.int64))[0, -1, 4].backward()
    gradient = own["entry.table.weight"].grad
    assert gradient is not None
    assert bool(gradient[0].any())  # by the entry
    assert bool(gradient[4].any())  # by the exit
    assert not bool(gradient[1].any())


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [(TEXT, AmplitudeTokens()), (TEXT.model_copy(update={"mixtures": 2}), CategoricalTokens(values=7, ordered=True))],
)
def test_outputs_without_a_vector_each_cannot_be_tied(settings: TcnSettings, tokens: TokenSpec) -> None:
    with pytest.raises(UsageError, match=r"model\.tied = true") as caught:
        built(settings, tokens)
    assert "model.tied=false" in caught.value.hint


@pytest.mark.parametrize("given", [{"tied": True}, {"embedding_dropout": 0.1}])
def test_settings_about_an_embedding_need_one(given: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(given))} is about an embedding, but embedding is 0"):
        TcnSettings.model_validate(given)


@pytest.mark.parametrize("given", [{"dropout": 0.5}, {"embedding_dropout": 0.5}])
def test_dropout_is_of_training_alone(given: dict[str, float]) -> None:
    model = built(TEXT.model_copy(update=given), SYMBOLS)
    tokens = random_tokens(SYMBOLS, 1, 20)
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))
    without = built(TEXT, SYMBOLS).train()
    assert torch.equal(without(tokens), without(tokens))


def test_folding_keeps_the_outputs_and_leaves_copies_alone() -> None:
    model = built(NOTES, SYMBOLS)
    twin, tokens = copy.deepcopy(model), random_tokens(SYMBOLS, 1, 20)
    with torch.no_grad():
        before = model(tokens)
        twin.fold()
        torch.testing.assert_close(twin(tokens), before, rtol=0, atol=1e-12)
        assert torch.equal(model(tokens), before)
    assert model.parameter_count == twin.parameter_count + 4 * 8  # a norm for each channel of four convolutions
    assert not [name for name in twin.state_dict() if "parametrizations" in name]
    assert [name for name in model.state_dict() if "parametrizations" in name]


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
def test_the_table_counts_what_is_done(settings: TcnSettings, tokens: TokenSpec) -> None:
    model = built(settings, tokens)
    assert counting.table_adds_up(model)
    assert counting.per_stepped_token(model) == model.multiply_adds


def test_bfloat16_autocast_keeps_the_state_in_the_weights_type() -> None:
    model = built(TEXT, SYMBOLS).float()
    state = model.initial_state(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, after = model.advance(random_tokens(SYMBOLS, 1, 6), state)
    assert [tensor.dtype for tensor in after] == [tensor.dtype for tensor in state]
