"""Notes: piano rolls to MIDI, a picture, and sound."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgen_core.audio.encoders import Encoding, Tags, write_sound
from seqgen_core.generation.kept import Tokens
from seqgen_core.generation.rendering.base import NOTES_RATE as RATE
from seqgen_core.notes.midi import write_midi
from seqgen_core.notes.picture import draw_roll, roll_image
from seqgen_core.notes.rolls import held_notes, note_name
from seqgen_core.notes.sound import render_sound
from seqgen_core.previews import Preview
from seqgen_core.settings.codec import NotesCodecSettings


class NotesRenderer:
    """Writes each clip as a MIDI file, a PNG of its roll, and a sound file of plucked strings."""

    separable = True

    def __init__(self, settings: NotesCodecSettings, encoding: Encoding) -> None:
        self.settings, self.encoding = settings, encoding

    def write(self, tokens: Tokens, stem: Path, tags: Tags | None = None) -> dict[str, str]:
        """Write tokens (N, keys) as stem.mid, stem.png and stem.wav, or sound of another encoding."""
        roll, suffix = np.asarray(tokens), self.encoding.suffix
        names = {"midi": f"{stem.name}.mid", "png": f"{stem.name}.png", suffix: f"{stem.name}.{suffix}"}
        write_midi(stem.with_name(names["midi"]), roll, self.settings, title="" if tags is None else tags.title)
        draw_roll(stem.with_name(names["png"]), roll, self.settings)
        sound = render_sound(roll, self.settings, RATE)
        write_sound(stem.with_name(names[suffix]), sound, RATE, self.encoding, tags)
        return names

    def measures(self, tokens: Tokens) -> dict[str, float | str]:
        """Seconds, number of notes (held ones count once), keys that sound in a frame on average, and their range."""
        roll = np.asarray(tokens)
        notes = held_notes(roll)
        measures: dict[str, float | str] = {
            "seconds": len(roll) / self.settings.rate,
            "notes": len(notes),
            "keys_per_frame": round(float(roll.sum() / max(len(roll), 1)), 2),
        }
        if len(notes):
            measures["lowest"] = note_name(self.settings.lowest + int(notes[:, 2].min()))
            measures["highest"] = note_name(self.settings.lowest + int(notes[:, 2].max()))
        return measures

    def finish(self, folder: Path, clips: Sequence[Tokens]) -> dict[str, str]:
        """Nothing shows all pieces at once."""
        return {}

    def preview(self, tokens: Tokens, name: str) -> Preview:
        """The picture of the roll, which tells more at a glance than a minute of listening."""
        return Preview(name, "image", roll_image(np.asarray(tokens), self.settings))
