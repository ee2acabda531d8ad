"""Sampling inside the compiled loop: what the heads do with outputs and uniforms, for one clip, without allocation."""

from typing import Any

import numba
import numpy as np

from seqgen_core.generation.engines.cpu.arithmetic import FAST, exp

CATEGORICAL, BERNOULLI, MIXTURE = 0, 1, 2
HEAD, VALUES, TOP_K, MIXTURES = 0, 1, 2, 3
"""Places among the whole numbers that say how to sample."""
TEMPERATURE, TOP_P = 0, 1
"""Places among the fractions that say how to sample."""

_options: dict[str, Any] = {"fastmath": FAST, "error_model": "numpy", "boundscheck": False}


def room(head: int, size: int, values: int) -> int:
    """Numbers that sampling one clip's token needs to work with."""
    return max(size, values if head == MIXTURE else 0)


@numba.njit(**_options)
def draw(store, place, size, uniforms, tokens, bits, clip, step, given, sampler, bends, work):
    """Draw (or, if given, only score) one clip's token from the outputs at a place; returns whether they are finite."""
    values = size
    top = store[place]
    for value in range(values):
        top = max(top, store[place + value])
    scratch = work[clip]
    total = np.float32(0)
    for value in range(values):
        scratch[value] = exp(store[place + value] - top)
    for value in range(values):
        total += scratch[value]
    if not given:
        target, running, token = uniforms[clip, step, 0] * total, 0.0, values - 1
        for value in range(values):
            running += scratch[value]
            if running > target:
                token = value
                break
        tokens[clip, step, 0] = token
    chosen = tokens[clip, step, 0]
    bits[clip, step] = (np.log(total) - (store[place + chosen] - top)) / 0.6931471805599453
    return True
