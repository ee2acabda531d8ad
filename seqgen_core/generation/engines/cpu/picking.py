"""Drawing a place from a row of weights: the place at a share of their sum, and leaving only the likeliest.

All is done in passes over the whole row, which LLVM turns into vector code, and without allocation.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from seqgen_core.kernels.arithmetic import OPTIONS

BLOCK = 16
"""Weights whose sum is looked at before each of them is."""
_int64, _double = ir.IntType(64), ir.DoubleType()
_doubles = ir.VectorType(_double, BLOCK)


def _sum_block(typingctx: Any, weights: Any, first: Any) -> Any:
    """weights[first] + … + weights[first + BLOCK - 1] as float64, of a contiguous row of float32 or float64."""
    signature = types.float64(weights, types.int64)
    width = weights.dtype.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = context.make_array(signature.args[0])(context, builder, arguments[0])
        kind = _doubles if width == 64 else ir.VectorType(ir.FloatType(), BLOCK)
        place = builder.bitcast(builder.gep(row.data, [arguments[1]]), kind.as_pointer())
        block = builder.load(place, align=width // 8)
        if width == 32:
            block = builder.fpext(block, _doubles)
        name = f"llvm.vector.reduce.fadd.v{BLOCK}f64"
        total = builder.module.globals.get(name)
        if total is None:
            total = ir.Function(builder.module, ir.FunctionType(_double, [_double, _doubles]), name)
        return builder.call(total, [_double(0.0), block], fastmath=("reassoc",))

    return signature, generate


_block_sum: Any = intrinsic(_sum_block)


@numba.njit(**OPTIONS)
def total_of(weights):
    """Sum of a row of weights, in float64."""
    total = 0.0
    for i in range(len(weights)):
        total += np.float64(weights[i])
    return total


@numba.njit(**OPTIONS)
def place_of(weights, total, share, doubt):
    """The place at which the cumulated weights first exceed a share of their total.

    -1 where that is an edge of the place's own share to within `doubt`, unless that is 0; where rounding leaves no
    such place, the last one whose weight is above 0. A place of weight 0 is never taken.
    """
    target, before, place, count = share * total, 0.0, 0, len(weights)
    while place + BLOCK <= count:
        after = before + _block_sum(weights, place)
        if after > target:
            break
        before = after
        place += BLOCK
    while place < count:
        after = before + np.float64(weights[place])
        if after > target and weights[place] > 0:
            return place if target - before >= doubt and after - target >= doubt else -1
        before = after
        place += 1
    if doubt > 0:
        return -1
    place = count - 1
    while place > 0 and weights[place] == 0:
        place -= 1
    return place


@numba.njit(**OPTIONS)
def keep_likeliest(weights, top_k, top_p):
    """Set all to 0 but the top_k largest (0: all) and of these the fewest largest that reach the share top_p (1: all).

    Of equals the lower place is kept. weights: float64, none below 0.
    """
    if 0 < top_k < len(weights):
        _keep(weights, top_k, np.inf, 0.0)
    if top_p < 1:
        total = total_of(weights)
        # All weights up to the floor together are no more than what may be left out.
        _keep(weights, len(weights), top_p * total, (1 - top_p) * total / len(weights) * (1 - 1e-9))


@numba.njit(**OPTIONS)
def _keep(weights, most, mass, floor):
    """Keep the largest, while there are fewer than `most` of them and they sum up to less than `mass`.

    floor: a number that the least weight kept is not below.
    """
    # Floats above 0 are in the order of their bits as whole numbers, of which max and min make vector code.
    bits = weights.view(np.int64)
    low, high = np.float64(floor).view(np.int64), np.int64(0)
    for i in range(len(bits)):
        high = max(high, bits[i])
    # Halving what lies between: the least weight kept is at least `low` and at most `high`, which is a weight.
    while low < high:
        middle = low + (high - low) // 2
        count, above, under, over = _split(weights, bits, middle)
        if count < most and above < mass:
            high = under
        else:
            low = over
    count, above, _, _ = _split(weights, bits, high)
    least = np.int64(high).view(np.float64)
    equals = 0
    for i in range(len(weights)):
        equals += 1 if weights[i] == least else 0
        weights[i] = weights[i] if weights[i] >= least else 0.0
    if equals == 1:
        return
    for i in range(len(weights)):
        if weights[i] == least:
            if count < most and above < mass:
                count += 1
                above += least
            else:
                weights[i] = 0.0


@numba.njit(**OPTIONS)
def _split(weights, bits, middle):
    """How many weights lie above a number, their sum, the largest that does not and the least that does, as bits."""
    count, above, under, over = 0, 0.0, np.int64(0), np.int64(2**63 - 1)
    for i in range(len(weights)):
        more = bits[i] > middle
        count += 1 if more else 0
        above += weights[i] if more else 0.0
        under = max(under, np.int64(0) if more else bits[i])
        over = min(over, bits[i] if more else np.int64(2**63 - 1))
    return count, above, under, over
