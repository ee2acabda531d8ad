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

from seqgen_core.kernels import lookup, products
from seqgen_core.kernels import rows as passes
from seqgen_core.kernels.compiling import parts_of, share

_FORMATS = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_LAST = torch.channels_last


def takes_passes(x: Tensor, *constants: Tensor | None) -> bool:
    """Whether the compiled passes can stand for torch: x a CPU's, not of float64, no gradient wanted by constants."""
    return (
        x.device.type == "cpu"
        and x.dtype in _FORMATS
        and not torch.compiler.is_compiling()
        and not any(constant is not None and constant.requires_grad for constant in constants)
    )


def operand_type(x: Tensor) -> torch.dtype:
    """Number format of the operands of products: that of x, or what autocast says."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) and x.dtype != torch.float64 else x.dtype


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
    ours = dz.dtype == torch.float32
    by_window, by_weight = None, None
    if inputs or not ours:
        by_window, by_weight, _ = torch.ops.aten.convolution_backward(
            _image(dz), _image(window), weight, None, (1, stride), (0, 0), (1, dilation), False, (0, 0), 1,
            (inputs, not ours, False),
        )  # fmt: skip
    rows = by_window.permute(0, 2, 3, 1)[:, 0] if by_window is not None else None
    if by_weight is not None:
        return rows, by_weight[:, :, 0].float()
    return rows, _by_weight(dz, window, weight.shape[3], stride, dilation)


def _by_weight(dz: Tensor, window: Tensor, taps: int, stride: int, dilation: int) -> Tensor:
    """The gradient by the weight (O, C, K)."""
    outputs, channels = dz.shape[2], window.shape[2]
    found = dz.new_zeros(taps * channels, _wide(outputs))
    # Where taps are neighbours, a tick and those after it are one long row of numbers.
    stretches = 1 if dilation == 1 else taps
    for number, rows in enumerate(found.chunk(stretches)):
        _add_transposed(window, number * dilation, stride, dz, rows)
    return found.view(taps, channels, -1)[:, :, :outputs].permute(2, 1, 0)


def _wide(columns: int) -> int:
    return -(-columns // products.WIDE) * products.WIDE


def _add_transposed(a: Tensor, skipped: int, stride: int, b: Tensor, c: Tensor) -> None:
    """c (M, N') += every stride-th row of a (B, L, …), of the numbers from it on, transposed, times b (B, N, O)."""
    batch, ticks, columns = b.shape
    _share_transposed(a, skipped, stride, c, (batch, ticks, columns), b, b.stride()[:2], (_wide(columns), 0))


def add_transposed_product(c: Tensor, a: Tensor, b: Tensor) -> None:
    """c (M, n * I) += a (K, M), transposed, times the matrices b (n, K, I) side by side; all in whole vectors."""
    count, inner, columns = b.shape
    _share_transposed(a[None], 0, 1, c, (1, inner, count * columns), b, (0, b.stride(1)), (columns, b.stride(0)))


def _share_transposed(
    a: Tensor,
    skipped: int,
    stride: int,
    c: Tensor,
    sizes: tuple[int, int, int],
    b: Tensor,
    b_strides: tuple[int, ...],
    apart: tuple[int, int],
) -> None:
    batch, ticks, columns = sizes
    threads = torch.get_num_threads()
    room = b.new_empty(parts_of(len(c), batch * ticks, threads) * products.ROOM)
    share(
        products.product_pass(), len(c), batch * ticks, threads, batch, ticks, columns,
        a.data_ptr() + 4 * skipped * a.stride(1), a.stride(0), stride * a.stride(1),
        b.data_ptr(), *b_strides, apart[0] // products.WIDE, apart[1], c.data_ptr(), c.stride(0), room.data_ptr(),
    )  # fmt: skip


def in_whole_vectors(kind: torch.dtype, *columns: int) -> bool:
    """Whether matrices of this format, with so many columns, fit the passes for products."""
    return kind == torch.float32 and not any(count % products.WIDE for count in columns)


def add_product(c: Tensor, a: Tensor, b: Tensor, *, begin: bool = False, bias: Tensor | None = None) -> None:
    """c (M, N) += a (M, K) times b (K, N). begin: c held nothing, and becomes the product, plus bias (N,).

    In whole vectors, a or c can be matrices that are thought side by side: a (n, M, K / n), c (n, M, N / n).
    """
    columns, inner = c.shape[-1], a.shape[-1]
    if a.dtype != c.dtype or not in_whole_vectors(c.dtype, columns):
        product = a @ b
        if begin and bias is None:
            c.copy_(product)
        else:
            torch.add(product, c if bias is None or not begin else bias, out=c)
        return
    panels = b.reshape(len(b), -1, products.WIDE).transpose(0, 1).contiguous()  # (N / 32, K, 32)
    a_hop, c_hop = (0 if matrix.dim() == 2 else matrix.stride(0) for matrix in (a, c))
    share(
        products.rows_pass(), c.shape[-2], b.numel() // 64, torch.get_num_threads(), len(b), inner, len(panels),
        a.data_ptr(), a.stride(-2), a_hop, panels.data_ptr(),
        c.data_ptr(), c.stride(-2), columns // products.WIDE, c_hop, int(begin), 0 if bias is None else bias.data_ptr(),
    )  # fmt: skip


def convolve_rows(window: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolution without padding, by torch alone: (B, L, C) with (O, C, K) -> (B, N, O)."""
    taps = weight.shape[2]
    if window.shape[1] == (taps - 1) * dilation + 1:  # a single output: a product with the weights as they lie
        return F.linear(window[:, ::dilation].transpose(1, 2).flatten(1)[:, None], weight.flatten(1), bias)
    if window.dtype == torch.float64 and window.device.type == "cpu":
        return F.conv1d(window.transpose(1, 2), weight, bias, stride, 0, dilation).transpose(1, 2)
    return multiply(window, packed(weight, operand_type(window)), bias, stride, dilation)


def multiply_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1×1 convolution: (B, N, C) with (O, C, 1) -> (B, N, O)."""
    outputs, channels = weight.shape[:2]
    fits = x.dtype == operand_type(x) and in_whole_vectors(x.dtype, channels, outputs)
    if takes_passes(x) and fits and x.shape[1] > 1:
        return _Product.apply(x, weight, bias)
    return F.linear(x, weight[:, :, 0], bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous()
        y = x.new_empty(*x.shape[:2], len(weight))
        add_product(y.flatten(0, 1), x.flatten(0, 1), weight[:, :, 0].t(), begin=True, bias=bias)
        ctx.save_for_backward(x, weight)
        ctx.bias = bias is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy, dx = dy.contiguous(), None
        if ctx.needs_input_grad[0]:
            dx = torch.empty_like(x)
            add_product(dx.flatten(0, 1), dy.flatten(0, 1), weight[:, :, 0], begin=True)
        by_weight = x.new_zeros(weight.shape[:2])
        _add_transposed(dy, 0, 1, x, by_weight)
        return dx, by_weight[:, :, None], dy.sum(dim=(0, 1)) if ctx.bias else None


def gated_rows(z: Tensor) -> Tensor:
    """tanh of the first half of the channels times the sigmoid of the second: (B, N, 2C) -> (B, N, C)."""
    signal, gate = z.chunk(2, dim=2)
    return torch.tanh(signal) * torch.sigmoid(gate)


def open_gates(z: Tensor, x: Tensor | None, y: Tensor) -> None:
    """y (B, N, C) = gated z (B, N, 2C), plus x (B, N, C); each with the channels of a tick side by side."""
    run = passes.gate_pass(_FORMATS[z.dtype], _FORMATS[y.dtype])
    batch, ticks, channels = y.shape
    added = (0, 0, 0) if x is None else (x.data_ptr(), x.stride(0), x.stride(1))
    share(
        run, batch * ticks, 8 * channels, torch.get_num_threads(), ticks, channels,
        z.data_ptr(), z.stride(0), z.stride(1), *added, y.data_ptr(), y.stride(0), y.stride(1),
    )  # fmt: skip


def open_gates_gradient(z: Tensor, dy: Tensor, dz: Tensor) -> Tensor:
    """dz (B, N, 2C): the gradient by z, from that by the gated values dy (B, N, C). Returns its sums (2C,) over all."""
    run = passes.gate_gradient_pass(_FORMATS[z.dtype], _FORMATS[dy.dtype])
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


def side_by_side(x: Tensor) -> Tensor:
    """x itself where the channels of a tick are next to each other, else a copy in which they are."""
    return x if x.stride(2) == 1 else x.contiguous()


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


class Nats(torch.autograd.Function):
    """-ln p of codes int64 (N,) under unnormalised log-probabilities (N, V): float32 (N,).

    Where takes_passes says so. No probability is kept: those of the gradient are computed again.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, codes: Tensor) -> Tensor:
        count, values = rows.shape
        sums, nats = torch.empty(count), torch.empty(count)
        share(
            passes.likelihood_pass(_FORMATS[rows.dtype]), count, 4 * values, torch.get_num_threads(), values,
            rows.data_ptr(), codes.data_ptr(), sums.data_ptr(), nats.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(rows, codes, sums)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None]:
        rows, codes, sums = ctx.saved_tensors
        by_rows = torch.empty_like(rows)
        share(
            passes.likelihood_gradient_pass(_FORMATS[rows.dtype]), len(rows), 4 * rows.shape[1],
            torch.get_num_threads(), rows.shape[1], rows.data_ptr(), codes.data_ptr(), sums.data_ptr(),
            slopes.data_ptr(), slopes.stride(0), by_rows.data_ptr(),
        )  # fmt: skip
        return by_rows, None


class LookUp(torch.autograd.Function):
    """Sums of K rows of weight (K * V, C), looked up by codes int64 (B, K - 1 + N): (B, N, C).

    Where takes_passes says so. Negative codes add nothing.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, codes: Tensor, taps: int) -> Tensor:
        codes = codes if codes.stride(1) == 1 else codes.contiguous()
        batch, ticks = codes.shape[0], codes.shape[1] - taps + 1
        channels, weight = weight.shape[1], weight.contiguous()
        y = weight.new_empty(batch, ticks, channels)
        share(
            lookup.lookup_pass(), batch * ticks, taps * channels, torch.get_num_threads(), ticks, taps,
            len(weight) // taps, channels, codes.data_ptr(), codes.stride(0), weight.data_ptr(), y.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(codes)
        ctx.rows, ctx.taps = len(weight), taps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (codes,), dy = ctx.saved_tensors, side_by_side(dy)
        batch, ticks, channels = dy.shape
        by_weight = dy.new_zeros(ctx.rows, channels)
        share(
            lookup.lookup_gradient_pass(), -(-channels // lookup.CHANNELS), batch * ticks * lookup.CHANNELS,
            torch.get_num_threads(), batch, ticks, ctx.taps, ctx.rows // ctx.taps, channels, codes.data_ptr(),
            codes.stride(0), dy.data_ptr(), dy.stride(0), dy.stride(1), by_weight.data_ptr(),
        )  # fmt: skip
        return by_weight, None, None
