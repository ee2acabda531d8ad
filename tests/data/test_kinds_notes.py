"""MIDI files and MATLAB files to recordings: their splits, what is set aside, and several processes."""

import numpy as np
import pytest
import scipy.io

from seqgen_core.data.discover import RawFile
from seqgen_core.data.kinds import notes as module
from seqgen_core.data.kinds.notes import gather
from seqgen_core.notes.midi import write_midi
from seqgen_core.progress import Silent
from seqgen_core.settings.codec import NotesCodecSettings
from seqgen_core.settings.preprocess import PreprocessSettings


def raw(path, given=None, label=None):
    return RawFile(path, str(path), given, label, path.stat().st_size, 0)


def midi(path, seed=0, frames=12, rate=4.0, lowest=21, keys=88):
    roll = (np.random.default_rng(seed).random((frames, keys)) < 0.1).astype(np.uint8)
    write_midi(path, roll, NotesCodecSettings(rate=rate, lowest=lowest, keys=keys))
    return roll


def gathered(files, **settings):
    return gather(PreprocessSettings(**{"jobs": 1, **settings}), files, Silent())


def test_midi_files_become_rolls(tmp_path):
    rolls = [midi(tmp_path / f"{seed}.mid", seed) for seed in range(2)]
    found = gathered([raw(tmp_path / "0.mid", "test", "bach"), raw(tmp_path / "1.mid")])
    assert all(np.array_equal(r.tokens, roll) for r, roll in zip(found.recordings, rolls, strict=True))
    assert [(r.split, r.label) for r in found.recordings] == [("test", "bach"), (None, None)]
    assert [r.origin for r in found.recordings] == [str(tmp_path / "0.mid"), str(tmp_path / "1.mid")]
    assert found.codec == NotesCodecSettings()
    assert not found.notes


def test_frames_per_second_are_those_asked_for(tmp_path):
    roll = midi(tmp_path / "a.mid", rate=10, frames=30)
    found = gathered([raw(tmp_path / "a.mid")], frames_per_second=10)
    assert np.array_equal(found.recordings[0].tokens, roll)
    assert found.codec.rate == 10
    assert len(gathered([raw(tmp_path / "a.mid")], frames_per_second=5).recordings[0].tokens) == 15


def test_a_mat_file_gives_its_own_splits(tmp_path):
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.eye(4, 88, dtype=np.uint8), np.eye(1, 88, dtype=np.uint8)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {name: cells for name in ("traindata", "validdata", "testdata")})
    found = gathered([raw(path, given="test")])
    assert [(r.origin, r.split, len(r.tokens)) for r in found.recordings] == [
        (f"{path} traindata 1", "train", 4),
        (f"{path} validdata 1", "valid", 4),
        (f"{path} testdata 1", "test", 4),
    ]
    assert [(r.origin, r.reason) for r in found.rejected] == [
        (f"{path} {name} 2", "too short: 1 frame; 2 are needed") for name in ("traindata", "validdata", "testdata")
    ]


def test_what_is_no_music_is_set_aside_with_the_reason(tmp_path):
    midi(tmp_path / "good.mid")
    midi(tmp_path / "short.mid", frames=1)
    write_midi(tmp_path / "silent.mid", np.zeros((9, 88)), NotesCodecSettings())
    (tmp_path / "damaged.mid").write_bytes((tmp_path / "good.mid").read_bytes()[:40])
    (tmp_path / "wrong.mat").write_bytes(b"no rolls")
    names = ["good.mid", "short.mid", "silent.mid", "damaged.mid", "wrong.mat"]
    files = [raw(tmp_path / name) for name in names]
    (tmp_path / "gone.mid").write_bytes(b"MThd")
    files.append(raw(tmp_path / "gone.mid"))
    (tmp_path / "gone.mid").unlink()
    found = gathered(files)
    assert [r.origin for r in found.recordings] == [str(tmp_path / "good.mid")]
    reasons = {r.origin.rpartition("/")[2]: r.reason for r in found.rejected}
    assert reasons["short.mid"] == "too short: 1 frame; 2 are needed"
    assert reasons["silent.mid"] == "it has no notes on the keys A0 to C8, drums aside"
    assert reasons["damaged.mid"] == "it is damaged: it ends too early"
    assert reasons["wrong.mat"].startswith("it cannot be read as a MATLAB file")
    assert reasons["gone.mid"] == "it cannot be read: No such file or directory"


def test_notes_beyond_the_keys_are_counted(tmp_path):
    roll = np.zeros((6, 128), np.uint8)
    roll[:3, [3, 60]] = roll[4:, 120] = 1
    write_midi(tmp_path / "a.mid", roll, NotesCodecSettings(lowest=0, keys=128))
    found = gathered([raw(tmp_path / "a.mid")])
    assert found.recordings[0].tokens.sum() == 3
    assert found.notes == ["2 notes of one piece left out: beyond the keys A0 to C8"]


def test_several_processes_give_the_same(tmp_path, monkeypatch):
    for seed in range(4):
        midi(tmp_path / f"{seed}.mid", seed)
    (tmp_path / "4.mid").write_bytes(b"damaged")
    files = [raw(tmp_path / f"{seed}.mid") for seed in range(5)]
    alone = gathered(files)
    monkeypatch.setattr(module, "_WORTH", 1)
    together = gathered(files, jobs=2)
    assert together.rejected == alone.rejected
    for one, other in zip(together.recordings, alone.recordings, strict=True):
        assert (one.origin, one.content) == (other.origin, other.content)
        assert np.array_equal(one.tokens, other.tokens)


@pytest.mark.parametrize(
    ("name", "sequences"),
    [
        ("JSB_Chorales", (229, 76, 77)),
        ("MuseData", (524, 135, 124)),
        ("Nottingham", (694, 173, 170)),
        ("Piano_midi", (87, 12, 25)),
    ],
)
def test_the_four_data_sets_of_the_papers(shared_data, name, sequences):
    found = gathered([raw(shared_data / f"symbolic/{name}.mat")])
    splits = [r.split for r in found.recordings]
    assert tuple(splits.count(split) for split in ("train", "valid", "test")) == sequences
    assert not found.rejected
    assert found.recordings[11].origin.endswith(f"{name}.mat traindata 12")
