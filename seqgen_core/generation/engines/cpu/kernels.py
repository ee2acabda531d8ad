"""Products of a panel of weights with the inputs of some clips, as vector code that numba's compiler emits in place.

A panel is up to 64 rows of a matrix, column after column, so that it is read in the order in which it lies in memory,
once for all clips. Each output is one chain of fused multiply-adds over the columns: it does not depend on how many
clips, rows or threads there are.

Formats: float32; bfloat16, two rows in one 32-bit lane; int8, one scale per row, which the caller applies.
The code is LLVM's with vectors of 16 lanes, which its back end cuts to what the processor has.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 16
MOST_VECTORS = 4
"""Vectors of 16 rows in a panel."""
CLIP_GROUPS = (8, 4, 2, 1)
"""Clips that share one reading of a panel."""
MOST_SUMS = 16
"""Vectors of sums that are held in registers at a time."""
FLOAT32, BFLOAT16, INT8 = 0, 1, 2
BYTES = {FLOAT32: 4, BFLOAT16: 2, INT8: 1}

_int32, _int64, _byte, _float = ir.IntType(32), ir.IntType(64), ir.IntType(8), ir.FloatType()
_floats, _words = ir.VectorType(_float, LANES), ir.VectorType(_int32, LANES)


def _multiply_panel(
    typingctx: Any,
    form: Any,
    vectors: Any,
    clips: Any,
    weights: Any,
    inputs: Any,
    outputs: Any,
    columns: Any,
    stride: Any,
    tail: Any,
    input_stride: Any,
    output_stride: Any,
) -> Any:
    """outputs[clip] = panel · inputs[clip] for `clips` clips (1, 2, 4 or 8); all arguments are int64.

    weights, inputs, outputs: addresses. stride: bytes from one column of the panel to the next. tail: rows in each half
    of the last pair of vectors (bfloat16). The strides of inputs and outputs are floats from clip to clip. Up to 15
    floats after a panel's last output are overwritten with nonsense, and as many weights after its last are read.
    """
    signature = types.void(*[types.int64] * 11)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        form, vectors, clips, *rest = arguments
        choice = builder.add(builder.mul(form, _int64(1000)), builder.add(builder.mul(vectors, _int64(10)), clips))
        end = builder.append_basic_block("end")
        switch = builder.switch(choice, end)
        for form_number in BYTES:
            for vector_count in range(1, MOST_VECTORS + 1):
                if form_number == BFLOAT16 and vector_count % 2:
                    continue
                for clip_count in CLIP_GROUPS:
                    if vector_count * clip_count > MOST_SUMS:
                        continue
                    function = _panel(builder.module, form_number, vector_count, clip_count)
                    block = builder.append_basic_block("case")
                    switch.add_case(_int64(form_number * 1000 + vector_count * 10 + clip_count), block)
                    builder.position_at_end(block)
                    builder.call(function, rest)
                    builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


multiply_panel: Any = intrinsic(_multiply_panel)


def _panel(module: Any, form: int, vectors: int, clips: int) -> Any:
    """The function for so many vectors of rows and so many clips: a loop over columns with all sums in registers."""
    name = f"seqgen_panel_{form}_{vectors}_{clips}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_int64] * 8), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    weights, inputs, outputs, columns, stride, tail, input_stride, output_stride = function.args
    entry, loop, done = (function.append_basic_block(part) for part in ("entry", "loop", "done"))

    build = ir.IRBuilder(entry)
    starts = [
        build.inttoptr(build.add(inputs, build.mul(input_stride, _int64(4 * clip))), _float.as_pointer())
        for clip in range(clips)
    ]
    zero = ir.Constant(_floats, [0.0] * LANES)
    build.cbranch(build.icmp_signed(">", columns, _int64(0)), loop, done)

    build.position_at_end(loop)
    column, place = build.phi(_int64), build.phi(_int64)
    column.add_incoming(_int64(0), entry)
    place.add_incoming(weights, entry)
    sums = [[build.phi(_floats) for _ in range(clips)] for _ in range(vectors)]
    heard = [_spread(build, build.load(build.gep(start, [column]))) for start in starts]
    rows = _read_rows(build, form, vectors, place)
    for vector in range(vectors):
        for clip in range(clips):
            old = sums[vector][clip]
            product = build.fmul(rows[vector], heard[clip], flags=("contract",))
            new = build.fadd(old, product, flags=("contract",))
            old.add_incoming(zero, entry)
            old.add_incoming(new, loop)
    following = build.add(column, _int64(1))
    column.add_incoming(following, loop)
    place.add_incoming(build.add(place, stride), loop)
    build.cbranch(build.icmp_signed("<", following, columns), loop, done)

    build.position_at_end(done)
    totals = []
    for vector in range(vectors):
        for clip in range(clips):
            total = build.phi(_floats)
            total.add_incoming(zero, entry)
            total.add_incoming(sums[vector][clip].incomings[1][0], loop)
            totals.append((vector, clip, total))
    for vector, clip, total in totals:
        row: Any = _int64(vector * LANES)
        if form == BFLOAT16 and vector == vectors - 1:
            row = build.add(_int64((vectors - 2) * LANES), tail)
        offset = build.mul(build.add(row, build.mul(output_stride, _int64(clip))), _int64(4))
        build.store(total, build.inttoptr(build.add(outputs, offset), _floats.as_pointer()), align=4)
    build.ret_void()
    return function


def _spread(build: Any, number: Any) -> Any:
    """One number in all lanes."""
    nothing = ir.Constant(_floats, ir.Undefined)
    first = build.insert_element(nothing, number, ir.Constant(_int32, 0))
    return build.shuffle_vector(first, nothing, ir.Constant(_words, [0] * LANES))


def _read_rows(build: Any, form: int, vectors: int, place: Any) -> list[Any]:
    """One column of the panel, as vectors of float32."""

    def read(kind: Any, offset: int, align: int) -> Any:
        return build.load(build.inttoptr(build.add(place, _int64(offset)), kind.as_pointer()), align=align)

    if form == FLOAT32:
        return [read(_floats, vector * 64, 4) for vector in range(vectors)]
    if form == INT8:
        bytes_ = ir.VectorType(_byte, LANES)
        return [build.sitofp(build.sext(read(bytes_, vector * LANES, 1), _words), _floats) for vector in range(vectors)]
    rows = []
    for pair in range(vectors // 2):
        both = read(_words, pair * 64, 4)
        low = build.shl(both, ir.Constant(_words, [16] * LANES))
        high = build.and_(both, ir.Constant(_words, [0xFFFF0000] * LANES))
        rows += [build.bitcast(low, _floats), build.bitcast(high, _floats)]
    return rows


def _arrive(typingctx: Any, address: Any) -> Any:
    """Add 1 to the int64 at an address, as one step that other threads see in order; returns what was there before."""
    signature = types.int64(types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _int64.as_pointer())
        return builder.atomic_rmw("add", pointer, _int64(1), "seq_cst")

    return signature, generate


arrive: Any = intrinsic(_arrive)


def _glance(typingctx: Any, address: Any) -> Any:
    """The int64 at an address, as other threads have left it."""
    signature = types.int64(types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _int64.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return signature, generate


glance: Any = intrinsic(_glance)
