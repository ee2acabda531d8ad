"""Products of matrices of which two sides are short, such as those of a convolution with 1 tap, as vector code.

C += A · B. B is read in panels of 32 columns that lie side by side; a tile of C, up to 12 rows of a panel, is summed in
registers. The code is LLVM's with vectors of 16 lanes, which its back end cuts to what the processor has.
Axes: M rows and N columns of C, K the inner side.
"""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import types
from numba.extending import intrinsic

from seqgen_core.kernels.compiling import compiled, floats_at, stamp

LANES, WIDE = 16, 32
TILES = (12, 8, 4, 2, 1)
"""Rows of a tile: 12 of them by 2 vectors are 24 sums, the most that the registers hold beside what they read."""
DEPTH = 256
"""Of the inner side that is taken at a time, so that its part of B stays in the first two caches."""
BLOCK = 96
"""Rows of A that stay in the second cache while they meet every panel."""
ROOM = DEPTH * WIDE
"""Numbers of room that each part of the work needs."""
_int32, _int64, _float = ir.IntType(32), ir.IntType(64), ir.FloatType()
_floats, _words = ir.VectorType(_float, LANES), ir.VectorType(_int32, LANES)


@cache
def wide_vectors() -> bool:
    """Whether the processor has registers for these tiles (AVX-512); where it has not, torch's products are faster."""
    return bool(get_host_cpu_features().get("avx512f"))


