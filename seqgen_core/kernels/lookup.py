"""Sums of rows looked up in a table, and the gradient by the table, compiled; by address and strides, in elements.

Axes: B clips, N sums of a clip, K taps, V codes, C channels.
"""

from functools import cache
from typing import Any

import numpy as np

from seqgen_core.kernels.compiling import codes_at, compiled, floats_at, stamp

CHANNELS = 16
"""Of the gradient that are divided among threads at a time."""


@cache
def lookup_pass() -> Any:
    """y[n] = the sum over taps k of row k * V + code[n + k]; other codes than 0 to V - 1 add nothing.

    Takes rows `first` to `stop - 1` of B * N.
    """
    mark = stamp(__file__)

    def run(first, stop, part, ticks, taps, values, channels, codes, codes_clip, table, y):
        mark  # noqa: B018
        for row in range(first, stop):
            clip = row // ticks
            heard = codes_at(codes + 8 * (clip * codes_clip + row - clip * ticks), taps)
            sums = floats_at(y + 4 * row * channels, channels)
            for c in range(channels):
                sums[c] = np.float32(0)
            for tap in range(taps):
                if 0 <= heard[tap] < values:
                    given = floats_at(table + 4 * (tap * values + heard[tap]) * channels, channels)
                    for c in range(channels):
                        sums[c] += given[c]

    return compiled(run)


@cache
def lookup_gradient_pass() -> Any:
    """dtable[k * V + code[n + k]] += dy[n], for parts of CHANNELS channels: threads share these, never a number."""
    mark = stamp(__file__)

    def run(first, stop, part, clips, ticks, taps, values, channels, codes, codes_clip, dy, dy_clip, dy_tick, dtable):
        mark  # noqa: B018
        begin = first * CHANNELS
        width = min(channels, stop * CHANNELS) - begin
        for clip in range(clips):
            for tick in range(ticks):
                heard = codes_at(codes + 8 * (clip * codes_clip + tick), taps)
                slopes = floats_at(dy + 4 * (clip * dy_clip + tick * dy_tick + begin), width)
                for tap in range(taps):
                    if 0 <= heard[tap] < values:
                        sums = floats_at(dtable + 4 * ((tap * values + heard[tap]) * channels + begin), width)
                        for c in range(width):
                            sums[c] += slopes[c]

    return compiled(run)
