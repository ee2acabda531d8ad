"""Pictures of rolls: notes stand where they sound, and pyplot stays out of it."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from seqgen_core.notes.picture import draw_roll, roll_image
from seqgen_core.settings.codec import NotesCodecSettings

PIANO = NotesCodecSettings()


def coloured(image: np.ndarray) -> np.ndarray:
    """Where a picture (H, W, 3) shows a note: neither grey nor a tint of it."""
    return np.ptp(image.astype(int), axis=2) > 60


def test_notes_stand_where_they_sound():
    roll = np.zeros((32, 88), np.uint8)
    roll[:16, 20] = roll[16:, 60] = 1
    shown = coloured(roll_image(roll, PIANO))
    height, width = shown.shape
    rows, columns = np.nonzero(shown)
    left, right = columns < 0.5 * (columns.min() + columns.max()), columns > 0.5 * (columns.min() + columns.max())
    assert rows[left].min() > rows[right].max()  # the later note is the higher one
    assert columns.max() - columns.min() > 0.85 * width
    assert rows.max() < height


def test_a_held_note_is_one_bar_and_more_notes_are_more_colour():
    one, two = np.zeros((32, 88), np.uint8), np.zeros((32, 88), np.uint8)
    one[4:28, 39] = 1
    two[4:28, [39, 43]] = 1
    assert 1.5 < coloured(roll_image(two, PIANO)).sum() / coloured(roll_image(one, PIANO)).sum() < 2.5


def test_the_file_is_the_same_picture(tmp_path):
    roll = np.eye(40, 88, dtype=np.uint8)
    draw_roll(tmp_path / "a.png", roll, PIANO)
    image = Image.open(io.BytesIO((tmp_path / "a.png").read_bytes()))
    assert np.array_equal(np.asarray(image.convert("RGB")), roll_image(roll, PIANO))


@pytest.mark.parametrize("frames", [0, 1, 2000])
@pytest.mark.parametrize("keys", [1, 88])
def test_any_roll_can_be_drawn(frames, keys):
    settings = NotesCodecSettings(keys=keys, lowest=40)
    roll = np.zeros((frames, keys), np.uint8)
    roll[::7] = 1
    image = roll_image(roll, settings)
    assert image.dtype == np.uint8
    assert image.shape[1] <= 20 * 120
    assert coloured(image).any() == (frames > 0)


def test_pyplot_is_not_imported():
    script = "import sys, seqgen_core.notes.picture; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
