"""Generation: drawn clips as arrays and texts to go on with, and as files.

Axes: T time in samples or frames, H rows, W columns, C colours.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from seqgen_core.errors import UsageError
from seqgen_core.generation import render
from seqgen_core.generation.clips import Clip
from seqgen_core.generation.kept import Tokens
from seqgen_core.generation.ranking import Candidate
from seqgen_core.generation.rendering.base import NOTES_RATE
from seqgen_core.library.writing import ClipWriter, sheet_folder
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)
from seqgen_core.settings.generate import GenerateSettings

if TYPE_CHECKING:
    from seqgen_core.library.run import Run

Part = Literal["whole", "new", "prime"]
"""What of a clip is meant: all of it, what was drawn, or what that continues."""


@dataclass(frozen=True)
class Generation:
    """Clips that were drawn, in order.

    settings: how they were drawn. step: of the checkpoint. engine: what stepped the model, in words. candidates: all
    from which the clips were chosen, where settings.rank asked for that.
    """

    run: "Run"
    settings: GenerateSettings
    step: int
    engine: str
    clips: tuple[Clip, ...]
    candidates: tuple[Candidate, ...] = ()

    @property
    def codec(self) -> CodecSettings:
        """How tokens become sound, text, notes or images."""
        return self.run.settings.data.codec

    @property
    def tokens_per_second(self) -> float:
        """New tokens drawn in a second, primes not counted."""
        return sum(len(clip.tokens) for clip in self.clips) / max(1e-9, sum(clip.seconds for clip in self.clips))

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of sound or notes drawn in a second; None for what takes no time."""
        rate = self.codec.tokens_per_second
        return self.tokens_per_second / rate if rate else None

    def waveform(self, number: int = 0, part: Part = "whole") -> tuple[NDArray[np.float32], int]:
        """A clip of sound: float32 (T,) in [-1, 1], and its rate in Hz; of notes, as plucked strings play them.

        Raises UsageError for what has no sound, IndexError for a clip that is not there.
        """
        tokens = self._tokens(number, part)
        if isinstance(self.codec, NotesCodecSettings):
            from seqgen_core.notes.sound import render_sound

            return render_sound(np.asarray(tokens), self.codec, NOTES_RATE).astype(np.float32), NOTES_RATE
        if not isinstance(self.codec, AudioCodecSettings):
            raise self._refusal("no sound")
        from seqgen_core.audio.codec import AudioCodec

        return AudioCodec(self.codec).decode(np.asarray(tokens)), self.codec.rate

    def text(self, number: int = 0, part: Part = "whole") -> str:
        """A clip of text. Raises UsageError for what is no text, IndexError for a clip that is not there."""
        if not isinstance(self.codec, TextCodecSettings):
            raise self._refusal("no text")
        from seqgen_core.text.codec import TextCodec

        return TextCodec(self.codec).decode(np.asarray(self._tokens(number, part)))

    def image(self, number: int = 0) -> NDArray[np.uint8]:
        """An image (H, W, C), the rows that were given included. Raises UsageError for what is none, IndexError."""
        if not isinstance(self.codec, PixelsCodecSettings):
            raise self._refusal("no image")
        from seqgen_core.images.codec import PixelsCodec

        return PixelsCodec(self.codec).decode(np.asarray(render.whole(self.clips[number])))

    def roll(self, number: int = 0, part: Part = "whole") -> NDArray[np.uint8]:
        """A piano roll (T, keys) of zeros and ones. Raises UsageError for what is none, IndexError."""
        if not isinstance(self.codec, NotesCodecSettings):
            raise self._refusal("no piano roll")
        return np.asarray(self._tokens(number, part)).astype(np.uint8)

    def write(self, folder: Path | str | None = None) -> Path:
        """Write all clips as `seqgen generate` does, into a folder, that of the settings, or a new one in the run.

        Returns the sheet's path. Raises UsageError where the folder holds clips already, OSError.
        """
        with sheet_folder(self.settings.out if folder is None else Path(folder), self.run.path) as place:
            writer = ClipWriter(self.run, self.settings, self.step, self.engine, place)
            for clip in self.clips:
                writer.add(clip)
            return writer.finish(self.candidates).sheet

    def _tokens(self, number: int, part: Part) -> Tokens:
        clip = self.clips[number]
        if part == "new" or not render.continues(clip):  # a clip from nothing has no prime but the start token
            return clip.tokens[:0] if part == "prime" else clip.tokens
        return clip.prime.tokens if part == "prime" else render.whole(clip)

    def _refusal(self, what: str) -> UsageError:
        return UsageError(f"{self.run.path} was trained on {self.codec}, which is {what}.")
