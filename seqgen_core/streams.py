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
    features: "np.ndarray | Upsampled | None" = None
    given: int = 1

    def cut(self, length: int) -> "Stream":
        """Its first `length` tokens."""
        features = None if self.features is None else self.features[:length]
        return replace(self, tokens=self.tokens[:length], features=features)


def token_dtype(values: int) -> np.dtype:
    """The narrowest unsigned integer type that holds tokens 0 to values - 1, values up to 65536."""
    return np.dtype(np.uint8 if values <= 256 else np.uint16)


@dataclass(frozen=True)
class Upsampled:
    """Features at the rate of the tokens: frames (K, F), of which frame k tells of token k * hop, N tokens long.

    Between two frames they change linearly; beyond the last one it stands. Indexed like an array (N, F), it gives
    float32 rows without ever laying out the whole.
    """

    frames: np.ndarray
    hop: int
    length: int
    first: int = 0
    """Token that row 0 tells of, counted from frame 0."""

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, places: slice | np.ndarray) -> "np.ndarray | Upsampled":
        if isinstance(places, slice):
            if places.step in (None, 1):
                chosen = range(*places.indices(self.length))
                return replace(self, length=len(chosen), first=self.first + chosen.start)
            places = np.arange(*places.indices(self.length))
        position = (np.asarray(places) + self.first) / self.hop
        before = np.minimum(position.astype(np.int64), len(self.frames) - 1)
        after = np.minimum(before + 1, len(self.frames) - 1)
        share = np.clip(position - before, 0, 1)[:, None]
        mixed = np.asarray(self.frames[before]) * (1 - share) + np.asarray(self.frames[after]) * share
        return mixed.astype(np.float32)
