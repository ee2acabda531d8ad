"""What was prepared of one file of sound, as the tokens and the features of any stretch of it.

A stretch is a clip by itself: where the codec rescales clips, the stretch is scaled by its own extremes (SampleRNN and
SaShiMi scale the excerpts of fixed length that they train on, so chunk_seconds is what compares with them), and its
features know nothing of what lies before and after it. Memory does not grow with its length: what is computed goes to
a file in the work folder that vanishes when it is no longer used.
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.features import MelSpectra
from seqgen_core.data.prepare import Task
from seqgen_core.settings.features import MelSettings

_BLOCK = 2**20  # samples


class PreparedSound:
    """The product of a finished task. features: how features are made, where they are wanted.

    Raises UsageError where the features cannot be made of such sound.
    """

    def __init__(self, task: Task, features: MelSettings | None = None) -> None:
        self._codec = AudioCodec(task.settings.sound_codec)
        self._spectra = None if features is None else MelSpectra(features)
        self._keeps_sound, self._folder = task.keeps_sound, task.product.parent
        self._product = np.memmap(task.product, dtype=task.dtype, mode="r")

    def __len__(self) -> int:
        return len(self._product)

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        """Tokens (stop - start,) of a stretch."""
        stretch = self._product[start:stop]
        if not self._keeps_sound:
            return stretch
        blocks = range(0, len(stretch), _BLOCK)
        low = min(float(stretch[first : first + _BLOCK].min()) for first in blocks)
        high = max(float(stretch[first : first + _BLOCK].max()) for first in blocks)
        tokens = _vanishing(self._folder, (len(stretch),), self._codec.dtype)
        for first in blocks:
            tokens[first : first + _BLOCK] = self._codec.encode(stretch[first : first + _BLOCK], (low, high))
        return tokens

    def frames(self, start: int, stop: int) -> NDArray[np.float32] | None:
        """Features (K, F) of a stretch; None where none are wanted."""
        if self._spectra is None:
            return None
        stretch, spectra = self._product[start:stop], self._spectra
        count, hop = spectra.count(len(stretch)), spectra.settings.hop
        frames = _vanishing(self._folder, (count, spectra.settings.bands), np.float32)
        step = max(1, _BLOCK // hop)
        for first in range(0, count, step):
            frames[first : first + step] = spectra.frames(stretch, first, min(count, first + step))
        return frames


def _vanishing(folder: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap:
    """An array on disk whose file is gone as soon as nothing refers to it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)
