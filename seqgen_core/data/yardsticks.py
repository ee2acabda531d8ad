"""What models that know almost nothing need: the yardsticks beside which a figure in bits per token says something."""

import math
from dataclasses import dataclass

import numpy as np

from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import entropy_bits

MOST_TOKENS = 2**26
"""Training tokens that the pairs are counted over, at most."""
TOKENS_PER_PAIR = 4
"""Tokens for each pair that occurs, below which counts say less about the sound than about chance."""
_DENSE = 2**24  # cells of a table of pairs, at most; beyond it pairs are sorted


@dataclass(frozen=True)
class Yardsticks:
    """Bits per token: uniform, of one who knows nothing; order0, of one who knows how often each value stands in the
    training tokens; order1, of one who knows that for each value before. None where the data do not tell."""

    uniform: float
    order0: float | None
    order1: float | None

    def named(self) -> dict[str, float]:
        """Those that are known, by name, from the easiest to beat to the hardest."""
        every = {"uniform": self.uniform, "order-0": self.order0, "order-1": self.order1}
        return {name: bits for name, bits in every.items() if bits is not None}


def yardsticks(data: PreparedData) -> Yardsticks:
    """The yardsticks of prepared data, from the training split; reads its tokens once, MOST_TOKENS at most."""
    manifest = data.manifest
    return Yardsticks(manifest.tokens.uniform_bits, manifest.order0_bits, order1_bits(data))


def order1_bits(data: PreparedData) -> float | None:
    """Entropy in bits of a training token given the one before it in its recording (of each place of a vector, summed).

    None where there are too few tokens for the pairs that occur, so that the counts would flatter whoever knows them.
    """
    values, places = data.manifest.tokens.values, math.prod(data.manifest.tokens.shape)
    counts = _Pairs(values, places)
    left = MOST_TOKENS
    for item in data.items("train"):
        tokens = np.asarray(data.tokens(item)[:left]).reshape(-1, places)
        counts.count(tokens)
        left -= len(tokens)
        if left <= 0:
            break
    return counts.conditional_bits()


class _Pairs:
    """How often each value follows each other, for vectors at each of their places."""

    def __init__(self, values: int, places: int) -> None:
        self._values, self._places = values, places
        self._dense = np.zeros((places, values * values), np.int64) if places * values**2 <= _DENSE else None
        self._sparse: list[tuple[np.ndarray, np.ndarray]] = []  # pairs and how often, where a table is too large
        self._total = 0

    def count(self, tokens: np.ndarray) -> None:
        """Add a recording (T, places)."""
        if len(tokens) < 2:
            return
        self._total += len(tokens) - 1
        pairs = tokens[:-1].astype(np.int64) * self._values + tokens[1:]
        for place in range(self._places):
            if self._dense is not None:
                self._dense[place] += np.bincount(pairs[:, place], minlength=self._values**2)
            else:
                self._sparse.append(np.unique(pairs[:, place], return_counts=True))

    def conditional_bits(self) -> float | None:
        if not self._total:
            return None
        if self._dense is not None:
            found = [(np.flatnonzero(row), row[row > 0]) for row in self._dense]
        else:
            kinds, inverse = np.unique(np.concatenate([pairs for pairs, _ in self._sparse]), return_inverse=True)
            every = np.concatenate([often for _, often in self._sparse])
            found = [(kinds, np.bincount(inverse, every).astype(np.int64))]
        if self._total < TOKENS_PER_PAIR * max(len(pairs) for pairs, _ in found):
            return None
        bits = 0.0
        for pairs, often in found:
            before = np.bincount(pairs // self._values, often)
            bits += entropy_bits(often) - entropy_bits(before.astype(np.int64))  # H(now | before) = H(both) - H(before)
        return max(0.0, bits)
