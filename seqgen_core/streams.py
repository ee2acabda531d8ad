"""Stream: the tokens of one recording with what goes with them, as every stage after preprocessing hands them on."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Stream:
    """One recording from its start to its end: where it is from, its tokens (N, *shape), and what goes with them.

    label: its class. features: (N, F) for local conditioning, features[t] telling of token t. given: tokens at its
    start that are given, not predicted.
    """

    origin: str
    tokens: np.ndarray
    label: int | None = None
    features: np.ndarray | None = None
    given: int = 1

    def cut(self, length: int) -> "Stream":
        """Its first `length` tokens."""
        features = None if self.features is None else self.features[:length]
        return replace(self, tokens=self.tokens[:length], features=features)
