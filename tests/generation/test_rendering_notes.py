"""Clips of notes: MIDI, picture and sound of one and the same roll."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from seqgen_core.generation.rendering import renderer_for
from seqgen_core.generation.rendering.notes import RATE
from seqgen_core.notes.midi import read_midi
from seqgen_core.settings.codec import NotesCodecSettings

PIANO = NotesCodecSettings(rate=8)


@pytest.fixture
def roll() -> np.ndarray:
    roll = np.zeros((16, 88), np.int64)
    roll[:8, 39] = roll[8:, [39 + 7, 39 + 12]] = 1
    return roll


def test_three_files_of_one_roll(tmp_path, roll):
    names = renderer_for(PIANO).write(roll, tmp_path / "clip-000-joined")
    assert names == {"midi": "clip-000-joined.mid", "png": "clip-000-joined.png", "wav": "clip-000-joined.wav"}
    assert sorted(names.values()) == sorted(path.name for path in tmp_path.iterdir())
    assert np.array_equal(read_midi(tmp_path / names["midi"], PIANO), roll)
    waveform, rate = soundfile.read(tmp_path / names["wav"])
    assert rate == RATE
    assert 2 * RATE <= len(waveform) <= 2.2 * RATE
    assert 0.05 < np.abs(waveform).max() < 1
    with Image.open(tmp_path / names["png"]) as image:
        assert image.size[0] > 500


def test_figures_of_a_roll(tmp_path, roll):
    renderer = renderer_for(PIANO)
    assert renderer.measures(roll) == {
        "seconds": 2.0,
        "notes": 3,
        "keys_per_frame": 1.5,
        "lowest": "C4",
        "highest": "C5",
    }
    assert renderer.measures(roll * 0) == {"seconds": 2.0, "notes": 0, "keys_per_frame": 0.0}
    assert renderer.finish(tmp_path, [roll]) == {}


def test_the_preview_is_the_picture(tmp_path, roll):
    renderer = renderer_for(PIANO)
    shown = renderer.preview(roll, "clip-0")
    renderer.write(roll, tmp_path / "a")
    assert (shown.name, shown.kind) == ("clip-0", "image")
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(shown.value, np.asarray(image.convert("RGB")))
