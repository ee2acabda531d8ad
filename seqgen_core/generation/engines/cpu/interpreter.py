"""The interpreter: one compiled loop that runs any step program and samples from it, without Python and allocation.

Every thread runs `run` over the same steps; they meet between stages, and each samples for some of the clips.
"""

import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import types

from seqgen_core.generation.engines.cpu import kernels, layout, logistics, operations, picking, sampling
from seqgen_core.generation.engines.cpu.kernels import arrive, glance
from seqgen_core.generation.engines.cpu.operations import (
    CLEAR,
    EVERY,
    EXTRA_2,
    GRU,
    HEAR,
    KIND,
    LAYER,
    LSTM,
    OUT,
    ROW,
    STAGE,
    TELL,
    WIDTH,
    advance,
    carry,
    clear,
    gru,
    hear,
    layer,
    lstm,
    newest,
    rows,
    tell,
)
from seqgen_core.generation.engines.cpu.sampling import draw
from seqgen_core.kernels import arithmetic
from seqgen_core.kernels.arithmetic import OPTIONS
from seqgen_core.models.heads import mixture
from seqgen_core.models.steps import program

# Places in the whole numbers that threads share.
ARRIVALS, STOPPED, PENDING, NEWEST_CODE, CONTROL_SIZE = 0, 8, 9, 10, 16

PATIENCE = 4096
"""Glances, a few microseconds, after which a thread that waits lets others have its core, on which may be the very
one that it waits for: without that, threads on a busy machine wait for whole slices of time at every meeting.
"""
ALL_HAVE_ARRIVED = 2**62
"""As the number of arrivals: nobody waits any more."""

_give_way = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


@numba.njit(**OPTIONS)
def _meet(control, threads, meetings):
    """Wait until all threads are here; returns how often they have met."""
    if threads == 1:
        return meetings
    address = control.ctypes.data + 8 * ARRIVALS
    meetings += 1
    arrive(address)
    glances = 0
    while glance(address) < meetings * threads:
        glances += 1
        if glances > PATIENCE:
            _give_way()
    return meetings


def _run(
    operations,
    sources,
    slots,
    panels,
    positions,
    countdowns,
    store,
    constants,
    weights,
    form,
    columns,
    scratch,
    codes,
    told,
    uniforms,
    forced,
    outputs,
    heard,
    tokens,
    bits,
    sampler,
    bends,
    work,
    control,
    thread,
    threads,
    steps,
):
    """Sample and step `steps` times; the tables are those of `layout.Layout`, the rest is `engine.CpuEngine`'s."""
    clips, taps = codes.shape[0], codes.shape[1]
    pending, newest_code = control[PENDING], control[NEWEST_CODE]
    meetings = 0
    for step in range(steps):
        if pending != 0:
            stage = 0
            for number in range(operations.shape[0]):
                if countdowns[number] > 0:
                    countdowns[number] -= 1
                    continue
                op = operations[number]
                countdowns[number] = op[EVERY] - 1
                if op[STAGE] != stage:
                    meetings = _meet(control, threads, meetings)
                    stage = op[STAGE]
                if slots[op[OUT], 3] > 0 and positions[op[OUT]] + 1 == slots[op[OUT], 2]:
                    carry(op, clips, slots, store)
                kind = op[KIND]
                if kind == LAYER:
                    layer(
                        op,
                        panels,
                        form,
                        clips,
                        slots,
                        sources,
                        positions,
                        store,
                        constants,
                        weights,
                        scratch,
                        columns,
                        codes,
                        newest_code,
                    )
                elif kind == HEAR:
                    hear(op, clips, slots, positions, store, constants, codes, newest_code)
                elif kind == TELL:
                    tell(op, clips, slots, positions, store, told, step)
                elif kind == GRU:
                    gru(op, clips, slots, positions, store)
                elif kind == LSTM:
                    lstm(op, clips, slots, positions, store)
                    advance(slots, positions, op[EXTRA_2])
                elif kind == ROW:
                    rows(op, panels, form, clips, slots, positions, store, constants, weights, scratch)
                    advance(slots, positions, op[OUT], op[WIDTH] - 1)
                    if op[EXTRA_2] >= 0:
                        advance(slots, positions, op[EXTRA_2], op[WIDTH])
                elif kind == CLEAR:
                    clear(op, clips, slots, store)
                advance(slots, positions, op[OUT])
            meetings = _meet(control, threads, meetings)
        pending = 1
        newest_code += 1
        if newest_code == taps:
            newest_code = 0
        for clip in range(thread, clips, threads):
            place = newest(slots, positions, outputs, clip)
            if heard.shape[1] > 0:
                for row in range(heard.shape[2]):
                    heard[clip, step, row] = store[place + row]
            given = forced.shape[1] > 0
            if given:
                for column in range(codes.shape[2]):
                    tokens[clip, step, column] = forced[clip, step, column]
            ok = draw(store, place, slots[outputs, 1], uniforms, tokens, bits, clip, step, given, sampler, bends, work)
            if not ok:
                control[STOPPED] = 1
            for column in range(codes.shape[2]):
                codes[clip, newest_code, column] = tokens[clip, step, column]
        meetings = _meet(control, threads, meetings)
        if control[STOPPED] != 0:
            break
    if thread == 0:
        control[PENDING], control[NEWEST_CODE] = pending, newest_code


@cache
def compiled() -> Any:
    """The loop as machine code: compiled at the first call on a machine, and read from a cache on disk later."""
    digest = hashlib.sha256()
    for module in (arithmetic, kernels, layout, logistics, mixture, operations, picking, program, sampling):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return _stamped(digest.hexdigest())


_inner = numba.njit(**OPTIONS)(_run)


def _stamped(stamp: str) -> Any:
    # numba keys its cache on what a closure holds, so a change in any of the files compiles anew.
    def run(
        operations, sources, slots, panels, positions, countdowns, store, constants, weights, form, columns,
        scratch, codes, told, uniforms, forced, outputs, heard, tokens, bits, sampler, bends, work, control, thread,
        threads, steps,
    ):  # fmt: skip
        stamp  # noqa: B018
        _inner(
            operations, sources, slots, panels, positions, countdowns, store, constants, weights, form, columns,
            scratch, codes, told, uniforms, forced, outputs, heard, tokens, bits, sampler, bends, work, control, thread,
            threads, steps,
        )  # fmt: skip

    try:
        return numba.njit(nogil=True, cache=True, **OPTIONS)(run)
    except RuntimeError:  # neither the package's folder nor the person's own can be written: compiled every time
        return numba.njit(nogil=True, **OPTIONS)(run)
