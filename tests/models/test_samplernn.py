"""SampleRNN against a slow version tick by tick; its state through folds, windows and phases; its size."""

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn.utils.parametrize import is_parametrized

from seqgen_core import models
from seqgen_core.models.samplernn import SampleRNN
from seqgen_core.models.samplernn_layers import FORGET_BIAS, Recurrent, Tier, VectorConv
from seqgen_core.models.tokens import NOTHING, random_tokens
from seqgen_core.settings.model import SamplernnSettings
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.project import load_project
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, TokenSpec
from seqgen_core.settings.toml import read_toml, to_toml

ORDERED = CategoricalTokens(values=6, ordered=True)
SYMBOLS = CategoricalTokens(values=6)
SMALL = {"channels": 5, "embedding": 3}


def build(tokens: TokenSpec = ORDERED, **changes: Any) -> SampleRNN:
    torch.manual_seed(0)
    model = models.build(SamplernnSettings(**{**SMALL, **changes}), tokens).double().eval()
    assert isinstance(model, SampleRNN)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, Recurrent) and layer.initial is not None:
                layer.initial.normal_()
    return model


class Judge:
    """The network as the paper draws it, one token after another, in numpy; weights by their names in the model."""

    def __init__(self, model: SampleRNN) -> None:
        self.settings, self.tokens = model.settings, model.tokens
        self.arrays = {name: value.numpy() for name, value in model.state_dict().items()}

    def weight(self, layer: str, name: str = "weight", axis: int = 1) -> np.ndarray:
        """With weight normalisation: the norms times the directions."""
        if f"{layer}.{name}" in self.arrays:
            return self.arrays[f"{layer}.{name}"]
        norms, directions = (self.arrays[f"{layer}.parametrizations.{name}.original{part}"] for part in (0, 1))
        return norms * directions / np.sqrt((directions**2).sum(axis=axis, keepdims=True))

    def linear(self, layer: str, x: np.ndarray) -> np.ndarray:
        return self.weight(layer) @ x + self.arrays.get(f"{layer}.bias", 0)

    def outputs(self, tokens: np.ndarray) -> np.ndarray:
        """tokens (T, *shape) -> outputs (T, head.size)."""
        sizes, states, told, outputs = self.settings.frame_sizes, {}, [], []
        for now in range(len(tokens)):
            for number, size in enumerate(sizes):
                if now % size:
                    continue
                frame = np.concatenate([self.heard(tokens, then) for then in range(now - size + 1, now + 1)])
                if number:
                    slower = told[number - 1]
                    frame = self.linear(f"tiers.{number}.expand", frame) + slower[now % sizes[number - 1] // size]
                finer = [*sizes, 1][number + 1]
                rows = self.linear(f"tiers.{number}.upsample", self.tier(number, frame, states))
                told[number : number + 1] = [rows.reshape(size // finer, -1)]
            x = self.newest(tokens, now) + told[-1][now % sizes[-1]]
            for layer in ("hidden.0", "hidden.1"):
                x = np.maximum(self.linear(layer, x), 0)
            outputs.append(self.linear("output", x))
        return np.stack(outputs)

    def heard(self, tokens: np.ndarray, then: int) -> np.ndarray:
        """What a tier hears of one token."""
        values, spec = self.tokens.values, self.tokens
        if isinstance(spec, BinaryTokens):
            return tokens[then] if then >= 0 else np.zeros(spec.width)
        if isinstance(spec, AmplitudeTokens):
            return np.array([2 * (tokens[then] - values // 2) / (values // 2) if then >= 0 else 0.0])
        if spec.ordered:
            return np.array([2 * (2 * tokens[then] / (values - 1) - 1) if then >= 0 else 0.0])
        table = self.arrays.get("embedding.weight", np.eye(values))
        return table[tokens[then]] if then >= 0 else np.zeros(table.shape[1])

    def newest(self, tokens: np.ndarray, now: int) -> np.ndarray:
        """The first layer of the sample-level network."""
        taps, x = self.settings.frame_sizes[-1], np.zeros(self.settings.channels)
        embedded = "embedding.weight" in self.arrays
        kernel = self.weight("newest.linear").T if embedded else self.weight("newest", axis=0)  # (K * F, C)
        for tap, rows in enumerate(np.split(kernel, taps)):
            then = now - taps + 1 + tap
            if then < 0:
                continue
            if embedded:
                x = x + self.arrays["embedding.weight"][tokens[then]] @ rows
            elif self.tokens.kind == "categorical":
                x = x + rows[tokens[then]]
            elif self.tokens.kind == "amplitude":
                half = self.tokens.values // 2
                x = x + rows[0] * (tokens[then] - half) / half
            else:
                x = x + tokens[then] @ rows
        return x

    def tier(self, number: int, x: np.ndarray, states: dict[tuple[int, int], Any]) -> np.ndarray:
        y, total = x, 0
        for index in range(self.settings.layers):
            name = f"tiers.{number}.layers.{index}"
            if index and self.settings.skip:
                y = np.concatenate([y, x])
            zeros = np.zeros((2, self.settings.channels))
            past = states.get((number, index), self.arrays.get(f"{name}.initial", zeros))
            states[number, index] = past = self.cell(name, y, past)
            y = past[0]
            if self.settings.skip:
                total = total + self.linear(f"tiers.{number}.skips.{index}", y)
        return total if self.settings.skip else y

    def cell(self, name: str, x: np.ndarray, past: np.ndarray) -> np.ndarray:
        def sigmoid(z: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-z))

        new = self.weight(name, "input_weight") @ x + self.arrays[f"{name}.bias"]
        old = self.weight(name, "past_weight") @ past[0]
        if self.settings.cell == "gru":
            (reset, update, candidate), old = np.split(new, 3), np.split(old, 3)
            reset, update = sigmoid(reset + old[0]), sigmoid(update + old[1])
            candidate = np.tanh(candidate + reset * old[2])
            return np.stack([(1 - update) * candidate + update * past[0]])
        take, forget, candidate, give = np.split(new + old, 4)
        cells = sigmoid(forget) * past[1] + sigmoid(take) * np.tanh(candidate)
        return np.stack([sigmoid(give) * np.tanh(cells), cells])


@pytest.mark.parametrize(
    ("tokens", "changes"),
    [
        (ORDERED, {"frame_sizes": [4]}),
        (ORDERED, {"frame_sizes": [4, 2], "cell": "lstm", "weight_norm": False}),
        (ORDERED, {"frame_sizes": [6, 3, 1], "layers": 2, "skip": True, "embedding": 0}),
        (SYMBOLS, {"frame_sizes": [4, 2], "layers": 3, "skip": True, "cell": "lstm"}),
        (SYMBOLS, {"frame_sizes": [1], "embedding": 0, "learn_initial_state": False}),
        (BinaryTokens(width=4), {"frame_sizes": [2, 2]}),
        (AmplitudeTokens(), {"frame_sizes": [4, 2], "weight_norm": False}),
    ],
)
def test_every_output_is_that_of_the_slow_version(tokens: TokenSpec, changes: dict[str, Any]) -> None:
    model = build(tokens, **changes)
    clip = random_tokens(tokens, 1, 17)
    with torch.no_grad():
        outputs = model(clip)[0].numpy()
    np.testing.assert_allclose(outputs, Judge(model).outputs(clip[0].numpy()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sizes", [[1], [3, 1], [4, 4]])
def test_any_cut_into_chunks_gives_the_same(sizes: list[int]) -> None:
    """Frames of one token, and tiers at the same clock, which the drawn settings of the laws leave out."""
    model = build(frame_sizes=sizes)
    clip = random_tokens(ORDERED, 2, 13)
    with torch.no_grad():
        whole = model(clip)
        for step in (1, 2, 5, 12):
            state, pieces = model.initial_state(2), []
            for first, stop in pairwise([*range(0, 13, step), 13]):
                piece, state = model.advance(clip[:, first:stop], state)
                pieces.append(piece)
            torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("tokens", [ORDERED, SYMBOLS, BinaryTokens(width=4), AmplitudeTokens()])
@pytest.mark.parametrize("changes", [{}, {"weight_norm": False}, {"embedding": 0}, {"cell": "lstm", "layers": 2}])
def test_folding_changes_nothing_but_what_is_computed_anew(tokens: TokenSpec, changes: dict[str, Any]) -> None:
    model = build(tokens, frame_sizes=[4, 2], **changes)
    clip = random_tokens(tokens, 3, 11)
    with torch.no_grad():
        before = model(clip)
        folded = copy.deepcopy(model).fold()
        assert not any(is_parametrized(module) or isinstance(module, VectorConv) for module in folded.modules())
        torch.testing.assert_close(folded(clip), before, rtol=0, atol=1e-12)
        assert torch.equal(model(clip), before)
        _, state = folded.advance(clip[:, :5], folded.initial_state(3))
        stepped, _ = folded.advance(clip[:, 5:], state)
    torch.testing.assert_close(stepped, before[:, 5:], rtol=0, atol=1e-12)
    assert folded.fold().multiply_adds == model.multiply_adds


def test_few_outputs_and_many_meet_the_embedding_alike() -> None:
    """Products of vectors are laid out for many outputs, and not for few: to the same end, with the same gradients."""
    conv = VectorConv(ORDERED, 3, 5, 2, normalise=True).double()
    vectors = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    codes = random_tokens(ORDERED, 4, 9)
    codes[:, :3] = NOTHING
    presence = torch.rand(4, 9, dtype=torch.float64, requires_grad=True)
    many = conv(codes, presence, vectors)
    few = (
        torch.cat(
            [
                conv(codes[row : row + 1, first : first + 2], presence[row : row + 1, first : first + 2], vectors)
                for row in range(4)
                for first in range(8)
            ],
            dim=2,
        )
        .view(5, 4, 8)
        .transpose(0, 1)
    )
    torch.testing.assert_close(many, few, rtol=0, atol=1e-12)
    asked = [*conv.parameters(), vectors, presence]
    weights = torch.randn_like(many)
    for one, other in zip(
        torch.autograd.grad((many * weights).sum(), asked),
        torch.autograd.grad((few * weights).sum(), asked),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_initial_state_is_learned_row_by_row() -> None:
    """A fresh row among carried ones, as training lays them side by side, teaches the initial state; others do not."""
    model = build(frame_sizes=[4, 2], cell="lstm", layers=2)
    learned = {name: value for name, value in model.named_parameters() if name.endswith("initial")}
    assert len(learned) == 4
    clip = random_tokens(ORDERED, 2, 8)
    _, state = model.advance(clip, model.initial_state(2))
    carried = [part.detach() for part in state]
    outputs, _ = model.advance(clip, carried)
    outputs.sum().backward()
    assert all(value.grad is None for value in learned.values())

    fresh = torch.tensor([False, True])
    mixed = [
        torch.where(fresh.view(-1, *[1] * (new.dim() - 1)), new, old)
        for new, old in zip(model.initial_state(2), carried, strict=True)
    ]
    outputs, _ = model.advance(clip, mixed)
    torch.testing.assert_close(outputs[1], model(clip)[1])
    outputs[0].sum().backward(retain_graph=True)
    assert all(not value.grad.any() for value in learned.values() if value.grad is not None)
    outputs[1].sum().backward()
    assert all(value.grad is not None and value.grad.any(dim=1).all() for value in learned.values())


def test_without_learning_the_initial_state_is_zero() -> None:
    model = build(learn_initial_state=False)
    assert not any(part.any() for part in model.initial_state(1)[2:])
    assert not any(name.endswith("initial") for name, _ in model.named_parameters())


def test_a_window_of_whole_periods_hears_nothing_of_what_was_told_before() -> None:
    """Each frame ends in the window that it begins in: truncation cuts no gradient between a frame and its outputs."""
    model = build(frame_sizes=[4, 2])
    clip = random_tokens(ORDERED, 1, 8)
    _, state = model.advance(clip, model.initial_state(1))
    changed = [part + 1 if part.dim() == 3 else part for part in state]
    assert sum(part.dim() == 3 for part in state) == 2
    assert torch.equal(model.advance(clip, changed)[0], model.advance(clip, state)[0])
    _, state = model.advance(clip[:, :1], state)
    changed = [part + 1 if part.dim() == 3 else part for part in state]
    assert not torch.equal(model.advance(clip, changed)[0], model.advance(clip, state)[0])


def test_between_frames_no_tier_runs_and_a_stretch_runs_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[int, int]] = []
    run = Tier.forward

    def counted(tier: Tier, frames: torch.Tensor, *given: Any) -> Any:
        ran.append((tier.size, frames.shape[1]))
        return run(tier, frames, *given)

    monkeypatch.setattr(Tier, "forward", counted)
    model = build(frame_sizes=[8, 2])
    clip = random_tokens(ORDERED, 1, 16)
    state = model.initial_state(1)
    for time in range(16):
        ran.clear()
        _, state = model.advance(clip[:, time : time + 1], state)
        assert ran == [(size, 1) for size in (8, 2) if time % size == 0]
    ran.clear()
    model(clip)
    assert ran == [(8, 2), (2, 8)]


def test_bfloat16_autocast_keeps_the_state_in_the_weights_type() -> None:
    for cell in ("gru", "lstm"):
        model = build(frame_sizes=[4, 2], cell=cell, layers=2, skip=True).float()
        clip = random_tokens(ORDERED, 3, 13)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            state = model.initial_state(3)
            outputs, after = model.advance(clip, state)
            outputs.float().sum().backward()
        assert [part.dtype for part in after] == [part.dtype for part in state]
        torch.testing.assert_close(outputs.float(), model(clip), rtol=0, atol=0.1)


def linear_size(inputs: int, outputs: int, bias: bool = True) -> int:
    """Numbers of a weight-normalised layer of the authors' code: weights, norms, biases."""
    return inputs * outputs + outputs + outputs * bias


def gru_size(inputs: int, channels: int) -> int:
    """Of their GRU: one layer for the input, one for the two gates, one for the candidate."""
    past = linear_size(channels, 2 * channels, bias=False) + linear_size(channels, channels, bias=False)
    return linear_size(inputs, 3 * channels) + past


def sample_level_size(channels: int, taps: int) -> int:
    embedding = 256 * 256
    hidden = 2 * linear_size(channels, channels)
    return embedding + linear_size(taps * 256, channels, bias=False) + hidden + linear_size(channels, 256)


def two_tier_size() -> int:
    initial = 3 * 1024
    recurrent = gru_size(16, 1024) + 2 * gru_size(1024, 1024)
    return initial + recurrent + linear_size(1024, 16 * 1024) + sample_level_size(1024, 16)


def three_tier_size() -> int:
    predictions = linear_size(1024, 8 * 256)
    slow = 1024 + gru_size(8, 1024) + linear_size(1024, 4 * 1024) + predictions
    fast = 1024 + linear_size(2, 1024) + gru_size(1024, 1024) + linear_size(1024, 2 * 1024)
    return slow + fast + sample_level_size(1024, 2)


@pytest.mark.parametrize(
    ("name", "reference", "count"),
    [("samplernn-2tier", two_tier_size, 39_243_264), ("samplernn-3tier", three_tier_size, 18_744_832)],
)
def test_the_presets_are_as_large_as_the_authors_models(name: str, reference: Callable[[], int], count: int) -> None:
    settings = SamplernnSettings.model_validate(load_preset(name)["model"])
    with torch.device("meta"):
        model = models.build(settings, CategoricalTokens(values=256, ordered=True))
    assert model.parameter_count == count
    assert model.reference_parameters == reference()


@pytest.mark.parametrize("tokens", [SYMBOLS, BinaryTokens(width=4)])
def test_the_table_adds_up(tokens: TokenSpec) -> None:
    model = build(tokens, frame_sizes=[8, 4, 2], layers=2, skip=True)
    rows = model.layer_table()
    assert sum(row.parameters for row in rows) == model.parameter_count
    assert len({row.name for row in rows}) == len(rows)
    assert rows[-1].receptive_field is model.receptive_field is None
    clocks = {row.name: row.clock for row in rows}
    assert [clocks[f"tier {tier} layer 2"] for tier in (1, 2, 3)] == [8, 4, 2]
    assert [clocks[f"tier {tier} upsampling"] for tier in (1, 2, 3)] == [4, 2, 1]


def test_multiply_adds_are_those_of_a_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where weights meet numbers while two periods are stepped through, the table of products left out."""
    done = 0

    def counting(function: Callable, weights: Callable) -> Callable:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal done
            done += sum(weight.numel() for weight in weights(given))
            return function(*given, **named)

        return counted

    monkeypatch.setattr(torch.nn.functional, "linear", counting(torch.nn.functional.linear, lambda given: given[1:2]))
    monkeypatch.setattr(torch, "gru", counting(torch.gru, lambda given: given[2][:2]))
    model = build(SYMBOLS, frame_sizes=[8, 2], layers=2, skip=True).fold()
    state = model.initial_state(1)
    for _ in range(16):
        _, state = model.advance(random_tokens(SYMBOLS, 1, 1), state)
    assert done / 16 == pytest.approx(model.multiply_adds)


def test_forget_gates_begin_open() -> None:
    layer = build(cell="lstm").get_submodule("tiers.0.layers.0")
    assert isinstance(layer, Recurrent)
    assert layer.bias.view(4, -1).tolist() == [[0.0] * 5, [FORGET_BIAS] * 5, [0.0] * 5, [0.0] * 5]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"frame_sizes": [8, 3]}, "8 is no multiple of 3"),
        ({"frame_sizes": []}, "frame_sizes"),
        ({"frame_sizes": [0]}, "frame_sizes"),
        ({"frame_sizes": "many"}, "frame_sizes"),
        ({"skip": True}, "layers is 1"),
        ({"layers": 6}, "layers"),
        ({"cell": "rnn"}, "cell"),
    ],
)
def test_settings_that_make_no_network_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SamplernnSettings.model_validate(wrong)


@pytest.mark.parametrize(("typed", "sizes"), [("[8, 2]", (8, 2)), ("8,2", (8, 2)), ("16", (16,))])
def test_frame_sizes_are_typed_with_or_without_brackets(typed: str, sizes: tuple[int, ...], tmp_path: Any) -> None:
    (tmp_path / "seqgen.toml").write_text("")
    given = ["model.kind=samplernn", f"model.frame_sizes={typed}"]
    chosen = load_project(tmp_path / "seqgen.toml", overrides=given).model
    assert isinstance(chosen, SamplernnSettings)
    assert chosen.frame_sizes == sizes
    (tmp_path / "settings.toml").write_text(to_toml(chosen))
    assert read_toml(SamplernnSettings, tmp_path / "settings.toml") == chosen
