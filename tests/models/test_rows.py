"""Convolutions and gates over rows: the compiled passes and autograd functions against torch in float64."""

import math

import pytest
import torch
from torch import Tensor

from seqgen_core import models
from seqgen_core.kernels import compiling, products
from seqgen_core.models import row_products, rows, wavenet_stack
from seqgen_core.models.base import CausalModel
from seqgen_core.models.blocks import look_up
from seqgen_core.models.condition import Condition
from seqgen_core.models.heads import CategoricalHead
from seqgen_core.models.row_products import multiply_rows
from seqgen_core.models.rows import gated_doubling, gated_residual
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.model import SequnetSettings, WaveNetSettings
from seqgen_core.settings.tokens import CategoricalTokens

CLOSE = {"fp32": 2e-5, "bf16": 0.05}
"""Largest norm of a tensor's difference from float64, as a share of its own."""
PRECISIONS = pytest.mark.parametrize("precision", CLOSE)
SETTINGS = {
    "sequnet": SequnetSettings(features=20, levels=4, depth=2, kernel_size=5),
    "wavenet": WaveNetSettings(
        stacks=2, layers=4, residual_channels=12, dilation_channels=160, skip_channels=16, classes=2, local_features=3
    ),
    "wavenet of whole vectors": WaveNetSettings(
        stacks=2, layers=3, residual_channels=32, dilation_channels=96, skip_channels=64, output_channels=32
    ),
    "wavenet without biases": WaveNetSettings(
        stacks=1, layers=3, residual_channels=12, dilation_channels=18, skip_channels=16, bias=False, skip="mean"
    ),
}


def agree(got: Tensor | None, wanted: Tensor | None, precision: str, name: str = "") -> None:
    assert (got is None) == (wanted is None), name
    if got is not None and wanted is not None:
        error = distance(got, wanted)
        assert error < CLOSE[precision], f"{name}: {error}"


def distance(got: Tensor, wanted: Tensor) -> float:
    """Norm of the difference, as a share of that of what is wanted."""
    return float((got.double() - wanted.double()).norm()) / max(1e-9, float(wanted.double().norm()))


