"""Drawing from a discretised mixture of logistics inside the compiled loop, as its head does, in float64.

Axes: M logistics, V codes.
"""

import numba
import numpy as np

from seqgen_core.generation.engines.cpu.picking import keep_likeliest, place_of, total_of
from seqgen_core.kernels.arithmetic import PRECISE, fine_exp
from seqgen_core.models.heads.mixture import FINEST_STEPS, LOOSEST_LOG_SCALE

_FAR = 32.0
"""Scales from its mean beyond which a logistic puts no more than 3e-14 in all."""


@numba.njit(**PRECISE)
def draw_from_logistics(outputs, uniform, drawn, given, values, mixtures, top_k, temperature, top_p, scratch):
    """A code by outputs (3 M); its −ln p, or NaN where an output is not finite.

    scratch: float64 (3 M + 2 V or more).
    """
    infinite = 0
    for i in range(len(outputs)):
        infinite += 0 if abs(outputs[i]) < np.inf else 1
    if infinite > 0:
        return np.nan
    _widths(outputs, values, mixtures, scratch)
    if not given and temperature == 0:
        drawn[0] = _likeliest(outputs, values, mixtures, scratch)
    elif not given:
        cooled = 1 / max(temperature, 1e-300)
        shares, log_scales = scratch[:mixtures], scratch[2 * mixtures : 3 * mixtures]
        top = np.float64(outputs[0])
        for m in range(mixtures):
            top = max(top, np.float64(outputs[m]))
        for m in range(mixtures):
            shares[m] = fine_exp((np.float64(outputs[m]) - top) * cooled)
        if top_k > 0 or top_p < 1:
            codes, edges = scratch[3 * mixtures : 3 * mixtures + values], scratch[3 * mixtures + values :]
            first, stop = _lay_out(outputs, values, mixtures, np.log(temperature), scratch, codes, edges)
            counted = codes[first:stop]
            keep_likeliest(counted, top_k, top_p)
            drawn[0] = first + place_of(counted, total_of(counted), uniform[0], 0.0)
        else:
            chosen = place_of(shares, total_of(shares), uniform[0], 0.0)
            place = min(max(uniform[1], 1e-300), 1 - 2.0**-53)
            scale = np.exp(log_scales[chosen]) * temperature
            x = np.float64(outputs[mixtures + chosen]) + scale * (np.log(place) - np.log1p(-place))
            drawn[0] = _nearest(x, values)
    return _nats(outputs, values, mixtures, drawn[0], scratch)


@numba.njit(**PRECISE)
def _least_log_scale(values):
    return np.log(FINEST_STEPS * 2 / (values - 1))


@numba.njit(**PRECISE)
def _widths(outputs, values, mixtures, scratch):
    """Logarithms of scales, within the bounds of the head, into the third M of the scratch."""
    least = _least_log_scale(values)
    for m in range(mixtures):
        log_scale = np.float64(outputs[2 * mixtures + m])
        scratch[2 * mixtures + m] = min(max(log_scale, least), LOOSEST_LOG_SCALE)


@numba.njit(**PRECISE)
def _nearest(x, values):
    """The code nearest to an amplitude."""
    code = np.floor((x + 1) / 2 * (values - 1) + 0.5)
    return np.int64(min(max(code, 0.0), values - 1.0))


@numba.njit(**PRECISE)
def _likeliest(outputs, values, mixtures, scratch):
    """The likeliest of the codes nearest to the means."""
    best, least = -1, np.inf
    for m in range(mixtures):
        code = _nearest(np.float64(outputs[mixtures + m]), values)
        nats = _nats(outputs, values, mixtures, code, scratch)
        if best < 0 or nats < least:
            best, least = code, nats
    return best


