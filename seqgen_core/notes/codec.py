"""Piano rolls as tokens: each frame is a vector of zeros and ones, one for each key, and so is each token."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.notes.errors import UnreadableNotesError
from seqgen_core.notes.mat import MAT_KEYS, MAT_LOWEST, is_mat, read_mat
from seqgen_core.notes.midi import read_piece
from seqgen_core.notes.rolls import key_range
from seqgen_core.settings.codec import NotesCodecSettings
from seqgen_core.settings.tokens import TokenSpec


class NotesCodec:
    """The codec that the settings describe. Rolls (frames, keys) are tokens as they are."""

    def __init__(self, settings: NotesCodecSettings) -> None:
        self.settings = settings

    @property
    def tokens(self) -> TokenSpec:
        """What one token is."""
        return self.settings.tokens

    @property
    def start(self) -> NDArray[np.int64]:
        """What generation from nothing begins with, int64 (keys,): no key sounds."""
        return np.zeros(self.settings.keys, np.int64)

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Tokens (frames, keys) of a MIDI file, or of the first test sequence of a MATLAB file of piano rolls.

        Raises UnreadableNotesError where it is neither, where its keys are not the codec's, or where it has no notes.
        """
        path = Path(path)
        keys = key_range(self.settings)
        try:
            from_mat = is_mat(path)
        except OSError as problem:
            raise UnreadableNotesError(path, f"it cannot be read: {problem.strerror or problem}") from None
        if from_mat:
            if (self.settings.lowest, self.settings.keys) != (MAT_LOWEST, MAT_KEYS):
                raise UnreadableNotesError(
                    path, f"it has rolls of {MAT_KEYS} keys from A0 on", f"Rolls of the keys {keys}."
                )
            rolls = read_mat(path)["test"]
            if not rolls:
                raise UnreadableNotesError(path, "its testdata holds no sequence", "At least one.")
            return rolls[0]
        roll = read_piece(path, self.settings).roll
        if not roll.any():
            raise UnreadableNotesError(path, f"it has no notes on the keys {keys}, drums aside")
        return roll
