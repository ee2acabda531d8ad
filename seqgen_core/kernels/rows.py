"""Passes over rows of channels, compiled: gates and their gradient, the likelihood of a softmax and its gradient.

Everything lies in memory by address and strides, in elements, so that a part of a tensor is read and written where it
is. Numbers are float32 or bfloat16; all arithmetic is in float32. A pass takes rows `first` to `stop - 1`, counted over
all clips, so that threads can share it.
Axes: B clips, N ticks of a clip, C channels, V token values.
"""

import hashlib
import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from seqgen_core.kernels import arithmetic
from seqgen_core.kernels.arithmetic import FAST, exp, gate, gate_slopes

LEAST_WORK = 2**16
"""Numbers of a pass for which a second thread is worth waking."""
OPTIONS: dict[str, Any] = {"fastmath": FAST, "error_model": "numpy", "boundscheck": False, "nogil": True}
_ONE, _ZERO, _LEAST_RANK = np.float32(1), np.float32(0), np.int32(-(2**31))
_HALF_STEP, _WORD = np.uint32(0x7FFF), np.uint32(16)


def _pointer(kind: Any) -> Any:
    def at(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), generate

    return intrinsic(at)


_floats_at, _words_at, _codes_at = _pointer(types.float32), _pointer(types.uint16), _pointer(types.int64)


class _Form(NamedTuple):
    """How numbers of one format lie in memory."""

    bytes: int
    row: Any
    """(address, how many) -> the row that begins there."""
    read: Any
    write: Any


@numba.njit(inline="always")
def _fine_row(address, count):
    return numba.carray(_floats_at(address), count)


@numba.njit(inline="always")
def _read_fine(row, place):
    return row[place]


@numba.njit(inline="always")
def _write_fine(row, place, value):
    row[place] = value


@numba.njit(inline="always")
def _coarse_row(address, count):
    return numba.carray(_words_at(address), count)


@numba.njit(forceinline=True)
def _read_coarse(row, place):
    return np.uint32(np.uint32(row[place]) << _WORD).view(np.float32)


@numba.njit(forceinline=True)
def _write_coarse(row, place, value):
    """Rounded to the nearest, the even of two as near; not-a-number stays one."""
    bits = np.float32(value).view(np.uint32)
    row[place] = np.uint16(np.uint32(bits + _HALF_STEP + ((bits >> _WORD) & np.uint32(1))) >> _WORD)


