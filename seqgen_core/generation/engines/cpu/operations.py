"""The operations of a step program as the compiled loop does them: one function for each sort, over all clips.

They read tables as `layout` makes them; `op` is a row of the table of operations, in which a thread finds its share.
"""

import numba
import numpy as np

from seqgen_core.generation.engines.cpu import layout
from seqgen_core.generation.engines.cpu.kernels import multiply_panel
from seqgen_core.kernels.arithmetic import OPTIONS, gate, sigmoid, tanh
from seqgen_core.models.steps.program import LEAK

_OP = {name: int(column) for name, column in layout.Op.__members__.items()}
KIND, EVERY, STAGE, OUT, FIRST, COUNT = (_OP[name] for name in ("KIND", "EVERY", "STAGE", "OUT", "FIRST", "COUNT"))
ROWS, COLUMNS, WEIGHT, SCALE = (_OP[name] for name in ("ROWS", "COLUMNS", "WEIGHT", "SCALE"))
FIRST_PANEL, PANELS = (_OP[name] for name in ("FIRST_PANEL", "PANELS"))
BIAS, TABLE, TAPS, PLUS = (_OP[name] for name in ("BIAS", "TABLE", "TAPS", "PLUS"))
ACTIVATION, RESIDUAL, THEN = (_OP[name] for name in ("ACTIVATION", "RESIDUAL", "THEN"))
FIRST_SOURCE, SOURCES = (_OP[name] for name in ("FIRST_SOURCE", "SOURCES"))
EXTRA_1, EXTRA_2, EXTRA_3 = (_OP[name] for name in ("EXTRA_1", "EXTRA_2", "EXTRA_3"))
WIDTH, HEIGHT, SIDE, STEP = (_OP[name] for name in ("WIDTH", "HEIGHT", "SIDE", "STEP"))
LAYER, HEAR, TELL, GRU, LSTM, ROW, TURN, CLEAR = (int(kind) for kind in layout.Kind)
RELU, LEAKY, GATED = (layout.ACTIVATIONS[name] for name in ("relu", "leaky_relu", "gated"))

SLACK, AT_ONCE = layout.SLACK, layout.AT_ONCE
_LEAK, _ZERO, _ONE = np.float32(LEAK), np.float32(0), np.float32(1)


# Loops over whole pieces of arrays, counted from zero: with other counts numba asks at each place whether it is
# negative, and LLVM makes no vector code of them.


@numba.njit(**OPTIONS)
def _copy(out, x):
    for i in range(len(out)):
        out[i] = x[i]


@numba.njit(**OPTIONS)
def _add(out, x):
    for i in range(len(out)):
        out[i] += x[i]


@numba.njit(**OPTIONS)
def _scale(out, x):
    for i in range(len(out)):
        out[i] *= x[i]


@numba.njit(**OPTIONS)
def _gate(out, gates):
    for i in range(len(out)):
        out[i] = gate(out[i], gates[i])


@numba.njit(**OPTIONS)
def _finish(out, sums, bias, slope, last_slope):
    for i in range(len(out)):
        x = sums[i] + bias[i]
        x = max(x, x * slope)
        out[i] = max(x, x * last_slope)


@numba.njit(**OPTIONS)
def _finish_onto(out, sums, bias, residual, slope, last_slope):
    for i in range(len(out)):
        x = sums[i] + bias[i]
        x = max(x, x * slope) + residual[i]
        out[i] = max(x, x * last_slope)


@numba.njit(**OPTIONS)
def _finish_gated(out, sums, bias, gates, gate_bias, last_slope):
    for i in range(len(out)):
        x = gate(sums[i] + bias[i], gates[i] + gate_bias[i])
        out[i] = max(x, x * last_slope)


@numba.njit(**OPTIONS)
def _finish_gated_onto(out, sums, bias, gates, gate_bias, residual, last_slope):
    for i in range(len(out)):
        x = gate(sums[i] + bias[i], gates[i] + gate_bias[i]) + residual[i]
        out[i] = max(x, x * last_slope)


@numba.njit(**OPTIONS)
def _activate(out, slope):
    for i in range(len(out)):
        out[i] = max(out[i], out[i] * slope)


