"""Resampling in blocks by soxr (quality HQ), equal to resampling the whole at once.

Source: the SoX resampler library, recipe SOXR_HQ (20-bit, linear phase).
"""

import numpy as np
import soxr
from numpy.typing import NDArray


class ResampleStream:
    """One mono stream from one rate to another, block by block; equal rates pass through untouched."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._stream = (
            None if rate_in == rate_out else soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
        )

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples (T,), give those that are ready (T',), which may be none."""
        if self._stream is None:
            return block
        return self._stream.resample_chunk(np.ascontiguousarray(block, np.float32))

    def finish(self) -> NDArray[np.float32]:
        """The samples still held back (T',); the stream takes no more after this."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        return self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
