"""MIDI files: what is written is read back, times follow the tempo map, and damage is one clear line."""

import contextlib
import io
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mido import Message, MetaMessage

from seqgen_core.notes.errors import UnreadableNotesError
from seqgen_core.notes.midi import read_midi, read_piece, write_midi
from seqgen_core.notes.rolls import held_notes
from seqgen_core.settings.codec import NotesCodecSettings

PIANO = NotesCodecSettings()  # 4 frames per second
PERCUSSION, SECOND = 9, 960  # channel; ticks at 120 beats a minute and 480 ticks per beat
rates = st.one_of(st.sampled_from([0.5, 1, 4, 16, 31.25, 100, 1000]), st.floats(0.01, 1000))


def save(path: Path, *tracks: list, division: int = 480, kind: int = 1) -> Path:
    """A MIDI file of tracks given as (tick, message)."""
    made = []
    for events in tracks:
        now, track = 0, mido.MidiTrack()
        for tick, message in events:
            track.append(message.copy(time=tick - now))
            now = tick
        made.append(track)
    mido.MidiFile(type=kind, ticks_per_beat=division, tracks=made).save(path)
    return path


def note(number: int, start: int, stop: int, channel: int = 0) -> list:
    return [
        (start, Message("note_on", note=number, velocity=60, channel=channel)),
        (stop, Message("note_off", note=number, channel=channel)),
    ]


def notes_in(path: Path, settings: NotesCodecSettings = PIANO) -> list[tuple[int, int, int]]:
    """(MIDI number, first frame, frame after the last) of every note."""
    found = held_notes(read_midi(path, settings)).tolist()
    return [(key + settings.lowest, start, stop) for start, stop, key in found]


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 24)).flatmap(
        lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, 1))
    ),
    rates,
    st.integers(0, 104),
)
def test_what_is_written_is_read_back(tmp_path_factory, roll, rate, lowest):
    settings = NotesCodecSettings(rate=rate, lowest=lowest, keys=roll.shape[1])
    path = tmp_path_factory.getbasetemp() / "round-trip.mid"
    write_midi(path, roll, settings)
    assert np.array_equal(read_midi(path, settings), roll)


@pytest.mark.parametrize("rate", [4, 31.25, 43.06640625, 99.7, 999.99])
def test_long_rolls_do_not_drift(tmp_path, rate):
    settings = NotesCodecSettings(rate=rate, keys=2)
    roll = np.zeros((300_000, 2), np.uint8)
    roll[::997, 0], roll[-1] = 1, 1
    write_midi(tmp_path / "a.mid", roll, settings)
    assert np.array_equal(read_midi(tmp_path / "a.mid", settings), roll)


def test_real_rolls_come_back(shared_data, tmp_path):
    from seqgen_core.notes.mat import read_mat

    for roll in read_mat(shared_data / "symbolic/JSB_Chorales.mat")["test"][:5]:
        write_midi(tmp_path / "a.mid", roll, PIANO)
        assert np.array_equal(read_midi(tmp_path / "a.mid", PIANO), roll)


def test_other_programs_see_one_held_note(tmp_path):
    roll = np.zeros((8, 88), np.uint8)
    roll[2:6, 39] = 1
    write_midi(tmp_path / "a.mid", roll, PIANO)
    seconds, heard = 0.0, []
    for message in mido.MidiFile(tmp_path / "a.mid"):
        seconds += message.time
        if message.type in ("note_on", "note_off"):
            heard.append((message.type, message.note, seconds))
    assert heard == [("note_on", 60, 0.5), ("note_off", 60, 1.5)]
    assert seconds == 2.0


def test_edges_are_rounded_and_short_notes_have_a_frame(tmp_path):
    path = save(
        tmp_path / "a.mid",
        [
            *note(60, 0, SECOND),
            *note(62, SECOND + 100, SECOND + 101),
            *note(64, SECOND + 140, SECOND + 380),
            *note(65, SECOND + 400, SECOND + 480),  # from the later half of the file's last frame
        ],
    )
    assert notes_in(path) == [(60, 0, 4), (62, 4, 5), (64, 5, 6), (65, 5, 6)]


def test_a_note_on_of_no_velocity_ends_the_note(tmp_path):
    on, off = Message("note_on", note=60, velocity=60), Message("note_on", note=60, velocity=0)
    assert notes_in(save(tmp_path / "a.mid", [(0, on), (SECOND, off), (2 * SECOND, on), (3 * SECOND, off)])) == [
        (60, 0, 4),
        (60, 8, 12),
    ]


def test_a_key_struck_while_held_is_held_on(tmp_path):
    on, off = Message("note_on", note=60, velocity=60), Message("note_off", note=60)
    assert notes_in(save(tmp_path / "a.mid", [(0, on), (SECOND, on), (2 * SECOND, off)])) == [(60, 0, 8)]


def test_a_note_that_never_ends_lasts_as_long_as_the_file(tmp_path):
    on = Message("note_on", note=60, velocity=60)
    assert notes_in(save(tmp_path / "a.mid", [(0, on), (SECOND, MetaMessage("end_of_track"))])) == [(60, 0, 4)]