@numba.njit(**OPTIONS)
def _silence(out):
    for i in range(len(out)):
        out[i] = _ZERO


@numba.njit(forceinline=True, **OPTIONS)
def _gather(store, slots, sources, positions, first, count, clip, inputs, place):
    """Lay the sources of an operation side by side, for one clip."""
    for number in range(first, first + count):
        start = _piece(slots, sources, positions, number, clip)
        size = sources[number, 2] * slots[sources[number, 0], 1]
        _copy(inputs[place : place + size], store[start : start + size])
        place += size


@numba.njit(inline="always", **OPTIONS)
def _piece(slots, sources, positions, number, clip):
    """Place of the oldest of a source's values, which lie side by side."""
    slot = sources[number, 0]
    position = positions[slot] - sources[number, 1]
    if position < 0:
        position += slots[slot, 2]
    return slots[slot, 0] + (clip * slots[slot, 2] + position) * slots[slot, 1]


@numba.njit(inline="always", **OPTIONS)
def _rounded(count):
    """A count of numbers, up to the end of a cache line."""
    return (count + 15) & -16


@numba.njit(inline="always", **OPTIONS)
def newest(slots, positions, slot, clip):
    """Place of a slot's newest value."""
    return slots[slot, 0] + (clip * slots[slot, 2] + positions[slot]) * slots[slot, 1]


@numba.njit(inline="always", **OPTIONS)
def _next(slots, positions, slot, clip):
    """Place of a slot's next value."""
    return _later(slots, positions, slot, clip, 1)


@numba.njit(inline="always", **OPTIONS)
def _later(slots, positions, slot, clip, count):
    """Place of the value that comes so many after a slot's newest."""
    position = positions[slot] + count
    if position >= slots[slot, 2]:
        position += slots[slot, 3] - slots[slot, 2]
    return slots[slot, 0] + (clip * slots[slot, 2] + position) * slots[slot, 1]


@numba.njit(**OPTIONS)
def multiply(op, panels, form, clips, weights, inputs, outputs, input_stride, output_stride):
    """The product of an operation's weights with the inputs of all clips; strides in numbers."""
    place = weights + op[WEIGHT]
    for panel in range(op[FIRST_PANEL], op[FIRST_PANEL] + op[PANELS]):
        clip = 0
        while clip < clips:
            left = clips - clip
            group = 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
            multiply_panel(
                form,
                panels[panel, 1],
                group,
                place,
                inputs + 4 * clip * input_stride,
                outputs + 4 * clip * output_stride,
                op[COLUMNS],
                panels[panel, 2],
                panels[panel, 3],
                input_stride,
                output_stride,
            )
            clip += group
        outputs += 4 * panels[panel, 0]
        place += panels[panel, 2] * op[COLUMNS]


