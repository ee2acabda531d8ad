"""Sampling inside the compiled loop: what the heads do with outputs and uniforms, for one clip, without allocation.

Draws are in float64 as the heads' are. Only where nothing is filtered, a categorical draw is first tried in float32;
it counts if the uniform lies further from the edges of the token's share than float32 can be wrong.
"""

import numba
import numpy as np

from seqgen_core.generation.engines.cpu.logistics import draw_from_logistics
from seqgen_core.generation.engines.cpu.picking import BLOCK, keep_likeliest, place_of, total_of
from seqgen_core.kernels.arithmetic import OPTIONS, PRECISE, exp, fine_exp

CATEGORICAL, BERNOULLI, MIXTURE = 0, 1, 2
HEAD, VALUES, TOP_K, MIXTURES = 0, 1, 2, 3
"""Places among the whole numbers that say how to sample."""
TEMPERATURE, TOP_P = 0, 1
"""Places among the fractions that say how to sample."""
DOUBT = 4e-6
"""Of all probability: how far an edge between tokens may be off in float32.

An argument y of exp is off by 1.8e-7 |y|, exp by 2e-7 of itself. On average over a softmax of V values the
former is at most 1.8e-7 ln V, which is 2e-6 for 65536; sums are in float64.
"""
COOLEST = 1e-3
"""Temperature below which float32 is not tried."""
FACTORS = 512
"""Numbers between 1 and 2 that are multiplied before a float64 could overflow."""

_LEAST, _NOTHING = np.float32(-87), np.float32(0)
_LN2 = 0.6931471805599453


def room(head: int, size: int, values: int) -> int:
    """Float64 numbers that sampling one clip's token needs to work with."""
    return size + (2 * values if head == MIXTURE else 0) + BLOCK


@numba.njit(**PRECISE)
def draw(store, place, size, uniforms, tokens, bits, clip, step, given, sampler, bends, work):
    """Draw (or, if given, only score) one clip's token from the outputs at a place; returns whether they are finite.

    store: float32, of which `size` from `place` on are the outputs. uniforms (B, N, draws), tokens (B, N, places) and
    bits (B, N), of which those at (clip, step) count. sampler, bends: how to sample. work: float64 (B, room).
    """
    outputs, scratch, drawn = store[place : place + size], work[clip], tokens[clip, step]
    uniform = uniforms[clip, 0 if given else step]
    top_k, temperature, top_p = sampler[TOP_K], bends[TEMPERATURE], bends[TOP_P]
    if sampler[HEAD] == BERNOULLI:
        nats = _draw_vector(outputs, uniform, drawn, given, top_k, temperature, top_p, scratch)
    elif sampler[HEAD] == MIXTURE:
        nats = draw_from_logistics(
            outputs, uniform, drawn, given, sampler[VALUES], sampler[MIXTURES], top_k, temperature, top_p, scratch
        )
    else:
        nats = _draw_token(outputs, uniform, drawn, given, top_k, temperature, top_p, scratch)
    bits[clip, step] = nats / _LN2
    return not np.isnan(nats)


@numba.njit(**PRECISE)
def _draw_token(outputs, uniform, drawn, given, top_k, temperature, top_p, scratch):
    """A token by a softmax; its −ln p, or NaN where the outputs are no log-probabilities."""
    top, fine = _largest(outputs)
    if not fine:
        return np.nan
    count = len(outputs)
    weights = scratch[:count]
    rough = scratch.view(np.float32)[:count]
    total, filtered = 0.0, top_k > 0 or top_p < 1
    if not given and temperature == 0:
        token = 0
        while outputs[token] != top:
            token += 1
        drawn[0] = token
    elif not given:
        token = -1
        if not filtered and temperature >= COOLEST:
            share = _weigh_roughly(rough, outputs, top, temperature)
            token = place_of(rough, share, uniform[0], DOUBT * share)
            if temperature == 1:
                total = share
        if token < 0:
            _weigh(weights, outputs, top, temperature)
            if filtered:
                keep_likeliest(weights, top_k, top_p)
            token = place_of(weights, total_of(weights), uniform[0], 0.0)
        drawn[0] = token
    if total == 0:
        total = _weigh_roughly(rough, outputs, top, 1.0)
    return np.log(total) - (np.float64(outputs[drawn[0]]) - top)


@numba.njit(**PRECISE)
def _largest(outputs):
    """The largest of the outputs, and whether all are numbers or −inf and one is a number."""
    # As whole numbers that are in the order of the floats: vector code, and NaN lies beyond the infinities.
    bits = outputs.view(np.int32)
    most, least = np.int32(-(2**31)), np.int32(2**31 - 1)
    for i in range(len(bits)):
        key = np.int32(bits[i] ^ (np.int32(bits[i] >> 31) & np.int32(2**31 - 1)))
        most, least = max(most, key), min(least, key)
    top = np.int32(most ^ (np.int32(most >> 31) & np.int32(2**31 - 1))).view(np.float32)
    return top, -np.inf < top < np.inf and least >= np.int32(-0x7F800001)


@numba.njit(**PRECISE)
def _weigh(weights, outputs, top, temperature):
    """Softmax weights at a temperature, in float64, with 1 for the largest."""
    largest, cooled = np.float64(top), 1 / max(temperature, 1e-300)
    for i in range(len(weights)):
        weights[i] = fine_exp((np.float64(outputs[i]) - largest) * cooled)


@numba.njit(**PRECISE)
def _weigh_roughly(weights, outputs, top, temperature):
    """Softmax weights at a temperature, in float32, with 1 for the largest; returns their sum."""
    cooled = np.float32(1 / temperature)
    for i in range(len(weights)):
        y = (outputs[i] - top) * cooled
        weights[i] = exp(y) if y >= _LEAST else _NOTHING
    return total_of(weights)


@numba.njit(**PRECISE)
def _draw_vector(outputs, uniform, drawn, given, top_k, temperature, top_p, scratch):
    """A vector of ones and zeros; −ln p of it, or NaN where an output is NaN."""
    width, wrong = len(outputs), 0
    for i in range(width):
        wrong += 0 if outputs[i] == outputs[i] else 1
    if wrong > 0:
        return np.nan
    if not given and temperature == 0:
        for i in range(width):
            drawn[i] = 1 if outputs[i] > 0 else 0
    elif not given:
        chances, cooled = scratch[:width], 1 / max(temperature, 1e-300)
        for i in range(width):
            odds = np.float64(outputs[i]) * cooled
            tail = fine_exp(-abs(odds))
            chances[i] = (1.0 if odds >= 0 else tail) / (1.0 + tail)
        if top_p < 1:
            for i in range(width):
                chances[i] = chances[i] if chances[i] >= 1 - top_p else 0.0
        keep_likeliest(chances, top_k, 1.0)
        for i in range(width):
            drawn[i] = 1 if uniform[i] < chances[i] else 0
    return _vector_nats(outputs, drawn)


@numba.njit(**OPTIONS)
def _vector_nats(outputs, drawn):
    """−ln p of a vector of ones and zeros."""
    nats = 0.0
    for first in range(0, len(outputs), FACTORS):  # one logarithm of a product, in place of many
        some, codes = outputs[first : first + FACTORS], drawn[first : first + FACTORS]
        product, missed = 1.0, 0.0
        for i in range(len(some)):
            odds = abs(np.float64(some[i]))
            product *= 1.0 + fine_exp(-odds)
            missed += odds if (codes[i] == 1) != (some[i] > 0) else 0.0
        nats += missed + np.log(product)
    return nats
