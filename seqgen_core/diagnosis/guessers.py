"""Guessers that know almost nothing of the training data, asked about what is held out."""

import math

import numpy as np

from seqgen_core.data.store import PreparedData, Split
from seqgen_core.diagnosis.pieces import pieces

MOST_COUNTED = 2**24
"""Training tokens that the simple guessers learn from, and a sixteenth of it of held-out ones that they guess."""
_CELLS = 2**24


def held_out_bits(data: PreparedData, split: Split) -> tuple[float | None, float | None]:
    """Bits per token of a split for guessers that learn from the training split's tokens, and pairs of them.

    None where there is nothing to learn from, or, of pairs, where their table would be too large.
    """
    spec = data.manifest.tokens
    values, places = spec.values, math.prod(spec.shape)
    given = max((item.given for item in data.manifest.items), default=1)
    if given > 1:  # a task, whose given tokens are told
        return None, None
    train = [p.tokens for p in pieces(data, "train", most=MOST_COUNTED // places, longest=2**18)]
    held = [p.tokens for p in pieces(data, split, most=MOST_COUNTED // 16 // places, longest=2**16)]
    if not train or not held:
        return None, None
    offsets = np.arange(places) * values
    single = np.zeros(places * values)
    for tokens in train:
        single += np.bincount((tokens.reshape(-1, places) + offsets).ravel(), minlength=places * values)
    share = (single.reshape(places, values) + 1) / (single.reshape(places, values) + 1).sum(axis=1, keepdims=True)
    count = sum(len(tokens) for tokens in held)
    every = np.arange(places)
    order0 = sum(float(-np.log2(share[every, tokens.reshape(-1, places)]).sum()) for tokens in held) / count
    if places * values**2 > _CELLS:
        return order0, None
    pairs = np.zeros(places * values * values)
    for tokens in train:
        flat = tokens.reshape(-1, places).astype(np.int64)
        pairs += np.bincount(((offsets + flat[:-1]) * values + flat[1:]).ravel(), minlength=len(pairs))
    table = pairs.reshape(places, values, values)
    before, kinds = table.sum(axis=2, keepdims=True), (table > 0).sum(axis=2, keepdims=True)
    smooth = (table + np.maximum(kinds, 1) * share[:, None]) / (before + np.maximum(kinds, 1))
    total = sum(
        float(-np.log2(smooth[every, flat[:-1], flat[1:]]).sum()) - float(np.log2(share[every, flat[0]]).sum())
        for flat in (tokens.reshape(-1, places) for tokens in held)
    )
    return order0, total / count
