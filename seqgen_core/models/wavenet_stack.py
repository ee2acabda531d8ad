"""All layers of a WaveNet as one autograd function, for float32 on a CPU.

Every layer writes its outputs where the next one reads its inputs. The skip connections of some layers are one product
of their gated values. Kept for the gradient: inputs of layers, numbers before gates, gated
values; what is kept for the next stretch of tokens passes no gradient on.
Axes: B batch, T time in tokens, C residual channels, I dilation channels, S skip channels, P past inputs of a layer.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqgen_core.models.row_products import (
    add_product,
    add_transposed_product,
    in_whole_vectors,
    operand_type,
    side_by_side,
)
from seqgen_core.models.rows import multiply, multiply_gradients, open_gates, open_gates_gradient, packed

GATHERED = 512
"""Gated values whose skip connections are one product, about: enough that each sum is read seldom."""


ALONE = 2048
"""Tokens from which the clips of a batch go through all layers one after another: what a layer leaves is still in the
caches when the next one reads it."""


class LayerTensors(NamedTuple):
    """What a layer of the stack computes with."""

    past: Tensor
    """(B, C, P), oldest input first."""
    plus: Tensor | None
    """(B, 1 or T, 2I): added before the gates."""
    gated: Tensor
    """(2I, C, K)."""
    gated_bias: Tensor | None
    residual: Tensor | None
    """(C, I, 1); none in the last layer."""
    residual_bias: Tensor | None
    skip: Tensor
    """(S, I, 1)."""
    skip_bias: Tensor | None


@dataclass(frozen=True)
class StackPlan:
    """How the layers are run, their dilations, and whether gradients will be asked for."""

    dilations: tuple[int, ...]
    trained: bool
    group: int
    """Layers whose skip connections are one product."""
    apart: bool
    """Whether the gated values of each of them are a matrix by itself, or part of the rows of one."""


def run_stack(x: Tensor, dilations: list[int], layers: list[LayerTensors]) -> tuple[Tensor, list[Tensor]]:
    """Inputs (B, T, C) -> sums of the skip paths (B, T, S), and what every layer keeps, as its past."""
    if len(x) > 1 and x.shape[1] >= ALONE:
        each = range(len(x))
        clips = [run_stack(x[n : n + 1], dilations, [_of_clip(layer, n) for layer in layers]) for n in each]
        skip = torch.cat([skip for skip, _ in clips])
        return skip, [torch.cat(parts) for parts in zip(*(kept for _, kept in clips), strict=True)]
    tensors = [tensor for layer in layers for tensor in layer]
    trained = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in [x, *tensors])
    skips, inner = layers[0].skip.shape[:2]
    apart = in_whole_vectors(operand_type(x), inner, skips)
    plan = StackPlan(tuple(dilations), trained, max(1, round(GATHERED / inner)), apart)
    skip, *kept = _Stack.apply(x, plan, *tensors)
    return skip, kept


def _of_clip(layer: LayerTensors, clip: int) -> LayerTensors:
    plus = layer.plus if layer.plus is None or len(layer.plus) == 1 else layer.plus[clip : clip + 1]
    return layer._replace(past=layer.past[clip : clip + 1], plus=plus)


def _layers(tensors: tuple[Any, ...]) -> list[LayerTensors]:
    size = len(LayerTensors._fields)
    return [LayerTensors(*tensors[first : first + size]) for first in range(0, len(tensors), size)]


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: StackPlan, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        layers, kind = _layers(tensors), operand_type(x)
        batch, steps, _ = x.shape
        inner, skips = layers[0].skip.shape[1], layers[0].skip.shape[0]
        biases = [layer.skip_bias for layer in layers if layer.skip_bias is not None]
        bias = torch.stack(biases).sum(dim=0) if biases else x.new_zeros(skips)
        skip = x.new_empty(batch * steps, skips)
        kept, windows, raws, groups, weights = [], [], [], [], []
        x = side_by_side(x)
        window = _begin(layers[0].past, steps, kind)
        window[:, -steps:] = x
        for index, layer in enumerate(layers):
            place = index % plan.group
            if place == 0:
                members = layers[index : index + plan.group]
                gathered = _room(x, len(members), inner, kind, apart=plan.apart)
            weight = packed(layer.gated, kind)
            z = multiply(window, weight, _as(layer.gated_bias, kind), 1, plan.dilations[index])  # (B, T, 2I)
            if layer.plus is not None:
                z += layer.plus
            values = gathered[place]
            open_gates(z, None, values)
            past = layer.past.shape[2]
            kept.append(window[:, window.shape[1] - past :].to(layer.past.dtype, copy=True).transpose(1, 2))
            if kind != x.dtype:  # what later stretches hear of x is not rounded
                kept[-1] = _newest(x, layer.past)
            if plan.trained:
                windows.append(window)
                raws.append(z)
                weights.append(weight)
            if layer.residual is not None:
                after = _begin(layers[index + 1].past, steps, kind)
                x = _add_residual(window, x, values, layer, after, kind)
                window = after
            if place == len(members) - 1:
                if plan.trained:
                    groups.append(gathered)
                joined = _joined(members, kind).t()  # (n * I, S)
                add_product(skip, _matrices(gathered, plan.apart), joined, begin=index < plan.group, bias=bias)
        ctx.plan, ctx.layers = plan, layers
        ctx.save_for_backward(*windows, *raws, *weights, *groups)
        ctx.mark_non_differentiable(*kept)
        return skip.view(batch, steps, skips), *kept

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_skip: Tensor, *by_kept: Tensor) -> tuple[Tensor | None, ...]:
        plan, layers, count = ctx.plan, ctx.layers, len(ctx.layers)
        saved = list(ctx.saved_tensors)
        windows, raws, weights, groups = (
            saved[:count], saved[count : 2 * count], saved[2 * count : 3 * count], saved[3 * count :]
        )  # fmt: skip
        batch, steps, skips = by_skip.shape
        kind, inner = windows[0].dtype, layers[0].skip.shape[1]
        slopes = by_skip.reshape(batch * steps, skips)
        skip_bias = slopes.sum(dim=0)
        slopes = slopes.to(kind)
        found: list[tuple[Tensor | None, ...]] = [()] * count
        dx: Tensor | None = None  # (B, T, C): by the outputs of the layer at hand
        for number in reversed(range(len(groups))):
            first = number * plan.group
            members = layers[first : first + plan.group]
            joined = _joined(members, kind)  # (S, n * I)
            by_gathered = _room(by_skip, len(members), inner, kind, apart=plan.apart)
            add_product(_matrices(by_gathered, plan.apart), slopes, joined, begin=True)
            if plan.apart:
                by_joined = slopes.new_zeros(joined.shape)  # (S, n * I)
                add_transposed_product(by_joined, slopes, _matrices(groups[number], plan.apart))
            else:
                by_joined = (slopes.t() @ _matrices(groups[number], plan.apart)).float()
            for place in reversed(range(len(members))):
                index, layer = first + place, members[place]
                part = slice(place * inner, (place + 1) * inner)
                values, by_values = groups[number][place], by_gathered[place]
                by_residual = by_residual_bias = None
                if layer.residual is not None:
                    assert dx is not None
                    by_residual, by_residual_bias = _residual_gradients(dx, values, by_values, layer, kind)
                z, window = raws[index], windows[index]
                dz = torch.empty_like(z)
                by_bias = open_gates_gradient(z, by_values, dz)
                by_plus = None
                if layer.plus is not None and layer.plus.requires_grad:
                    by_plus = (dz if layer.plus.shape[1] > 1 else dz.sum(dim=1, keepdim=True)).to(layer.plus.dtype)
                wanted = index > 0 or ctx.needs_input_grad[0]
                by_window, by_gated = multiply_gradients(dz, window, weights[index], 1, plan.dilations[index], wanted)
                if by_window is not None:
                    by_inputs = by_window[:, by_window.shape[1] - steps :].to(by_skip.dtype)
                    dx = by_inputs if dx is None else by_inputs.add_(dx)
                found[index] = (
                    None, by_plus, by_gated, by_bias if layer.gated_bias is not None else None,
                    by_residual, by_residual_bias,
                    by_joined[:, part, None], skip_bias if layer.skip_bias is not None else None,
                )  # fmt: skip
        return dx, None, *(gradient for gradients in found for gradient in gradients)


def _room(x: Tensor, layers: int, inner: int, kind: torch.dtype, *, apart: bool) -> Tensor:
    """Room (layers, B, T, I) for what goes to the skip connections of some layers; x (B, T, …) is as long."""
    batch, steps = x.shape[:2]
    if apart:
        return x.new_empty(layers, batch, steps, inner, dtype=kind)
    return x.new_empty(batch, steps, layers, inner, dtype=kind).permute(2, 0, 1, 3)


def _matrices(gathered: Tensor, apart: bool) -> Tensor:
    """(layers, B, T, I) as `add_product` takes it: (layers, B * T, I), or (B * T, layers * I)."""
    return gathered.flatten(1, 2) if apart else gathered.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)


def _as(tensor: Tensor | None, kind: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(kind)


def _begin(past: Tensor, steps: int, kind: torch.dtype) -> Tensor:
    """A window (B, P + T, C) that begins with past (B, C, P)."""
    window = past.new_empty(len(past), past.shape[2] + steps, past.shape[1], dtype=kind)
    window[:, : past.shape[2]] = past.transpose(1, 2)
    return window


def _newest(x: Tensor, past: Tensor) -> Tensor:
    """The newest inputs (B, C, P) of x (B, T, C) after past (B, C, P)."""
    size = past.shape[2]
    old = past[:, :, min(x.shape[1], size) :].transpose(1, 2)
    return torch.cat([old, x[:, max(0, x.shape[1] - size) :]], dim=1).transpose(1, 2)


def _add_residual(
    window: Tensor, x: Tensor, values: Tensor, layer: LayerTensors, after: Tensor, kind: torch.dtype
) -> Tensor:
    """The layer's outputs (B, T, C), which are also put at the end of the next layer's window."""
    assert layer.residual is not None
    steps, weight = values.shape[1], layer.residual[:, :, 0].to(kind).t()  # (I, C)
    if kind != x.dtype:
        x = x + (values @ weight)
        if layer.residual_bias is not None:
            x += layer.residual_bias
        after[:, after.shape[1] - steps :] = x
        return x
    before, outputs = window[:, window.shape[1] - steps :], after[:, after.shape[1] - steps :]
    if layer.residual_bias is None:
        outputs.copy_(before)
    else:
        torch.add(before, layer.residual_bias, out=outputs)
    for clip, mine in enumerate(values):
        add_product(outputs[clip], mine, weight)
    return x


def _joined(members: list[LayerTensors], kind: torch.dtype) -> Tensor:
    """The skip products of several layers as one: (S, n * I)."""
    return torch.cat([layer.skip[:, :, 0] for layer in members], dim=1).to(kind)


def _residual_gradients(
    dx: Tensor, values: Tensor, by_values: Tensor, layer: LayerTensors, kind: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """Gradients by the residual product's weight and bias; that by its inputs (B, T, I) is added to by_values."""
    assert layer.residual is not None
    weight, given = layer.residual[:, :, 0].to(kind), dx.to(kind)
    by_weight = None
    for clip, slopes in enumerate(given):
        add_product(by_values[clip], slopes, weight)
        part = (slopes.t() @ values[clip]).float()
        by_weight = part if by_weight is None else by_weight.add_(part)
    assert by_weight is not None
    return by_weight[:, :, None], dx.sum(dim=(0, 1)) if layer.residual_bias is not None else None