@numba.njit(forceinline=True)
def _rank(bits):
    """Bits of a float32 as a whole number of the same order, and back: whole numbers have a vector maximum."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


_FORMS = {
    "float32": _Form(4, _fine_row, _read_fine, _write_fine),
    "bfloat16": _Form(2, _coarse_row, _read_coarse, _write_coarse),
}


@cache
def _stamp() -> str:
    """Of the code: numba keys its cache on what a closure holds, so a change in any file compiles anew."""
    digest = hashlib.sha256()
    for path in (__file__, str(arithmetic.__file__)):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _compiled(function: Callable[..., None]) -> Any:
    """The function as machine code, compiled at its first call on a machine and read from a cache on disk later."""
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the person's own can be written: compiled every time
        return numba.njit(**OPTIONS)(function)


@cache
def gate_pass(z_format: str, y_format: str) -> Any:
    """y = x + tanh(first half of z) · sigmoid(second half of z), for rows of 2C numbers z; x = 0: y without it.

    x is float32; z and y are of the given formats.
    """
    stamp, heard, given = _stamp(), _FORMS[z_format], _FORMS[y_format]
    z_bytes, z_row, z_read = heard.bytes, heard.row, heard.read
    y_bytes, y_row, y_write = given.bytes, given.row, given.write

    def run(first, stop, ticks, channels, z, z_clip, z_tick, x, x_clip, x_tick, y, y_clip, y_tick):
        stamp  # noqa: B018
        for row in range(first, stop):
            clip = row // ticks
            tick = row - clip * ticks
            here = z + z_bytes * (clip * z_clip + tick * z_tick)
            signals, gates = z_row(here, channels), z_row(here + z_bytes * channels, channels)
            outputs = y_row(y + y_bytes * (clip * y_clip + tick * y_tick), channels)
            if x != 0:
                before = _fine_row(x + 4 * (clip * x_clip + tick * x_tick), channels)
                for c in range(channels):
                    y_write(outputs, c, before[c] + gate(z_read(signals, c), z_read(gates, c)))
            else:
                for c in range(channels):
                    y_write(outputs, c, gate(z_read(signals, c), z_read(gates, c)))

    return _compiled(run)


@cache
def gate_gradient_pass(z_format: str, y_format: str) -> Any:
    """The gradient by z of `gate_pass`, from that by y, in the format of z; its rows may take the place of z."""
    stamp, heard, given = _stamp(), _FORMS[z_format], _FORMS[y_format]
    z_bytes, z_row, z_read, z_write = heard
    y_bytes, y_row, y_read = given.bytes, given.row, given.read

    def run(first, stop, ticks, channels, z, z_clip, z_tick, y, y_clip, y_tick, dz, dz_clip, dz_tick):
        stamp  # noqa: B018
        for row in range(first, stop):
            clip = row // ticks
            tick = row - clip * ticks
            here = z + z_bytes * (clip * z_clip + tick * z_tick)
            signals, gates = z_row(here, channels), z_row(here + z_bytes * channels, channels)
            there = dz + z_bytes * (clip * dz_clip + tick * dz_tick)
            by_signals, by_gates = z_row(there, channels), z_row(there + z_bytes * channels, channels)
            by_outputs = y_row(y + y_bytes * (clip * y_clip + tick * y_tick), channels)
            for c in range(channels):
                by_signal, by_gate = gate_slopes(z_read(signals, c), z_read(gates, c))
                slope = y_read(by_outputs, c)
                z_write(by_signals, c, slope * by_signal)
                z_write(by_gates, c, slope * by_gate)

    return _compiled(run)


@cache
def likelihood_pass(form: str) -> Any:
    """Of rows of V unnormalised log-probabilities: their log-sum-exp, and what of it each target falls short (nats)."""
    stamp, heard = _stamp(), _FORMS[form]
    x_bytes, x_row, x_read = heard.bytes, heard.row, heard.read

    def run(first, stop, values, x, targets, sums, nats):
        stamp  # noqa: B018
        wanted = numba.carray(_codes_at(targets), stop)
        totals, short = _fine_row(sums, stop), _fine_row(nats, stop)
        for row in range(first, stop):
            outputs = x_row(x + x_bytes * row * values, values)
            largest, wrong = _LEAST_RANK, np.int32(0)
            for value in range(values):
                number = x_read(outputs, value)
                largest = max(largest, _rank(number.view(np.int32)))
                wrong += np.int32(number != number)
            most, total = _rank(largest).view(np.float32), _ZERO
            for value in range(values):
                total += exp(x_read(outputs, value) - most)
            rest = np.float32(math.nan) if wrong else np.float32(math.log(total))
            short[row] = rest + (most - x_read(outputs, wanted[row]))
            totals[row] = most + rest

    return _compiled(run)


@cache
def likelihood_gradient_pass(form: str) -> Any:
    """The gradient by x of the nats of `likelihood_pass`, each row times its slope, in the format of x."""
    stamp, heard = _stamp(), _FORMS[form]
    x_bytes, x_row, x_read, x_write = heard

    def run(first, stop, values, x, targets, sums, slopes, slope_step, dx):
        stamp  # noqa: B018
        wanted, totals = numba.carray(_codes_at(targets), stop), _fine_row(sums, stop)
        steep = _fine_row(slopes, (stop - 1) * slope_step + 1)
        for row in range(first, stop):
            outputs, by_outputs = x_row(x + x_bytes * row * values, values), x_row(dx + x_bytes * row * values, values)
            total, slope = totals[row], steep[row * slope_step]
            for value in range(values):
                x_write(by_outputs, value, slope * exp(x_read(outputs, value) - total))
            right = slope * (exp(x_read(outputs, wanted[row]) - total) - _ONE)
            x_write(by_outputs, wanted[row], right)

    return _compiled(run)


@cache
def _others(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def share(run: Callable[..., None], rows: int, width: int, threads: int, *arguments: int) -> None:
    """Run a pass over all rows, of `width` numbers each, by as many threads as are worth it."""
    threads = min(threads, 1 + rows * width // LEAST_WORK)
    if threads == 1:
        run(0, rows, *arguments)
        return
    cuts = [rows * number // threads for number in range(threads + 1)]
    parts = [_others(threads - 1).submit(run, first, stop, *arguments) for first, stop in itertools.pairwise(cuts[1:])]
    run(0, cuts[1], *arguments)
    for part in parts:
        part.result()
