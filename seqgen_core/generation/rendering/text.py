"""Text: tokens to UTF-8 files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgen_core.audio.encoders import Tags
from seqgen_core.files import write_text_atomically
from seqgen_core.generation.kept import Tokens
from seqgen_core.previews import Preview
from seqgen_core.settings.codec import TextCodecSettings
from seqgen_core.text.codec import TextCodec

_BEGINNING = 60  # characters


class TextRenderer:
    """Writes each clip as one text file."""

    separable = True

    def __init__(self, settings: TextCodecSettings) -> None:
        self.codec = TextCodec(settings)

    def write(self, tokens: Tokens, stem: Path, tags: Tags | None = None) -> dict[str, str]:
        """Write tokens (N,) as stem.txt, in which there is no room for tags."""
        name = f"{stem.name}.txt"
        write_text_atomically(stem.with_name(name), self.codec.decode(np.asarray(tokens)))
        return {"text": name}

    def measures(self, tokens: Tokens) -> dict[str, float | str]:
        """How the text begins, on one line."""
        line = " ".join(self.codec.decode(np.asarray(tokens)).split())
        return {"beginning": line if len(line) <= _BEGINNING else line[: _BEGINNING - 1] + "…"}

    def finish(self, folder: Path, clips: Sequence[Tokens]) -> dict[str, str]:
        """Nothing shows all texts at once."""
        return {}

    def preview(self, tokens: Tokens, name: str) -> Preview:
        """The text."""
        return Preview(name, "text", self.codec.decode(np.asarray(tokens)))
