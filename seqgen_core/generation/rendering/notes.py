"""Notes: piano rolls to MIDI, a picture, and sound."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgen_core.audio.files import write_wav
from seqgen_core.notes.midi import write_midi
from seqgen_core.notes.picture import draw_roll, roll_image
from seqgen_core.notes.rolls import held_notes, note_name
from seqgen_core.notes.sound import render_sound
from seqgen_core.previews import Preview
from seqgen_core.settings.codec import NotesCodecSettings

RATE = 16000  # Hz of the sound


class NotesRenderer:
    """Writes each clip as a MIDI file, a PNG of its roll, and a WAV file of plucked strings."""

    separable = True

    def __init__(self, settings: NotesCodecSettings) -> None:
        self.settings = settings

    def write(self, tokens: np.ndarray, stem: Path) -> dict[str, str]:
        """Write tokens (N, keys) as stem.mid, stem.png and stem.wav."""
        names = {"midi": f"{stem.name}.mid", "png": f"{stem.name}.png", "wav": f"{stem.name}.wav"}
        write_midi(stem.with_name(names["midi"]), tokens, self.settings)
        draw_roll(stem.with_name(names["png"]), tokens, self.settings)
        write_wav(stem.with_name(names["wav"]), render_sound(tokens, self.settings, RATE), RATE)
        return names

    def measures(self, tokens: np.ndarray) -> dict[str, float | str]:
        """Seconds, number of notes (held ones count once), keys that sound in a frame on average, and their range."""
        notes = held_notes(tokens)
        measures: dict[str, float | str] = {
            "seconds": len(tokens) / self.settings.rate,
            "notes": len(notes),
            "keys_per_frame": round(float(tokens.sum() / max(len(tokens), 1)), 2),
        }
        if len(notes):
            measures["lowest"] = note_name(self.settings.lowest + int(notes[:, 2].min()))
            measures["highest"] = note_name(self.settings.lowest + int(notes[:, 2].max()))
        return measures

    def finish(self, folder: Path, clips: Sequence[np.ndarray]) -> dict[str, str]:
        """Nothing shows all pieces at once."""
        return {}

    def preview(self, tokens: np.ndarray, name: str) -> Preview:
        """The picture of the roll, which tells more at a glance than a minute of listening."""
        return Preview(name, "image", roll_image(tokens, self.settings))