@numba.njit(**PRECISE)
def _nats(outputs, values, mixtures, code, scratch):
    """−ln p of a code."""
    half_step = 1 / (values - 1)
    place = np.float64(2 * code - (values - 1)) * half_step
    top = np.float64(outputs[0])
    for m in range(mixtures):
        top = max(top, np.float64(outputs[m]))
    # Sums of terms exp(a) b, kept as exp(best) total.
    all_weights, best, total = 0.0, -np.inf, 0.0
    for m in range(mixtures):
        log_weight = np.float64(outputs[m]) - top
        all_weights += fine_exp(log_weight)
        sharpness = fine_exp(-scratch[2 * mixtures + m])
        centred = place - np.float64(outputs[mixtures + m])
        above, below = (centred + half_step) * sharpness, (centred - half_step) * sharpness
        up, down = 1.0 / (1.0 + fine_exp(-abs(above))), 1.0 / (1.0 + fine_exp(-abs(below)))
        if code == 0:
            a, b = log_weight + min(above, 0.0), up
        elif code == values - 1:
            a, b = log_weight + min(-below, 0.0), down
        else:  # sigmoid(above) - sigmoid(below) as a product: no difference of nearly equal numbers
            a = log_weight + min(above, 0.0) + min(-below, 0.0)
            b = up * down * -np.expm1(-2 * half_step * sharpness)
        if a > best:
            total = total * fine_exp(best - a) + b
            best = a
        else:
            total += b * fine_exp(a - best)
    return np.log(all_weights) - best - np.log(total)


@numba.njit(**PRECISE)
def _lay_out(outputs, values, mixtures, warmth, scratch, codes, edges):
    """Weights of the codes that count, by M shares and log-scales in the scratch; returns where these begin and end.

    warmth: logarithm of the temperature. codes: float64 (V), edges: as many to work with.
    """
    half_step, least = 1 / (values - 1), _least_log_scale(values)
    end, low, high = (values - 1) * half_step, values, 0
    for m in range(mixtures):
        sharpness = fine_exp(-min(max(scratch[2 * mixtures + m] + warmth, least), LOOSEST_LOG_SCALE))
        scratch[mixtures + m] = sharpness
        first, stop = _around(np.float64(outputs[mixtures + m]), sharpness, values)
        low, high = min(low, first), max(high, stop)
    for c in range(low, high):
        codes[c] = 0.0
    for m in range(mixtures):
        share, mean, sharpness = scratch[m], np.float64(outputs[mixtures + m]), scratch[mixtures + m]
        if low == 0:
            codes[0] += share * _sigmoid((-end - mean + half_step) * sharpness)
        if high == values:
            codes[values - 1] += share * _sigmoid((mean - end + half_step) * sharpness)
        first, stop = _around(mean, sharpness, values)
        first, stop = max(first, 1), min(stop, values - 1)
        if first < stop:
            step = share * -np.expm1(-2 * half_step * sharpness)
            _add_steps(
                codes[first:stop], edges[: stop - first + 1], 2 * first - values, half_step, mean, sharpness, step
            )
    return low, high


@numba.njit(**PRECISE)
def _around(mean, sharpness, values):
    """First code and end of those that a logistic reaches."""
    reach = _FAR / sharpness
    return max(0, _nearest(mean - reach, values) - 1), min(values, _nearest(mean + reach, values) + 2)


@numba.njit(forceinline=True, **PRECISE)
def _sigmoid(x):
    tail = fine_exp(-abs(x))
    return (1.0 if x >= 0 else tail) / (1.0 + tail)


@numba.njit(**PRECISE)
def _add_steps(codes, edges, first, half_step, mean, sharpness, step):
    """Add a logistic's probability of each code's step to codes (n).

    edges: n + 1 numbers to work with; the c-th edge lies at half_step (first + 2 c). step: 1 - exp(-width of a step)
    times the logistic's share.
    """
    for c in range(len(edges)):
        edges[c] = fine_exp(-abs((np.float64(first + 2 * c) * half_step - mean) * sharpness))
    downs, ups = edges[: len(codes)], edges[1:]
    for c in range(len(codes)):
        below = (np.float64(first + 2 * c) * half_step - mean) * sharpness
        above = (np.float64(first + 2 * c + 2) * half_step - mean) * sharpness
        up, down = ups[c], downs[c]
        part = (1.0 if above >= 0 else up) * (1.0 if below <= 0 else down)
        codes[c] += step * part / ((1.0 + up) * (1.0 + down))
