"""Gated recurrent units and long short-term memory over many steps, with gradients of weights as one product of all.

Torch's own functions on a CPU multiply out the gradient by the weights at every step and add these up, each as large as
the weights; here what they are made of is kept, and multiplied once. Elsewhere than on a CPU torch's own stand.
Sources: Cho et al. 2014, arXiv:1406.1078, in torch's form, which resets the past after its weights; Hochreiter and
Schmidhuber 1997 with the forget gates of Gers et al. 2000.
Axes: B batch, N steps, C channels, I inputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqgen_core.models.row_products import PackedProduct, operand_type


def takes_steps(x: Tensor) -> bool:
    """Whether the functions of this module pay: gradients are wanted, on a CPU, over several steps."""
    return x.device.type == "cpu" and x.shape[1] > 1 and torch.is_grad_enabled() and not torch.compiler.is_compiling()


def run_gru(x: Tensor, first: Tensor, input_weight: Tensor, past_weight: Tensor, bias: Tensor) -> Tensor:
    """x (B, N, I) after outputs first (B, C) -> outputs (B, N, C).

    Weights (3C, I), (3C, C) and biases (3C,): of reset, update and candidate, one set of biases.
    """
    return _Gru.apply(x, first, input_weight, past_weight, bias)


def run_lstm(
    x: Tensor, first: Tensor, cells: Tensor, input_weight: Tensor, past_weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """x (B, N, I) after outputs first (B, C) and cells (B, C) -> outputs (B, N, C) and the last cells (B, C).

    Weights (4C, I), (4C, C) and biases (4C,): of input, forget, candidate and output.
    """
    return _Lstm.apply(x, first, cells, input_weight, past_weight, bias)


def _heard(x: Tensor, weight: Tensor, bias: Tensor, kind: torch.dtype) -> Tensor:
    """(N, B, gates * C): what the gates hear of all inputs."""
    rows = x.transpose(0, 1).to(kind).flatten(0, 1)
    heard = (rows @ weight.to(kind).t()).to(bias.dtype)
    return (heard + bias).view(x.shape[1], x.shape[0], -1)


def _weight_gradients(
    x: Tensor, past: Tensor, by_heard: Tensor, by_past: Tensor, weight: Tensor, kind: torch.dtype, inputs: bool
) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """Gradients by x, by the weights of inputs and of the past, and by the biases.

    From those by what the gates heard of inputs and of the past (N, B, gates * C), and that past itself (N, B, C).
    """
    steps, batch, _ = by_heard.shape
    given, told = by_heard.flatten(0, 1).to(kind), by_past.flatten(0, 1).to(kind)
    rows = x.transpose(0, 1).to(kind).flatten(0, 1)
    dx = None
    if inputs:
        dx = (given @ weight.to(kind)).view(steps, batch, -1).transpose(0, 1).to(x.dtype)
    by_weight = (given.t() @ rows).to(weight.dtype)
    by_past_weight = (told.t() @ past.flatten(0, 1).to(kind)).to(weight.dtype)
    return dx, by_weight, by_past_weight, by_heard.sum(dim=(0, 1))


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, first: Tensor, input_weight: Tensor, past_weight: Tensor, bias: Tensor) -> Tensor:
        kind, channels = operand_type(x), first.shape[1]
        heard = _heard(x, input_weight, bias, kind)
        product = PackedProduct(past_weight.t(), kind)
        outputs = first.new_empty(len(heard) + 1, *first.shape)  # (N + 1, B, C), what was there first included
        outputs[0] = first
        remembered = first.new_empty(len(heard), *first.shape)  # what the candidate hears of the past, before its reset
        for step, gates in enumerate(heard):
            past = outputs[step]
            told = product(past)
            gates[:, : 2 * channels].add_(told[:, : 2 * channels]).sigmoid_()
            reset, update, candidate = gates.chunk(3, dim=1)
            remembered[step] = told[:, 2 * channels :]
            candidate.addcmul_(reset, remembered[step]).tanh_()
            torch.lerp(candidate, past, update, out=outputs[step + 1])
        ctx.save_for_backward(x, input_weight, past_weight, heard, remembered, outputs)
        ctx.kind = kind
        return outputs[1:].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, input_weight, past_weight, opened, remembered, outputs = ctx.saved_tensors
        channels = outputs.shape[2]
        product = PackedProduct(past_weight, ctx.kind)
        by_heard, by_past = torch.empty_like(opened), torch.empty_like(opened)
        carried = torch.zeros_like(outputs[0])
        for step in reversed(range(len(opened))):
            reset, update, candidate = opened[step].chunk(3, dim=1)
            by_output = carried + dy[:, step]
            by_candidate = by_output * (1 - update) * (1 - candidate * candidate)
            by_reset = by_candidate * remembered[step] * reset * (1 - reset)
            by_update = by_output * (outputs[step] - candidate) * update * (1 - update)
            torch.cat([by_reset, by_update, by_candidate], dim=1, out=by_heard[step])
            by_past[step, :, : 2 * channels] = by_heard[step, :, : 2 * channels]
            torch.mul(by_candidate, reset, out=by_past[step, :, 2 * channels :])
            carried = by_output * update + product(by_past[step])
        dx, *weights = _weight_gradients(
            x, outputs[:-1], by_heard, by_past, input_weight, ctx.kind, ctx.needs_input_grad[0]
        )
        return dx, carried, *weights


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, first: Tensor, before: Tensor, input_weight: Tensor, past_weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        kind, channels = operand_type(x), first.shape[1]
        heard = _heard(x, input_weight, bias, kind)
        product = PackedProduct(past_weight.t(), kind)
        outputs = first.new_empty(len(heard) + 1, *first.shape)
        cells = torch.empty_like(outputs)
        outputs[0], cells[0] = first, before
        for step, gates in enumerate(heard):
            gates += product(outputs[step])
            gates[:, : 2 * channels].sigmoid_()
            taken, kept, candidate, told = gates.chunk(4, dim=1)
            candidate.tanh_()
            told.sigmoid_()
            torch.mul(kept, cells[step], out=cells[step + 1]).addcmul_(taken, candidate)
            torch.mul(told, cells[step + 1].tanh(), out=outputs[step + 1])
        ctx.save_for_backward(x, input_weight, past_weight, heard, outputs, cells)
        ctx.kind = kind
        return outputs[1:].transpose(0, 1), cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, by_last: Tensor) -> tuple[Tensor | None, ...]:
        x, input_weight, past_weight, opened, outputs, cells = ctx.saved_tensors
        product = PackedProduct(past_weight, ctx.kind)
        by_heard = torch.empty_like(opened)
        carried, by_cells = torch.zeros_like(outputs[0]), by_last.clone()
        for step in reversed(range(len(opened))):
            taken, kept, candidate, told = opened[step].chunk(4, dim=1)
            by_output, loud = carried + dy[:, step], cells[step + 1].tanh()
            by_cells = by_cells + by_output * told * (1 - loud * loud)
            parts = [
                by_cells * candidate * taken * (1 - taken),
                by_cells * cells[step] * kept * (1 - kept),
                by_cells * taken * (1 - candidate * candidate),
                by_output * loud * told * (1 - told),
            ]
            torch.cat(parts, dim=1, out=by_heard[step])
            by_cells = by_cells * kept
            carried = product(by_heard[step])
        dx, *weights = _weight_gradients(
            x, outputs[:-1], by_heard, by_heard, input_weight, ctx.kind, ctx.needs_input_grad[0]
        )
        return dx, carried, by_cells, *weights
