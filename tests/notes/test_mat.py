"""MATLAB files of piano rolls: the four of the papers, and what is wrong with others in one line."""

import numpy as np
import pytest
import scipy.io

from seqgen_core.notes.errors import UnreadableNotesError
from seqgen_core.notes.mat import is_mat, read_mat


def cells(*rolls: np.ndarray) -> np.ndarray:
    array = np.empty((1, len(rolls)), object)
    for place, roll in enumerate(rolls):
        array[0, place] = roll
    return array


def save(path, **changes):
    roll = np.zeros((3, 88), np.uint8)
    roll[1, 39] = 1
    parts = {"traindata": cells(roll, roll), "validdata": cells(roll), "testdata": cells(roll * 0), **changes}
    scipy.io.savemat(path, {name: value for name, value in parts.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("name", "sequences", "frames"),
    [
        ("JSB_Chorales", (229, 76, 77), 4725),
        ("MuseData", (524, 135, 124), 64339),
        ("Nottingham", (694, 173, 170), 44463),
        ("Piano_midi", (87, 12, 25), 19036),
    ],
)
def test_the_four_files_have_their_sequences(shared_data, name, sequences, frames):
    rolls = read_mat(shared_data / f"symbolic/{name}.mat")
    assert tuple(len(rolls[part]) for part in ("train", "valid", "test")) == sequences
    assert sum(map(len, rolls["test"])) == frames
    assert all(roll.shape[1] == 88 and roll.dtype == np.uint8 and roll.max() == 1 for roll in rolls["test"])


def test_rolls_come_by_split(tmp_path):
    rolls = read_mat(save(tmp_path / "a.mat"))
    assert {part: len(rolls[part]) for part in rolls} == {"train": 2, "valid": 1, "test": 1}
    assert np.argwhere(rolls["train"][0]).tolist() == [[1, 39]]


def test_rolls_of_other_number_types_are_the_same(tmp_path):
    floats = cells(np.eye(4, 88))
    assert np.array_equal(read_mat(save(tmp_path / "a.mat", testdata=floats))["test"][0], np.eye(4, 88))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"testdata": None}, "it lacks testdata"),
        ({"traindata": None, "testdata": None}, "it lacks traindata and testdata"),
        ({"validdata": np.zeros((3, 88))}, "validdata is no cell array"),
        ({"testdata": cells(np.zeros((5, 87)))}, "testdata{1} is an array (5, 87) of float64"),
        (
            {"testdata": cells(np.zeros((2, 88)), np.full((2, 88), 3.0))},
            "testdata{2} holds 3.0, not 0 or 1 alone",
        ),
    ],
)
def test_another_content_is_named(tmp_path, changes, reason):
    path = save(tmp_path / "a.mat", **changes)
    with pytest.raises(UnreadableNotesError) as caught:
        read_mat(path)
    assert caught.value.reason == reason
    assert caught.value.got == f"{path}: {reason}."
    assert "cell arrays of piano rolls (frames, 88)" in caught.value.wanted


@pytest.mark.parametrize("keep", [0, 5, 100, 130, 200])
def test_a_damaged_file_is_one_line(tmp_path, keep):
    path = save(tmp_path / "a.mat")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        UnreadableNotesError, match=r"it cannot be read as a MATLAB file \(|it lacks traindata"
    ) as caught:
        read_mat(path)
    assert "\n" not in caught.value.got


def test_other_formats_are_one_line(tmp_path):
    path = tmp_path / "a.mat"
    path.write_text("no rolls here\n" * 20, encoding="utf-8")
    with pytest.raises(UnreadableNotesError, match="it cannot be read as a MATLAB file"):
        read_mat(path)
    newest = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(newest + bytes(512))
    with pytest.raises(UnreadableNotesError, match=r"version 7\.3") as caught:
        read_mat(path)
    assert "save -v7" in caught.value.hint
    with pytest.raises(UnreadableNotesError, match="it cannot be read: No such file"):
        read_mat(tmp_path / "none.mat")


def test_mat_files_are_known_by_name_or_content(tmp_path):
    save(tmp_path / "rolls.bin.mat").rename(tmp_path / "rolls.bin")
    (tmp_path / "a.MAT").write_bytes(b"damaged")
    (tmp_path / "a.mid").write_bytes(b"MThd")
    assert is_mat(tmp_path / "rolls.bin")
    assert is_mat(tmp_path / "a.MAT")
    assert not is_mat(tmp_path / "a.mid")
