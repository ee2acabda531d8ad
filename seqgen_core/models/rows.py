"""Convolutions and gates over rows, (B, T, C) with the channels of a tick side by side, and their gradients.

Rows are what the processor's convolutions read fastest, and what products, gates and heads read in order. Each function
stands twice: as plain torch, which any device, compiler and number format can take, and for float32 on the CPU as one
autograd function, which saves no more than its inputs and the numbers before the gate and computes the rest again.
Under autocast to bfloat16 the operands of products are bfloat16; sums, gates, residual paths and weights are float32.
Axes: B batch, N ticks in time, C channels, K taps, L ticks of a window, O outputs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seqgen_core.kernels import rows as passes
from seqgen_core.kernels.compiling import parts_of, share
from seqgen_core.kernels.products import wide_vectors
from seqgen_core.models.row_products import FORMATS, operand_type, side_by_side, takes_passes, weight_gradient

_LAST = torch.channels_last


def window_of(parts: list[Tensor], past: Tensor | None, length: int, dtype: torch.dtype) -> Tensor:
    """The newest `length` ticks (B, length, C) after past (B, P, C), silence before it.

    parts (B, N, C'): whose channels stand side by side, each with as many ticks as it has.
    """
    channels = sum(part.shape[2] for part in parts)
    window = parts[0].new_empty((len(parts[0]), length, channels), dtype=dtype)
    first = 0
    for part in parts:
        mine = window[:, :, first : first + part.shape[2]]
        new = min(part.shape[1], length)
        mine[:, length - new :] = part[:, part.shape[1] - new :]
        old = 0 if past is None else min(past.shape[1], length - new)
        if past is not None and old:
            mine[:, length - new - old : length - new] = past[:, past.shape[1] - old :, first : first + part.shape[2]]
        if new + old < length:
            mine[:, : length - new - old] = 0
        first += part.shape[2]
    return window


def _image(rows: Tensor) -> Tensor:
    """Rows (B, L, C) as an image (B, C, 1, L) whose channels come last in memory."""
    return rows.contiguous()[:, None].permute(0, 3, 1, 2)


def packed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """(O, C, K) as (O, C, 1, K) with the channels last in memory."""
    return weight[:, :, None].to(dtype).contiguous(memory_format=_LAST)


def multiply(window: Tensor, weight: Tensor, bias: Tensor | None, stride: int, dilation: int) -> Tensor:
    """Convolution of (B, L, C) with a packed weight: (B, N, O)."""
    z = F.conv2d(_image(window), weight, bias, (1, stride), 0, (1, dilation))
    return z.permute(0, 2, 3, 1)[:, 0]


def multiply_gradients(
    dz: Tensor, window: Tensor, weight: Tensor, stride: int, dilation: int, inputs: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients by window (B, L, C) and by the weight (O, C, K) of `multiply`."""
    ours = dz.dtype == torch.float32 and wide_vectors()
    by_window, by_weight = None, None
    if inputs or not ours:
        by_window, by_weight, _ = torch.ops.aten.convolution_backward(
            _image(dz), _image(window), weight, None, (1, stride), (0, 0), (1, dilation), False, (0, 0), 1,
            (inputs, not ours, False),
        )  # fmt: skip
    rows = by_window.permute(0, 2, 3, 1)[:, 0] if by_window is not None else None
    if by_weight is not None:
        return rows, by_weight[:, :, 0].float()
    return rows, weight_gradient(dz, window, weight.shape[3], stride, dilation)


def convolve_rows(window: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolution without padding, by torch alone: (B, L, C) with (O, C, K) -> (B, N, O)."""
    taps = weight.shape[2]
    if window.shape[1] == (taps - 1) * dilation + 1:  # a single output: a product with the weights as they lie
        return F.linear(window[:, ::dilation].transpose(1, 2).flatten(1)[:, None], weight.flatten(1), bias)
    if window.dtype == torch.float64 and window.device.type == "cpu":
        return F.conv1d(window.transpose(1, 2), weight, bias, stride, 0, dilation).transpose(1, 2)
    return multiply(window, packed(weight, operand_type(window)), bias, stride, dilation)


def gated_rows(z: Tensor) -> Tensor:
    """tanh of the first half of the channels times the sigmoid of the second: (B, N, 2C) -> (B, N, C)."""
    signal, gate = z.chunk(2, dim=2)
    return torch.tanh(signal) * torch.sigmoid(gate)


def open_gates(z: Tensor, x: Tensor | None, y: Tensor) -> None:
    """y (B, N, C) = gated z (B, N, 2C), plus x (B, N, C); each with the channels of a tick side by side."""
    run = passes.gate_pass(FORMATS[z.dtype], FORMATS[y.dtype])
    batch, ticks, channels = y.shape
    added = (0, 0, 0) if x is None else (x.data_ptr(), x.stride(0), x.stride(1))
    share(
        run, batch * ticks, 8 * channels, torch.get_num_threads(), ticks, channels,
        z.data_ptr(), z.stride(0), z.stride(1), *added, y.data_ptr(), y.stride(0), y.stride(1),
    )  # fmt: skip


def open_gates_gradient(z: Tensor, dy: Tensor, dz: Tensor) -> Tensor:
    """dz (B, N, 2C): the gradient by z, from that by the gated values dy (B, N, C). Returns its sums (2C,) over all."""
    run = passes.gate_gradient_pass(FORMATS[z.dtype], FORMATS[dy.dtype])
    batch, ticks, channels = dy.shape
    rows, width, threads = batch * ticks, 8 * channels, torch.get_num_threads()
    parts = parts_of(rows, width, threads)
    sums = torch.zeros(parts, 2 * channels)
    share(
        run, rows, width, threads, ticks, channels,
        z.data_ptr(), z.stride(0), z.stride(1), dy.data_ptr(), dy.stride(0), dy.stride(1),
        dz.data_ptr(), dz.stride(0), dz.stride(1), sums.data_ptr(),
    )  # fmt: skip
    return sums[0] if parts == 1 else sums.sum(dim=0)


class _GatedResidual(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        beside: Tensor | None,
        past: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        count: int,
        stride: int,
        behind: int,
    ) -> Tensor:
        kind = operand_type(x)
        parts = [x] if beside is None else [x, beside]
        window = window_of(parts, past, (count - 1) * stride + weight.shape[2] + behind, kind)
        ready = packed(weight, kind)
        z = multiply(window, ready, None if bias is None else bias.to(kind), stride, 1)
        y = x.new_empty(len(x), count, x.shape[2])
        open_gates(z, _ticks(side_by_side(x), count, stride, behind), y)
        ctx.save_for_backward(window, ready, z)
        ctx.stride, ctx.behind, ctx.bias = stride, behind, bias is not None
        ctx.ticks = (x.shape[1], None if beside is None else beside.shape[1])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        window, ready, z = ctx.saved_tensors
        dy, dz = side_by_side(dy), torch.empty_like(z)
        by_bias = open_gates_gradient(z, dy, dz)
        inputs = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        by_window, by_weight = multiply_gradients(dz, window, ready, ctx.stride, 1, inputs)
        dx = by_beside = None
        if by_window is not None:
            channels = dy.shape[2]
            dx = _stretch(by_window[:, :, :channels], ctx.ticks[0])
            if dx.dtype != dy.dtype:
                dx = dx.to(dy.dtype)
            _ticks(dx, dy.shape[1], ctx.stride, ctx.behind).add_(dy)
            if ctx.ticks[1] is not None:
                by_beside = _stretch(by_window[:, :, channels:], ctx.ticks[1]).to(dy.dtype)
        return dx, by_beside, None, by_weight, by_bias if ctx.bias else None, None, None, None


def _ticks(x: Tensor, count: int, stride: int, behind: int) -> Tensor:
    """Every stride-th tick of x (B, N, C), `count` of them, the newest `behind` ticks before the end."""
    last = x.shape[1] - 1 - behind
    return x[:, last - (count - 1) * stride : last + 1 : stride]


def _stretch(rows: Tensor, ticks: int) -> Tensor:
    """The newest `ticks` rows; zeros before them where there are fewer."""
    missing = ticks - rows.shape[1]
    return F.pad(rows, (0, 0, missing, 0)) if missing > 0 else rows[:, -missing:]


def gated_residual(
    x: Tensor,
    beside: Tensor | None,
    past: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    count: int,
    stride: int = 1,
    behind: int = 0,
) -> Tensor:
    """x (B, N, C) plus the gated convolution of x, with further channels beside it: the newest outputs (B, count, C).

    past (B, P, C or 2C): inputs before those; silence where there are none. stride: ticks between outputs. behind:
    ticks of x after the newest output, less than stride.
    """
    if takes_passes(x, past) and count > 1:
        return _GatedResidual.apply(x, beside, past, weight, bias, count, stride, behind)
    length = (count - 1) * stride + weight.shape[2]
    both = x
    if beside is not None:
        ticks = min(x.shape[1], beside.shape[1])
        both = torch.cat([x[:, x.shape[1] - ticks :], beside[:, beside.shape[1] - ticks :]], dim=2)
    window = preceded_rows(both[:, : both.shape[1] - behind], past, length)
    return _ticks(x, count, stride, behind) + gated_rows(convolve_rows(window, weight, bias, stride))


def preceded_rows(x: Tensor, past: Tensor | None, length: int) -> Tensor:
    """The newest `length` inputs (B, length, C) of x (B, N, C) after past (B, P, C), or after silence."""
    if past is not None:
        x = torch.cat([past, x], dim=1)
    return _stretch(x, length)


class _GatedDoubling(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        past: Tensor | None,
        even: Tensor,
        odd: Tensor,
        bias: Tensor,
        count: int,
        behind: int,
    ) -> Tensor:
        kind = operand_type(x)
        x = side_by_side(x)
        length = max((count - behind + 1) // 2 + odd.shape[2], (count + behind) // 2 + odd.shape[2] - behind)
        window = window_of([x], past, length, kind)
        # What stands at each output: the newest slow input, kept or new, in full precision.
        slow = window if kind == x.dtype else window_of([x], past, length, x.dtype)
        ready = packed(even, kind), packed(odd, kind)
        offset = bias.to(kind)
        y = x.new_empty(len(x), count, x.shape[2])
        z = [multiply(window, weight, offset, 1, 1) for weight in ready]
        for number, (ticks, ends) in enumerate(_interleaved(count, behind)):
            if ticks:
                place = _alternate(y, number, behind)
                open_gates(_ticks(z[number], ticks, 1, ends), _ticks(slow, ticks, 1, ends), place)
        ctx.save_for_backward(window, *ready, *z)
        ctx.behind, ctx.ticks = behind, x.shape[1]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        window, even, odd, *z = ctx.saved_tensors
        dy, count = side_by_side(dy), dy.shape[1]
        inputs, found, by_bias = ctx.needs_input_grad[0], [], torch.zeros(z[0].shape[2])
        for number, (ticks, ends) in enumerate(_interleaved(count, ctx.behind)):
            dz = torch.empty_like(z[number])
            last = dz.shape[1] - ends
            dz[:, : last - ticks] = 0
            dz[:, last:] = 0
            if ticks:
                place = _alternate(dy, number, ctx.behind)
                by_bias += open_gates_gradient(_ticks(z[number], ticks, 1, ends), place, _ticks(dz, ticks, 1, ends))
            found.append(multiply_gradients(dz, window, (even, odd)[number], 1, 1, inputs))
        (by_slow, by_even), (by_slow_too, by_odd) = found
        dx = None
        if by_slow is not None and by_slow_too is not None:
            by_slow = by_slow.to(dy.dtype)
            by_slow += by_slow_too
            for number, (ticks, ends) in enumerate(_interleaved(count, ctx.behind)):
                if ticks:
                    _ticks(by_slow, ticks, 1, ends).add_(_alternate(dy, number, ctx.behind))
            dx = _stretch(by_slow, ctx.ticks)
        return dx, None, by_even, by_odd, by_bias, None, None


def _interleaved(count: int, behind: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of the outputs at slow ticks, and of those between: how many, and how many slow ticks lie after their newest."""
    return ((count - behind + 1) // 2, 0), ((count + behind) // 2, 1 - behind)


def _alternate(y: Tensor, number: int, behind: int) -> Tensor:
    """Of fast outputs (B, count, C) those at slow ticks (number 0), or those between (1)."""
    last = y.shape[1] - 1
    return y[:, (last - (number != behind)) % 2 :: 2]


def gated_doubling(
    x: Tensor, past: Tensor | None, even: Tensor, odd: Tensor, bias: Tensor, count: int, behind: int
) -> Tensor:
    """Slow x (B, N, C) plus its gated convolutions, one for each of the two fast ticks that a slow one lasts.

    (B, count, C) at twice the clock; behind: 1 where the newest output is between slow ticks. even (2C, C, P + 1), odd
    (2C, C, P), with the same bias. past (B, P, C): inputs before x; silence where there are none.
    """
    if takes_passes(x, past) and count > 1:
        return _GatedDoubling.apply(x, past, even, odd, bias, count, behind)
    slow = x if past is None else torch.cat([past, x], dim=1)
    parts = []
    if count == 1:
        weight = odd if behind else even
        window = _stretch(slow, weight.shape[2])
        return window[:, -1:] + gated_rows(convolve_rows(window, weight, bias))
    pairs = (count + 1) // 2
    for weight, window in ((even, slow), (odd, slow if behind else slow[:, :-1])):
        window = _stretch(window, pairs + weight.shape[2] - 1)
        parts.append(window[:, weight.shape[2] - 1 :] + gated_rows(convolve_rows(window, weight, bias)))
    if not behind:
        parts.reverse()
    return torch.stack(parts, dim=2).flatten(1, 2)[:, 2 * pairs - count :]
