"""What a renderer does: tokens that a model drew become files to hear, to read, to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from seqgen_core.audio.encoders import Tags
from seqgen_core.generation.kept import Tokens
from seqgen_core.previews import Preview

NOTES_RATE = 16000
"""Hz of the sound that is made of notes."""


class Renderer(Protocol):
    """One for each kind of codec, built from the codec's settings."""

    separable: bool
    """Whether a prime and what continues it make sense apart; the parts of an image do not."""

    def write(self, tokens: Tokens, stem: Path, tags: Tags | None = None) -> dict[str, str]:
        """Write tokens (N, *shape) as files whose names begin with stem.name; the names written, by what they hold.

        Such as {"wav": "clip-000.wav"}, or {"midi": …, "png": …, "wav": …}. tags: what files with room for it say of
        themselves. Raises OSError.
        """
        ...

    def measures(self, tokens: Tokens) -> dict[str, float | str]:
        """A few figures of one clip for the sheet, such as peak and rms, or the beginning of a text."""
        ...

    def finish(self, folder: Path, clips: Sequence[Tokens]) -> dict[str, str]:
        """Write what shows all clips at once, such as a grid of images; the names written, or nothing."""
        ...

    def preview(self, tokens: Tokens, name: str) -> Preview:
        """One clip to show while a model trains."""
        ...