@numba.njit(forceinline=True, **OPTIONS)
def layer(
    op, panels, form, clips, slots, sources, positions, store, constants, weights, scratch, columns, codes, newest_code
):
    rows, first, count, wide = op[ROWS], op[FIRST], op[COUNT], op[COLUMNS]
    if count == 0:
        return
    room = _rounded(rows + SLACK)
    z = _rounded(clips * columns)  # place in scratch of the sums
    sums = scratch.ctypes.data + 4 * z
    if op[SOURCES] == 1:  # multiplied where it lies
        start = _piece(slots, sources, positions, op[FIRST_SOURCE], 0)
        slot = sources[op[FIRST_SOURCE], 0]
        stride = slots[slot, 1] * slots[slot, 2]
        multiply(op, panels, form, clips, weights, store.ctypes.data + 4 * start, sums, stride, room)
    elif wide > 0:
        for clip in range(clips):
            _gather(store, slots, sources, positions, op[FIRST_SOURCE], op[SOURCES], clip, scratch, clip * wide)
        multiply(op, panels, form, clips, weights, scratch.ctypes.data, sums, wide, room)
    else:
        _silence(scratch[z : z + clips * room])
    slope = _LEAK if op[ACTIVATION] == LEAKY else _ZERO if op[ACTIVATION] == RELU else _ONE
    last_slope = _ZERO if op[THEN] == RELU else _ONE
    taps, values = codes.shape[1], op[EXTRA_1]
    for clip in range(clips):
        y = z + clip * room
        all_rows, signals, gates = scratch[y : y + rows], scratch[y : y + count], scratch[y + count : y + rows]
        if op[SCALE] >= 0:
            _scale(all_rows, constants[op[SCALE] : op[SCALE] + rows])
        if op[TABLE] >= 0:
            for tap in range(op[TAPS]):
                place = newest_code - (op[TAPS] - 1 - tap)
                if place < 0:
                    place += taps
                code = codes[clip, place, 0]
                if code >= 0:
                    start = op[TABLE] + (tap * values + code) * rows
                    _add(all_rows, constants[start : start + rows])
        if op[PLUS] >= 0:
            start = newest(slots, positions, op[PLUS], clip) + first
            _add(signals, store[start : start + count])
            if op[ACTIVATION] == GATED:
                start += slots[op[OUT], 1]
                _add(gates, store[start : start + count])
        start = _next(slots, positions, op[OUT], clip) + first
        out, bias = store[start : start + count], constants[op[BIAS] : op[BIAS] + count]
        residual = out
        if op[RESIDUAL] >= 0:
            start = newest(slots, positions, op[RESIDUAL], clip) + first
            residual = store[start : start + count]
        if op[ACTIVATION] == GATED:
            gate_bias = constants[op[BIAS] + count : op[BIAS] + rows]
            if op[RESIDUAL] >= 0:
                _finish_gated_onto(out, signals, bias, gates, gate_bias, residual, last_slope)
            else:
                _finish_gated(out, signals, bias, gates, gate_bias, last_slope)
        elif op[RESIDUAL] >= 0:
            _finish_onto(out, signals, bias, residual, slope, last_slope)
        else:
            _finish(out, signals, bias, slope, last_slope)


@numba.njit(**OPTIONS)
def _window(op, slots, positions, store, clip, column, inputs, place):
    """Lay the rows of pixels about a column side by side, the upper ones first, zeros beyond the edges."""
    slot, width, side, step = op[EXTRA_1], op[WIDTH], op[SIDE], op[STEP]
    kept = slots[slot, 2]
    size = step * slots[slot, 1]  # numbers of a column
    first, stop = max(0, column - side), min(width, column + side + 1)
    before, after = (first - (column - side)) * size, (column + side + 1 - stop) * size
    start = slots[slot, 0] + clip * kept * slots[slot, 1]
    for row in range(op[HEIGHT]):
        # The row's oldest value is its leftmost column's first.
        position = positions[slot] - ((op[HEIGHT] - row) * width - first) * step + 1
        if position < 0:
            position += kept
        _silence(inputs[place : place + before])
        place += before
        count = min((stop - first) * step, kept - position)  # values before the ring's end
        here = count * slots[slot, 1]
        there = (stop - first) * size - here
        origin = start + position * slots[slot, 1]
        _copy(inputs[place : place + here], store[origin : origin + here])
        _copy(inputs[place + here : place + here + there], store[start : start + there])
        place += here + there
        _silence(inputs[place : place + after])
        place += after


