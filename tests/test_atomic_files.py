"""Writing so that a crash leaves the old or the new, never half."""

import pytest

from seqgen_core import files
from seqgen_core.files import atomic_directory, remove_unfinished, write_bytes_atomically, write_text_atomically


def test_written_with_parents_and_replaced(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text_atomically(path, "grün\n")
    assert path.read_bytes() == "grün\n".encode()
    write_bytes_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.txt"]


def test_a_failed_write_leaves_the_old(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_bytes_atomically(path, b"old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space") as caught:
        write_bytes_atomically(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_an_error_names_the_file_and_not_the_unfinished_one(tmp_path, monkeypatch):
    def refuse(self, *arguments):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(files.Path, "open", refuse)
    with pytest.raises(PermissionError) as caught:
        write_bytes_atomically(tmp_path / "x", b"new")
    assert caught.value.filename == str(tmp_path / "x")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "folder"
    with pytest.raises(RuntimeError), atomic_directory(target) as inside:  # noqa: PT012
        (inside / "file").write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with atomic_directory(target) as inside:
        (inside / "sub").mkdir()
        (inside / "sub" / "file").write_text("whole")
        assert not target.exists()
    assert (target / "sub" / "file").read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), atomic_directory(target):
        raise RuntimeError
    assert (target / "old").exists()
    with atomic_directory(target) as inside:
        (inside / "new").touch()
    assert [entry.name for entry in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old(tmp_path, monkeypatch):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    rename = type(target).rename

    def refuse(self, other):
        if other == target and (self / "new").exists():
            raise OSError(5, "Input/output error")
        return rename(self, other)

    monkeypatch.setattr(type(target), "rename", refuse)
    with pytest.raises(OSError, match="Input/output"), atomic_directory(target) as inside:
        (inside / "new").touch()
    assert (target / "old").exists()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "😀" * 63])
def test_the_longest_names_can_be_written(tmp_path, name):
    write_bytes_atomically(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"


def test_leftovers_are_swept_and_nothing_else(tmp_path):
    (tmp_path / ".tmp-1-file").touch()
    (tmp_path / ".tmp-2-folder").mkdir()
    (tmp_path / ".tmp-2-folder" / "x").touch()
    (tmp_path / "tmp-mine").touch()
    remove_unfinished(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["tmp-mine"]
    remove_unfinished(tmp_path / "missing")
