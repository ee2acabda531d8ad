"""Recurrent layers over many steps: values and gradients are those of torch's own."""

import pytest
import torch

from seqgen_core.models.recurrent import run_gru, run_lstm, takes_steps

BATCH, STEPS = 3, 5


def tensors(gates: int, inputs: int, channels: int, kind: torch.dtype) -> list[torch.Tensor]:
    """Inputs, a past, weights and biases, all of which want a gradient."""
    torch.manual_seed(0)
    shapes = [(BATCH, STEPS, inputs), (BATCH, channels), (BATCH, channels)][: 2 if gates == 3 else 3]
    shapes += [(gates * channels, inputs), (gates * channels, channels), (gates * channels,)]
    scales = [1.0] * (len(shapes) - 3) + [0.3] * 3
    return [(scale * torch.randn(shape)).to(kind).requires_grad_() for shape, scale in zip(shapes, scales, strict=True)]


def ours(given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return (run_gru(*given),) if len(given) == 5 else run_lstm(*given)


def torchs(given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    x, *past, input_weight, past_weight, bias = given
    weights = [input_weight, past_weight, bias, torch.zeros_like(bias)]
    before = [part[None] for part in past]
    if len(past) == 1:
        return (torch.gru(x, before[0], weights, True, 1, 0.0, True, False, True)[0],)
    y, _, cells = torch.lstm(x, before, weights, True, 1, 0.0, True, False, True)
    return y, cells[0]


def slopes(outputs: tuple[torch.Tensor, ...], given: list[torch.Tensor]) -> list[torch.Tensor]:
    torch.manual_seed(1)
    total = sum((part.double() * torch.randn(part.shape).double()).sum() for part in outputs)
    return list(torch.autograd.grad(total, given))


@pytest.mark.parametrize("gates", [3, 4])
@pytest.mark.parametrize(("inputs", "channels"), [(7, 5), (1, 1), (40, 32), (64, 64)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_values_and_gradients_are_torchs(gates, inputs, channels, kind):
    given = tensors(gates, inputs, channels, kind)
    near = {"rtol": 1e-4, "atol": 1e-5} if kind == torch.float32 else {"rtol": 1e-9, "atol": 1e-10}
    mine, theirs = ours(given), torchs(given)
    for left, right in zip(mine, theirs, strict=True):
        assert torch.allclose(left, right, **near)
    for left, right in zip(slopes(mine, given), slopes(theirs, given), strict=True):
        assert torch.allclose(left, right, **near)


@pytest.mark.parametrize("gates", [3, 4])
def test_bfloat16_is_close(gates):
    given = tensors(gates, 40, 32, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours(given)
        found = slopes(rough, given)
    exact = torchs(given)
    for left, right in zip([*rough, *found], [*exact, *slopes(exact, given)], strict=True):
        assert left.dtype == torch.float32
        assert (left - right).norm() < 0.05 * right.norm()


def test_an_input_without_a_gradient_gets_none():
    given = tensors(3, 7, 5, torch.float32)
    x = given[0].detach()
    found = torch.autograd.grad(run_gru(x, *given[1:]).sum(), given[1:])
    assert all(part.abs().sum() > 0 for part in found)


def test_where_it_does_not_pay_torchs_own_stand():
    x = torch.zeros(1, 2, 3)
    assert takes_steps(x)
    assert not takes_steps(x[:, :1])
    with torch.no_grad():
        assert not takes_steps(x)