@numba.njit(**OPTIONS)
def rows(op, panels, form, clips, slots, positions, store, constants, weights, scratch):
    """A layer over all columns of a row of pixels, which share one reading of the weights."""
    rows, first, count, wide, width = op[ROWS], op[FIRST], op[COUNT], op[COLUMNS], op[WIDTH]
    if count == 0:
        return
    room, z, base = rows + SLACK, min(width, AT_ONCE) * wide, scratch.ctypes.data
    channels = slots[op[OUT], 1]
    for turn in range(clips * (-(-width // AT_ONCE))):
        clip, left = turn % clips, turn // clips * AT_ONCE
        columns = min(AT_ONCE, width - left)
        for column in range(columns):
            _window(op, slots, positions, store, clip, left + column, scratch, column * wide)
        multiply(op, panels, form, columns, weights, base, base + 4 * z, wide, room)
        for column in range(columns):
            y = z + column * room
            all_rows, out = scratch[y : y + rows], scratch[y : y + count]
            gates = scratch[y + count : y + rows]
            if op[SCALE] >= 0:
                _scale(all_rows, constants[op[SCALE] : op[SCALE] + rows])
            _add(all_rows, constants[op[BIAS] : op[BIAS] + rows])
            if op[PLUS] >= 0:
                start = newest(slots, positions, op[PLUS], clip) + first
                _add(out, store[start : start + count])
                _add(gates, store[start + channels : start + channels + rows - count])
            after = 1 + left + column
            if op[EXTRA_2] >= 0:
                start = _later(slots, positions, op[EXTRA_2], clip, after) + first
                _copy(store[start : start + count], out)
                _copy(store[start + channels : start + channels + rows - count], gates)
            if op[ACTIVATION] == GATED:
                _gate(out, gates)
            elif op[ACTIVATION] == RELU:
                _activate(out, _ZERO)
            elif op[ACTIVATION] == LEAKY:
                _activate(out, _LEAK)
            start = _later(slots, positions, op[OUT], clip, after) + first
            _copy(store[start : start + count], out)


@numba.njit(**OPTIONS)
def clear(op, clips, slots, store):
    slot = op[OUT]
    for value in range(clips * slots[slot, 2]):
        start = slots[slot, 0] + value * slots[slot, 1] + op[FIRST]
        _silence(store[start : start + op[COUNT]])


@numba.njit(**OPTIONS)
def hear(op, clips, slots, positions, store, constants, codes, newest_code):
    for clip in range(clips):
        start = _next(slots, positions, op[OUT], clip)
        for channel in range(op[FIRST], op[FIRST] + op[COUNT]):
            code = codes[clip, newest_code, channel]
            store[start + channel] = constants[op[TABLE] + code] if code >= 0 else _ZERO


@numba.njit(**OPTIONS)
def tell(op, clips, slots, positions, store, told, step):
    for clip in range(clips):
        start = _next(slots, positions, op[OUT], clip)
        for channel in range(op[FIRST], op[FIRST] + op[COUNT]):
            store[start + channel] = told[clip, step, channel]


@numba.njit(**OPTIONS)
def gru(op, clips, slots, positions, store):
    channels = slots[op[OUT], 1]
    for clip in range(clips):
        out, before = _next(slots, positions, op[OUT], clip), newest(slots, positions, op[OUT], clip)
        gates = newest(slots, positions, op[EXTRA_1], clip)
        fresh, past = newest(slots, positions, op[EXTRA_2], clip), newest(slots, positions, op[EXTRA_3], clip)
        for c in range(op[FIRST], op[FIRST] + op[COUNT]):
            candidate = tanh(store[fresh + c] + sigmoid(store[gates + c]) * store[past + c])
            update = sigmoid(store[gates + channels + c])
            store[out + c] = candidate + update * (store[before + c] - candidate)


@numba.njit(**OPTIONS)
def lstm(op, clips, slots, positions, store):
    channels = slots[op[OUT], 1]
    for clip in range(clips):
        out, gates = _next(slots, positions, op[OUT], clip), newest(slots, positions, op[EXTRA_1], clip)
        cells, before = _next(slots, positions, op[EXTRA_2], clip), newest(slots, positions, op[EXTRA_2], clip)
        for c in range(op[FIRST], op[FIRST] + op[COUNT]):
            fresh = sigmoid(store[gates + c]) * tanh(store[gates + 2 * channels + c])
            cell = sigmoid(store[gates + channels + c]) * store[before + c] + fresh
            store[cells + c] = cell
            store[out + c] = sigmoid(store[gates + 3 * channels + c]) * tanh(cell)


@numba.njit(**OPTIONS)
def advance(slots, positions, slot, count=1):
    positions[slot] += count
    if positions[slot] >= slots[slot, 2]:
        positions[slot] += slots[slot, 3] - slots[slot, 2]


@numba.njit(**OPTIONS)
def carry(op, clips, slots, store):
    """Carry the newest values of the slot that an operation writes, in this thread's channels, to its front."""
    channels, fits, carried = slots[op[OUT], 1], slots[op[OUT], 2], slots[op[OUT], 3]
    for clip in range(clips):
        front = slots[op[OUT], 0] + clip * fits * channels + op[FIRST]
        newest = front + (fits - carried) * channels
        for value in range(carried):
            here = front + value * channels
            there = newest + value * channels
            _copy(store[here : here + op[COUNT]], store[there : there + op[COUNT]])
