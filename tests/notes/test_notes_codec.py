"""The codec of notes: where generation starts, and a person's own files."""

import numpy as np
import pytest

from seqgen_core.notes.codec import NotesCodec
from seqgen_core.notes.errors import UnreadableNotesError
from seqgen_core.notes.mat import read_mat
from seqgen_core.notes.midi import write_midi
from seqgen_core.settings.codec import NotesCodecSettings


def test_generation_starts_in_silence():
    codec = NotesCodec(NotesCodecSettings(keys=12))
    assert codec.start.tolist() == [0] * 12
    assert codec.start.dtype == np.int64
    assert codec.tokens.shape == (12,)


def test_a_midi_file_is_its_roll(tmp_path):
    settings = NotesCodecSettings(lowest=60, keys=12)
    roll = np.eye(6, 12, dtype=np.uint8)
    write_midi(tmp_path / "a.mid", roll, settings)
    assert np.array_equal(NotesCodec(settings).read(tmp_path / "a.mid"), roll)


def test_a_mat_file_is_its_first_test_sequence(shared_data):
    path = shared_data / "symbolic/JSB_Chorales.mat"
    assert np.array_equal(NotesCodec(NotesCodecSettings()).read(path), read_mat(path)["test"][0])
    with pytest.raises(UnreadableNotesError, match="it has rolls of 88 keys from A0 on"):
        NotesCodec(NotesCodecSettings(keys=12)).read(path)


def test_a_file_without_notes_is_refused(tmp_path):
    settings = NotesCodecSettings(lowest=60, keys=12)
    write_midi(tmp_path / "a.mid", np.zeros((6, 12)), settings)
    with pytest.raises(UnreadableNotesError, match="it has no notes on the keys C4 to B4, drums aside"):
        NotesCodec(settings).read(tmp_path / "a.mid")


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UnreadableNotesError, match="it cannot be read: No such file"):
        NotesCodec(NotesCodecSettings()).read(tmp_path / "none.mid")
