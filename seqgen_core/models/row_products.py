"""Products, look-ups and likelihoods over rows, (B, T, C) with the channels of a tick side by side, by compiled passes.

Where `takes_passes` says so these stand for torch's own operations, which any device, compiler and number format take.
Axes: B batch, N ticks in time, C channels, K taps, L ticks of a window, O outputs, V token values; of matrices M rows,
N columns and K the inner side.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seqgen_core.kernels import lookup, products
from seqgen_core.kernels import rows as passes
from seqgen_core.kernels.compiling import parts_of, share

FORMATS = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
"""Number formats that passes read, by their names there."""


def takes_passes(x: Tensor, *constants: Tensor | None, coarse: bool = False) -> bool:
    """Whether the compiled passes can stand for torch: float32 on a CPU, no gradient wanted by the constants.

    coarse: bfloat16 will do as well.
    """
    return (
        x.device.type == "cpu"
        and x.dtype in FORMATS
        and (coarse or x.dtype == torch.float32)
        and not torch.compiler.is_compiling()
        and not any(constant is not None and constant.requires_grad for constant in constants)
    )


def operand_type(x: Tensor) -> torch.dtype:
    """Number format of the operands of products: that of x, or what autocast says."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) and x.dtype != torch.float64 else x.dtype


def side_by_side(x: Tensor) -> Tensor:
    """x itself where the channels of a tick are next to each other, else a copy in which they are."""
    return x if x.stride(2) == 1 else x.contiguous()


def weight_gradient(dz: Tensor, window: Tensor, taps: int, stride: int, dilation: int) -> Tensor:
    """The gradient by a convolution's weight (O, C, K), from that by its outputs dz (B, N, O); float32."""
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
    return kind == torch.float32 and products.wide_vectors() and not any(count % products.WIDE for count in columns)


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


class PackedProduct:
    """Rows a (M, K) times one matrix b (K, N), again and again; operands of a number format, outputs as rows are."""

    def __init__(self, b: Tensor, kind: torch.dtype) -> None:
        self._kind, self._columns = kind, b.shape[1]
        self._panels = None
        if in_whole_vectors(kind, self._columns) and takes_passes(b.detach()):
            self._panels = b.reshape(len(b), -1, products.WIDE).transpose(0, 1).contiguous()  # (N / 32, K, 32)
        else:
            self._b = b.to(kind)

    def __call__(self, a: Tensor) -> Tensor:
        if self._panels is None:
            return (a.to(self._kind) @ self._b).to(a.dtype)
        c, a = a.new_empty(len(a), self._columns), a.contiguous()
        panels = self._panels
        share(
            products.rows_pass(), len(a), panels.numel() // 64, torch.get_num_threads(), a.shape[1], a.shape[1],
            len(panels), a.data_ptr(), a.stride(0), 0, panels.data_ptr(),
            c.data_ptr(), c.stride(0), len(panels), 0, 1, 0,
        )  # fmt: skip
        return c


def multiply_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1×1 convolution: (B, N, C) with (O, C, 1) -> (B, N, O)."""
    outputs, channels = weight.shape[:2]
    several = takes_passes(x) and x.shape[1] > 1
    if several and x.dtype == operand_type(x) and in_whole_vectors(x.dtype, channels, outputs):
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


class Nats(torch.autograd.Function):
    """-ln p of codes int64 (N,) under unnormalised log-probabilities (N, V): float32 (N,).

    Where takes_passes says so. No probability is kept: those of the gradient are computed again.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, codes: Tensor) -> Tensor:
        count, values = rows.shape
        sums, nats = torch.empty(count), torch.empty(count)
        share(
            passes.likelihood_pass(FORMATS[rows.dtype]), count, 4 * values, torch.get_num_threads(), values,
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
            passes.likelihood_gradient_pass(FORMATS[rows.dtype]), len(rows), 4 * rows.shape[1],
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