def learned(model: CausalModel, tokens: Tensor, condition: Condition, cut: int, precision: str) -> list[Tensor]:
    """The bits of a second stretch after a first, what it keeps, and all gradients."""
    state = model.initial_state(len(tokens))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        _, state = model.advance(tokens[:, :cut], state, condition.stretch(0, cut))
        state = [part.detach() for part in state]
        outputs, state = model.advance(tokens[:, cut:-1], state, condition.stretch(cut, tokens.shape[1] - 1))
    bits = model.head.bits(outputs, tokens[:, cut + 1 :])
    model.zero_grad()
    bits.mean().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) == len(list(model.parameters()))
    return [bits.detach(), *(part.detach() for part in state), *gradients]


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_training_step_after_carried_state_is_that_of_float64(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = models.build(SETTINGS[kind], CategoricalTokens(values=9))
    tokens = random_tokens(model.tokens, 2, 91)
    labels = torch.tensor([0, 1]) if model.classes else None
    told = torch.randn(2, 90, model.local_features) if model.local_features else None
    fine, coarse = (learned(model, tokens, Condition(labels, told), 37, precision) for precision in CLOSE)
    monkeypatch.setattr(row_products, "FORMATS", {})  # by torch alone
    plain = learned(model, tokens, Condition(labels, told), 37, "bf16")
    model = model.double()
    wanted = learned(model, tokens, Condition(labels, None if told is None else told.double()), 37, "fp32")
    for number, true in enumerate(wanted):
        agree(fine[number], true, "fp32", f"tensor {number}")
    # Rounding adds up over the layers: it may do so no more than in torch's own operations.
    errors = [
        max(distance(found, true) for found, true in zip(given, wanted, strict=True)) for given in (coarse, plain)
    ]
    assert errors[0] < 1.5 * errors[1]


@pytest.mark.parametrize("kind", ["sequnet", "wavenet of whole vectors"])
def test_a_model_of_bfloat16_weights_is_run_by_torch(kind: str) -> None:
    torch.manual_seed(7)
    model = models.build(SETTINGS[kind], CategoricalTokens(values=9))
    tokens = random_tokens(model.tokens, 2, 40)
    wanted = learned(model, tokens, Condition(), 17, "fp32")[0]
    assert distance(learned(model.bfloat16(), tokens, Condition(), 17, "fp32")[0], wanted) < CLOSE["bf16"]


def compared(function, tensors: list[Tensor | None], precision: str) -> None:
    """Values and all gradients of a function, against float64 with the same numbers."""
    results = []
    for dtype in (torch.float32, torch.float64):
        given = [None if t is None else t.to(dtype).requires_grad_(t.requires_grad) for t in tensors]
        given = [None if t is None else t.detach().requires_grad_(t.requires_grad) for t in given]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16" and dtype == torch.float32):
            y = function(*given)
        weights = torch.sin(torch.arange(y.numel(), dtype=torch.float64)).view(y.shape).to(y.dtype)
        (y * weights).sum().backward()
        results.append([y.detach(), *(t.grad for t in given if t is not None)])
    for pair in zip(*results, strict=True):
        agree(*pair, precision)


@PRECISIONS
@pytest.mark.parametrize(("stride", "behind"), [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize("past", [0, 4])
def test_a_gated_residual_is_that_of_float64(stride: int, behind: int, past: int, precision: str) -> None:
    torch.manual_seed(1)
    channels, count = 17, 11
    x = torch.randn(2, (count - 1) * stride + 1 + behind + (0 if past else 9), channels, requires_grad=True)
    beside = torch.randn(2, x.shape[1], channels, requires_grad=True) if stride == 1 and not behind else None
    inputs = channels * (1 if beside is None else 2)
    weight = (torch.randn(2 * channels, inputs, 5) / math.sqrt(5 * inputs)).requires_grad_()
    bias = torch.randn(2 * channels, requires_grad=True)
    before = torch.randn(2, past, inputs) if past else None

    def run(x: Tensor, beside: Tensor | None, past: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor:
        return gated_residual(x, beside, past, weight, bias, count, stride, behind)

    compared(run, [x, beside, before, weight, bias], precision)


@PRECISIONS
@pytest.mark.parametrize("behind", [0, 1])
@pytest.mark.parametrize(("count", "ticks", "past"), [(10, 5, 2), (11, 6, 2), (9, 5, 0), (2, 12, 0), (2, 1, 2)])
def test_a_gated_doubling_is_that_of_float64(count: int, ticks: int, past: int, behind: int, precision: str) -> None:
    torch.manual_seed(2)
    channels = 17
    x = torch.randn(2, ticks, channels, requires_grad=True)
    even, odd = ((torch.randn(2 * channels, channels, taps) / 7).requires_grad_() for taps in (3, 2))
    bias = torch.randn(2 * channels, requires_grad=True)
    before = torch.randn(2, past, channels) if past else None

    def run(x: Tensor, past: Tensor | None, even: Tensor, odd: Tensor, bias: Tensor) -> Tensor:
        return gated_doubling(x, past, even, odd, bias, count, behind)

    compared(run, [x, before, even, odd, bias], precision)


@PRECISIONS
@pytest.mark.parametrize(("ticks", "inputs", "outputs"), [(19, 320, 64), (101, 32, 96), (7, 5, 6)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_convolution_of_one_tap_is_that_of_float64(
    ticks: int, inputs: int, outputs: int, bias: bool, precision: str
) -> None:
    torch.manual_seed(6)
    shapes = [(2, ticks, inputs), (outputs, inputs, 1), (outputs,)]
    tensors = [torch.randn(shape, requires_grad=True) for shape in shapes]
    compared(multiply_rows, tensors if bias else [*tensors[:2], None], precision)


@pytest.mark.parametrize("channels", [5, 40])
def test_sums_of_looked_up_rows_are_those_of_float64(channels: int) -> None:
    torch.manual_seed(5)
    codes = torch.randint(-1, 7, (2, 13))
    compared(lambda weight: look_up(weight, codes, 3), [torch.randn(21, channels, requires_grad=True)], "fp32")


@pytest.mark.parametrize("loudness", [0.1, 3.0, 300.0])
def test_bits_and_their_gradient_are_those_of_float64(loudness: float) -> None:
    torch.manual_seed(3)
    head, targets = CategoricalHead(21), torch.randint(21, (4, 30))
    outputs = loudness * torch.randn(4, 30, 21)
    for dtype, precision in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        results = []
        for given in (outputs.to(dtype), outputs.to(dtype).double()):
            given = given.detach().requires_grad_()
            bits = head.bits(given, targets)
            (bits * torch.linspace(-1, 1, 120).view(4, 30)).sum().backward()
            results.append((bits.detach(), given.grad))
        assert results[0][0].dtype == torch.float32
        for pair in zip(*results, strict=True):
            agree(*pair, precision)


def test_outputs_that_are_no_numbers_give_no_bits() -> None:
    outputs = torch.zeros(3, 21)
    outputs[0, 4], outputs[1, 20] = -math.nan, math.inf
    bits = CategoricalHead(21).bits(outputs, torch.zeros(3, dtype=torch.int64))
    assert not bits[:2].isfinite().any()
    assert bits[2] == pytest.approx(math.log2(21))


def test_many_threads_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "LEAST_WORK", 1)
    torch.manual_seed(4)
    model = models.build(SETTINGS["wavenet"], CategoricalTokens(values=9))
    tokens, told = random_tokens(model.tokens, 2, 91), torch.randn(2, 90, model.local_features)
    condition = Condition(torch.tensor([0, 1]), told)
    alone = learned(model, tokens, condition, 37, "fp32")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for got, wanted in zip(learned(model, tokens, condition, 37, "fp32"), alone, strict=True):
            agree(got, wanted.double(), "fp32")
    finally:
        torch.set_num_threads(before)


def test_narrower_processors_take_torchs_products(monkeypatch):
    """Without vectors of 16 numbers there is another road to the same values and gradients."""
    torch.manual_seed(0)
    x, weight = torch.randn(2, 40, 32).requires_grad_(), torch.randn(64, 32, 3)
    weight.requires_grad_()

    def found() -> list[torch.Tensor]:
        y = gated_residual(x, None, None, weight, None, 38)
        return [y.detach(), *torch.autograd.grad(y.square().sum(), [x, weight])]

    wide = found()
    monkeypatch.setattr(products, "wide_vectors", lambda: False)
    monkeypatch.setattr(rows, "wide_vectors", lambda: False)
    assert not row_products.in_whole_vectors(torch.float32, 32)
    for left, right in zip(found(), wide, strict=True):
        assert torch.allclose(left, right, rtol=1e-4, atol=1e-4)


def test_long_clips_go_through_a_wavenet_one_by_one(monkeypatch):
    """Outputs, state and gradients are those of all clips side by side."""
    torch.manual_seed(0)
    model = models.build(SETTINGS["wavenet of whole vectors"], CategoricalTokens(values=8))
    tokens = torch.randint(8, (3, 30))

    def found() -> list[torch.Tensor]:
        model.zero_grad()
        outputs, state = model.advance(tokens, model.initial_state(3))
        outputs.square().sum().backward()
        return [outputs.detach(), *state, *(parameter.grad for parameter in model.parameters())]

    together = found()
    monkeypatch.setattr(wavenet_stack, "ALONE", 30)
    for left, right in zip(found(), together, strict=True):
        assert torch.allclose(left, right, rtol=1e-4, atol=1e-5)


def test_bits_of_loud_outputs_keep_what_is_small():
    """A likely code costs next to nothing, and that is told to the last digit, however large the outputs are."""
    torch.manual_seed(0)
    outputs = 300 * torch.randn(16, 2)
    codes = outputs.argmax(dim=1)
    exact = torch.nn.functional.cross_entropy(outputs.double(), codes, reduction="none") / math.log(2)
    assert torch.allclose(CategoricalHead(2).bits(outputs, codes).double(), exact, rtol=1e-4, atol=1e-7)
