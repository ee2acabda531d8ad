"""Cutting silence out of a stream, in constant memory.

A frame of 20 ms is silent when its RMS, its mean taken off, is below the threshold; 0 dBFS is an RMS of 1, so a sine of
full scale has -3 dBFS. Silence at the start and the end goes, but for 50 ms beside the sound; a silence inside that is
longer than `longest` seconds is shortened to that length, half of it from its beginning and half from its end. Nothing
is faded: what meets at a cut lies below the threshold on both sides.
"""

import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.02
GUARD_SECONDS = 0.05  # kept beside the sound at both ends, for soft onsets and decays


class SilenceTrimmer:
    """One mono stream without its silence. rate in Hz, threshold in dBFS (below 0), longest in seconds.

    `dropped` counts the samples that were cut; it is final after `finish`.
    """

    def __init__(self, rate: int, threshold: float, longest: float) -> None:
        self.dropped = 0
        self._frame = max(1, round(FRAME_SECONDS * rate))
        self._guard = round(GUARD_SECONDS * rate)
        self._longest = max(2, round(longest * rate))
        self._power = 10 ** (threshold / 10)
        self._carry = np.zeros(0, np.float32)  # less than a frame
        self._silence = np.zeros(0, np.float32)  # the run of silence that is not decided on yet; its middle may be gone
        self._heard = False

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples (T,), give those that are known to stay (T',), which may be none."""
        samples = np.concatenate([self._carry, block])
        whole = len(samples) // self._frame * self._frame
        self._carry = samples[whole:]
        return self._take(samples[:whole], self._frame)

    def finish(self) -> NDArray[np.float32]:
        """The last samples that stay (T',); the stream takes no more after this."""
        last = self._take(self._carry, max(1, len(self._carry)))
        guard = self._silence[: self._guard] if self._heard else self._silence[:0]
        self.dropped += len(self._silence) - len(guard)
        return np.concatenate([last, guard])

    def _take(self, samples: NDArray[np.float32], frame: int) -> NDArray[np.float32]:
        """Decide on whole frames: samples (K * frame,)."""
        if not len(samples):
            return samples
        loud = samples.reshape(-1, frame).var(axis=1, dtype=np.float64) >= self._power  # (K,)
        edges = np.flatnonzero(np.diff(loud)) + 1
        kept = []
        for start, stop in zip([0, *edges], [*edges, len(loud)], strict=True):
            stretch = samples[start * frame : stop * frame]
            if loud[start]:
                kept += [*self._end_of_silence(), stretch]
                self._heard = True
            else:
                self._more_silence(stretch)
        return np.concatenate([samples[:0], *kept])

    def _more_silence(self, stretch: NDArray[np.float32]) -> None:
        silence = np.concatenate([self._silence, stretch])
        if len(silence) > 2 * self._longest:
            self.dropped += len(silence) - 2 * self._longest
            silence = np.concatenate([silence[: self._longest], silence[-self._longest :]])
        self._silence = silence

    def _end_of_silence(self) -> list[NDArray[np.float32]]:
        silence, self._silence = self._silence, self._silence[:0]
        if not self._heard:
            kept = [silence[max(0, len(silence) - self._guard) :]]
        elif len(silence) <= self._longest:
            kept = [silence]
        else:
            half = self._longest // 2
            kept = [silence[:half], silence[len(silence) - (self._longest - half) :]]
        self.dropped += len(silence) - sum(map(len, kept))
        return kept