def _add_tile(
    typingctx: Any, rows: Any, a: Any, b: Any, c: Any, depth: Any, a_row: Any, a_step: Any, c_row: Any
) -> Any:
    """`rows` rows of c (32 columns) += those of a times the panel b; addresses, and strides in bytes.

    a_row, a_step: from one row, and from one column, of A to the next. c_row: from one row of C to the next. Negative
    `rows`: as many, and a_row is 4, a number.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, *rest = arguments
        end = builder.append_basic_block("end")
        switch = builder.switch(rows, end)
        for count in (*TILES, *(-count for count in TILES)):
            function = _tile(builder.module, abs(count), side_by_side=count < 0)
            block = builder.append_basic_block("case")
            switch.add_case(_int64(count), block)
            builder.position_at_end(block)
            builder.call(function, rest)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


_add: Any = intrinsic(_add_tile)


def _tile(module: Any, rows: int, *, side_by_side: bool) -> Any:
    """The function for so many rows: a loop over the inner side with all sums in registers."""
    name = f"seqgen_tile_{rows}_{side_by_side}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_int64] * 7), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    a, b, c, depth, a_row, a_step, c_row = function.args
    entry, loop, done = (function.append_basic_block(part) for part in ("entry", "loop", "done"))
    vectors = WIDE // LANES
    build = ir.IRBuilder(entry)
    zero = ir.Constant(_floats, [0.0] * LANES)
    starts = [build.add(a, build.mul(a_row, _int64(row))) for row in range(rows)]
    build.branch(loop)

    build.position_at_end(loop)
    left, here, panel = build.phi(_int64), build.phi(_int64), build.phi(_int64)
    for place, start in ((left, depth), (here, a if side_by_side else _int64(0)), (panel, b)):
        place.add_incoming(start, entry)
    sums = [[build.phi(_floats) for _ in range(vectors)] for _ in range(rows)]
    columns = build.inttoptr(panel, _floats.as_pointer())
    heard = [build.load(build.gep(columns, [_int64(vector)]), align=4) for vector in range(vectors)]
    for row in range(rows):
        there = build.add(here, _int64(4 * row) if side_by_side else starts[row])
        spread = _spread(build, build.load(build.inttoptr(there, _float.as_pointer()), align=4))
        for vector in range(vectors):
            old = sums[row][vector]
            product = build.fmul(spread, heard[vector], flags=("contract",))
            new = build.fadd(old, product, flags=("contract",))
            old.add_incoming(zero, entry)
            old.add_incoming(new, loop)
    less = build.sub(left, _int64(1))
    left.add_incoming(less, loop)
    here.add_incoming(build.add(here, a_step), loop)
    panel.add_incoming(build.add(panel, _int64(4 * WIDE)), loop)
    build.cbranch(build.icmp_signed(">", less, _int64(0)), loop, done)

    build.position_at_end(done)
    for row in range(rows):
        target = build.inttoptr(build.add(c, build.mul(c_row, _int64(row))), _floats.as_pointer())
        for vector in range(vectors):
            place = build.gep(target, [_int64(vector)])
            total = build.fadd(build.load(place, align=4), sums[row][vector].incomings[1][0])
            build.store(total, place, align=4)
    build.ret_void()
    return function


def _spread(build: Any, number: Any) -> Any:
    """One number in all lanes."""
    nothing = ir.Constant(_floats, ir.Undefined)
    first = build.insert_element(nothing, number, ir.Constant(_int32, 0))
    return build.shuffle_vector(first, nothing, ir.Constant(_words, [0] * LANES))


@cache
def product_pass() -> Any:
    """Rows `first` to `stop - 1` of C (M, N') += those of A times B, N' being N rounded up to 32 columns.

    A lies transposed: the numbers of a column, which meet the same row of B, are side by side. The columns of B can lie
    apart: b_hop numbers after the first of so many panels lie the next.
    clips: matrices A and B of so many clips, whose products are added up. a, b, c: addresses. a_clip, a_step, b_clip,
    b_row, c_row: strides in numbers. room: address of ROOM numbers for each part.
    """
    mark = stamp(__file__)

    def run(
        first, stop, part, clips, inner, columns, a, a_clip, a_step, b, b_clip, b_row, b_panels, b_hop, c, c_row, room
    ):  # fmt: skip
        mark  # noqa: B018
        scratch = room + 4 * part * ROOM
        panels = (columns + WIDE - 1) // WIDE
        for clip in range(clips):
            for begin in range(0, inner, DEPTH):
                depth = min(DEPTH, inner - begin)
                for panel in range(panels):
                    width = min(WIDE, columns - panel * WIDE)
                    copied = floats_at(scratch, ROOM)
                    for row in range(depth):
                        there = b + 4 * (clip * b_clip + (begin + row) * b_row + panel // b_panels * b_hop)
                        there += 4 * (panel % b_panels) * WIDE
                        given = floats_at(there, width)
                        if width == WIDE:
                            for column in range(WIDE):
                                copied[row * WIDE + column] = given[column]
                        else:
                            for column in range(width):
                                copied[row * WIDE + column] = given[column]
                            for column in range(width, WIDE):
                                copied[row * WIDE + column] = np.float32(0)
                    row = first
                    while row < stop:
                        left = stop - row
                        rows = 12 if left >= 12 else 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
                        here = a + 4 * (clip * a_clip + begin * a_step + row)
                        target = c + 4 * (row * c_row + panel * WIDE)
                        _add(-rows, here, scratch, target, depth, 4, 4 * a_step, 4 * c_row)
                        row += rows

    return compiled(run)


@cache
def rows_pass() -> Any:
    """Rows `first` to `stop - 1` of C (M, N) += those of A (M, K) times B, given as panels (N / 32, K, 32).

    begin: 1 where C holds nothing yet and its rows begin with the N numbers at bias, or with 0. a, b, c, bias:
    addresses. a_row, c_row: strides in numbers. Columns can lie apart: a_hop numbers after the first `segment` of a row
    of A lie the next, c_hop after the first c_panels panels of C the next.
    """
    mark = stamp(__file__)

    def run(
        first, stop, part, inner, segment, panels, a, a_row, a_hop, b, c, c_row, c_panels, c_hop, begin, bias
    ):  # fmt: skip
        mark  # noqa: B018
        for block in range(first, stop, BLOCK):
            end = min(stop, block + BLOCK)
            start = 0
            while start < inner:
                inside = start % segment
                depth = min(DEPTH, segment - inside)
                numbers_before = a + 4 * (start // segment * a_hop + inside)
                for panel in range(panels):
                    numbers = b + 4 * WIDE * (panel * inner + start)
                    row = block
                    while row < end:
                        left = end - row
                        rows = 12 if left >= 12 else 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
                        target = c + 4 * (row * c_row + panel // c_panels * c_hop + panel % c_panels * WIDE)
                        if begin != 0 and start == 0:
                            for place in range(rows):
                                fresh = floats_at(target + 4 * place * c_row, WIDE)
                                if bias != 0:
                                    given = floats_at(bias + 4 * panel * WIDE, WIDE)
                                    for column in range(WIDE):
                                        fresh[column] = given[column]
                                else:
                                    for column in range(WIDE):
                                        fresh[column] = np.float32(0)
                        _add(rows, numbers_before + 4 * row * a_row, numbers, target, depth, 4 * a_row, 4, 4 * c_row)
                        row += rows
                start += depth

    return compiled(run)