@pytest.mark.parametrize("control", [120, 123])
def test_all_notes_off_ends_those_of_its_channel(tmp_path, control):
    on, other = Message("note_on", note=60, velocity=60), Message("note_on", note=64, velocity=60, channel=1)
    silence = Message("control_change", control=control)
    path = save(tmp_path / "a.mid", [(0, on), (0, other), (SECOND, silence), (2 * SECOND, MetaMessage("end_of_track"))])
    assert notes_in(path) == [(60, 0, 4), (64, 0, 8)]


def test_pedals_do_not_lengthen_notes(tmp_path):
    pedal = Message("control_change", control=64, value=127)
    path = save(tmp_path / "a.mid", [(0, pedal), *note(60, 0, SECOND), (3 * SECOND, MetaMessage("end_of_track"))])
    assert notes_in(path) == [(60, 0, 4)]
    assert len(read_midi(path, PIANO)) == 12


def test_drums_are_left_out_and_notes_beyond_the_keys_counted(tmp_path):
    path = save(tmp_path / "a.mid", [*note(60, 0, SECOND), *note(5, SECOND, 2 * SECOND)], note(38, 0, 960, PERCUSSION))
    piece = read_piece(path, PIANO)
    assert (piece.beyond, piece.roll.sum()) == (1, 4)


def test_tempo_changes_of_any_track_hold_for_all(tmp_path):
    slow, fast = MetaMessage("set_tempo", tempo=1_000_000), MetaMessage("set_tempo", tempo=250_000)
    path = save(tmp_path / "a.mid", [(0, slow), (480, fast)], [*note(60, 0, 480), *note(62, 480, 960)])
    assert notes_in(path) == [(60, 0, 4), (62, 4, 5)]


@pytest.mark.parametrize(("division", "ticks"), [(-(25 << 8) + 40, 1000), (-(30 << 8) + 80, 2400)])
def test_files_that_count_in_video_frames(tmp_path, division, ticks):
    path = save(tmp_path / "a.mid", note(60, 0, ticks), division=division)
    assert notes_in(path) == [(60, 0, 4)]


def test_one_track_files_of_every_type(tmp_path):
    for kind in (0, 1, 2):
        assert notes_in(save(tmp_path / "a.mid", note(60, 0, SECOND), kind=kind)) == [(60, 0, 4)]
    with pytest.raises(UnreadableNotesError, match="it is of type 2: its tracks are not meant to sound together"):
        read_midi(save(tmp_path / "a.mid", note(60, 0, 9), note(60, 0, 9), kind=2), PIANO)


def test_rolls_of_nothing_are_written_and_read(tmp_path):
    write_midi(tmp_path / "a.mid", np.zeros((5, 88)), PIANO)
    assert read_midi(tmp_path / "a.mid", PIANO).shape == (5, 88)
    write_midi(tmp_path / "a.mid", np.zeros((0, 88)), PIANO)
    assert read_midi(tmp_path / "a.mid", PIANO).shape == (0, 88)


def good_bytes() -> bytes:
    memory = io.BytesIO()
    track = mido.MidiTrack([Message("note_on", note=60), Message("note_off", note=60, time=480)])
    mido.MidiFile(tracks=[track]).save(file=memory)
    return memory.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"RIFF....", "it is no MIDI file (it lacks MThd)"),
        (good_bytes()[:10], "it is damaged: it ends too early"),
        (good_bytes()[:30], "it is damaged: it ends too early"),
        (good_bytes().replace(b"MTrk", b"XXXX"), "it is damaged: no MTrk header at start of track"),
        (good_bytes()[:12] + b"\0\0" + good_bytes()[14:], "it is damaged: its header says 0 ticks per beat"),
        (good_bytes().replace(b"\x90\x3c", b"\x90\xbc"), "it is damaged: data byte must be in range 0..127"),
    ],
)
def test_damage_is_one_clear_line(tmp_path, data, reason):
    path = tmp_path / "a.mid"
    path.write_bytes(data)
    with pytest.raises(UnreadableNotesError) as caught:
        read_midi(path, PIANO)
    assert caught.value.reason == reason
    assert caught.value.got == f"{path}: {reason}."


@given(st.data())
def test_no_damage_gives_any_other_error(tmp_path_factory, data):
    content = bytearray(good_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.mid"
    path.write_bytes(bytes(content))
    with contextlib.suppress(UnreadableNotesError):
        assert read_midi(path, PIANO).shape[1] == 88


@pytest.mark.parametrize(
    ("ticks", "said"),
    [(2**27, r"it lasts 38\.8 hours, 1\.4e\+07 frames; at most 4000000 are read"), (2**50, "longer than any music")],
)
def test_a_file_that_claims_days_is_refused_before_memory_is_taken(tmp_path, ticks, said):
    path = save(tmp_path / "a.mid", note(60, 0, ticks))
    with pytest.raises(UnreadableNotesError, match=said):
        read_midi(path, NotesCodecSettings(rate=100))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableNotesError, match=r"none\.mid: it cannot be read: No such file"):
        read_midi(tmp_path / "none.mid", PIANO)
