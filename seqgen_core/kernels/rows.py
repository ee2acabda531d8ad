"""Passes over rows of channels, compiled: gates and their gradient, the likelihood of a softmax and its gradient.

Everything lies in memory by address and strides, in elements, so that a part of a tensor is read and written where it
is. Numbers are float32 or bfloat16; all arithmetic is in float32. A pass takes rows `first` to `stop - 1`, counted over
all clips, so that threads can share it.
Axes: B clips, N ticks of a clip, C channels, V token values.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np

from seqgen_core.kernels.arithmetic import exp, gate, gate_slopes
from seqgen_core.kernels.compiling import codes_at, compiled, floats_at, stamp, words_at

_ONE, _ZERO, _LEAST_RANK = np.float32(1), np.float32(0), np.int32(-(2**31))
_HALF_STEP, _WORD = np.uint32(0x7FFF), np.uint32(16)


class _Form(NamedTuple):
    """How numbers of one format lie in memory."""

    bytes: int
    row: Any
    """(address, how many) -> the row that begins there."""
    read: Any
    write: Any


@numba.njit(inline="always")
def _read_fine(row, place):
    return row[place]


@numba.njit(inline="always")
def _write_fine(row, place, value):
    row[place] = value


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


@numba.njit(forceinline=True, fastmath={"contract", "nsz"})
def _short_of(rest, most, number):
    """rest + (most - number), in this order: with loud outputs any other one loses what rest says."""
    return rest + (most - number)


_FORMS = {
    "float32": _Form(4, floats_at, _read_fine, _write_fine),
    "bfloat16": _Form(2, words_at, _read_coarse, _write_coarse),
}


@cache
def gate_pass(z_format: str, y_format: str) -> Any:
    """y = x + tanh(first half of z) · sigmoid(second half of z), for rows of 2C numbers z; x = 0: y without it.

    x is float32; z and y are of the given formats.
    """
    mark, heard, given = stamp(__file__), _FORMS[z_format], _FORMS[y_format]
    z_bytes, z_row, z_read = heard.bytes, heard.row, heard.read
    y_bytes, y_row, y_write = given.bytes, given.row, given.write

    def run(first, stop, part, ticks, channels, z, z_clip, z_tick, x, x_clip, x_tick, y, y_clip, y_tick):
        mark  # noqa: B018
        for row in range(first, stop):
            clip = row // ticks
            tick = row - clip * ticks
            here = z + z_bytes * (clip * z_clip + tick * z_tick)
            signals, gates = z_row(here, channels), z_row(here + z_bytes * channels, channels)
            outputs = y_row(y + y_bytes * (clip * y_clip + tick * y_tick), channels)
            if x != 0:
                before = floats_at(x + 4 * (clip * x_clip + tick * x_tick), channels)
                for c in range(channels):
                    y_write(outputs, c, before[c] + gate(z_read(signals, c), z_read(gates, c)))
            else:
                for c in range(channels):
                    y_write(outputs, c, gate(z_read(signals, c), z_read(gates, c)))

    return compiled(run)


@cache
def gate_gradient_pass(z_format: str, y_format: str) -> Any:
    """The gradient by z of `gate_pass`, from that by y, in the format of z, and its sums over all rows.

    sums: address of 2C float32 for each part, to which the part's sums are added.
    """
    mark, heard, given = stamp(__file__), _FORMS[z_format], _FORMS[y_format]
    z_bytes, z_row, z_read, z_write = heard
    y_bytes, y_row, y_read = given.bytes, given.row, given.read

    def run(first, stop, part, ticks, channels, z, z_clip, z_tick, y, y_clip, y_tick, dz, dz_clip, dz_tick, sums):
        mark  # noqa: B018
        mine = sums + 8 * part * channels
        signal_sums, gate_sums = floats_at(mine, channels), floats_at(mine + 4 * channels, channels)
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
                by_signal *= slope
                by_gate *= slope
                z_write(by_signals, c, by_signal)
                z_write(by_gates, c, by_gate)
                signal_sums[c] += by_signal
                gate_sums[c] += by_gate

    return compiled(run)


@cache
def likelihood_pass(form: str) -> Any:
    """Of rows of V unnormalised log-probabilities: their log-sum-exp, and what of it each target falls short (nats)."""
    mark, heard = stamp(__file__), _FORMS[form]
    x_bytes, x_row, x_read = heard.bytes, heard.row, heard.read

    def run(first, stop, part, values, x, targets, sums, nats):
        mark  # noqa: B018
        wanted = codes_at(targets, stop)
        totals, short = floats_at(sums, stop), floats_at(nats, stop)
        for row in range(first, stop):
            outputs = x_row(x + x_bytes * row * values, values)
            largest, wrong = _LEAST_RANK, np.int32(0)
            for value in range(values):
                number = np.float32(x_read(outputs, value))
                largest = max(largest, _rank(number.view(np.int32)))
                wrong += np.int32(number != number)
            most, total = np.int32(_rank(largest)).view(np.float32), _ZERO
            for value in range(values):
                total += exp(x_read(outputs, value) - most)
            rest = np.float32(math.nan) if wrong else np.float32(math.log(total))
            short[row] = _short_of(rest, most, x_read(outputs, wanted[row]))
            totals[row] = most + rest

    return compiled(run)


@cache
def likelihood_gradient_pass(form: str) -> Any:
    """The gradient by x of the nats of `likelihood_pass`, each row times its slope, in the format of x."""
    mark, heard = stamp(__file__), _FORMS[form]
    x_bytes, x_row, x_read, x_write = heard

    def run(first, stop, part, values, x, targets, sums, slopes, slope_step, dx):
        mark  # noqa: B018
        wanted, totals = codes_at(targets, stop), floats_at(sums, stop)
        steep = floats_at(slopes, (stop - 1) * slope_step + 1)
        for row in range(first, stop):
            outputs, by_outputs = x_row(x + x_bytes * row * values, values), x_row(dx + x_bytes * row * values, values)
            total, slope = totals[row], steep[row * slope_step]
            for value in range(values):
                x_write(by_outputs, value, slope * exp(x_read(outputs, value) - total))
            right = slope * (exp(x_read(outputs, wanted[row]) - total) - _ONE)
            x_write(by_outputs, wanted[row], right)

    return compiled(run)
