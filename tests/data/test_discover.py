"""Finding raw sound: names, contents, folders that are splits or labels, and the account of downloads."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from seqgen_core.audio.containers import looks_like_sound
from seqgen_core.audio.files import write_wav
from seqgen_core.data.discover import find_sources
from seqgen_core.errors import UsageError


def sound(path: Path) -> Path:
    write_wav(path, np.linspace(-0.5, 0.5, 100), 16000)
    return path


def found_in(*inputs: Path, avoid: Path | None = None):
    return find_sources(inputs, avoid or Path("nowhere"), looks_like_sound, "sound")


def by_name(found):
    return {file.path.name: file for file in found.files}


def test_files_are_found_in_depth_and_in_order(tmp_path):
    for name in ("b.wav", "a.flac", "deep/er/c.mp3"):
        sound(tmp_path / name)
    assert [file.path.relative_to(tmp_path).as_posix() for file in found_in(tmp_path).files] == [
        "a.flac", "b.wav", "deep/er/c.mp3"
    ]  # fmt: skip


def test_what_is_hidden_or_no_sound_is_counted(tmp_path):
    sound(tmp_path / "a.wav")
    sound(tmp_path / ".hidden.wav")
    sound(tmp_path / ".cache" / "x.wav")
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0JFIF")
    (tmp_path / "folder.wav").mkdir()
    found = found_in(tmp_path)
    assert list(by_name(found)) == ["a.wav"]
    assert found.notes == ["1 file is hidden: skipped", "2 files are no sound by name and content: skipped"]


def test_sound_without_a_suffix_is_known_by_its_content(shared_data, tmp_path):
    for name in (
        "clip_16k_s16.wav",
        "clip_16k.flac",
        "clip_16k_vorbis.ogg",
        "clip_16k_aac.m4a",
        "clip_48k_opus.webm",
        "clip_16k.aiff",
        "clip_16k.au",
    ):
        (tmp_path / name.replace(".", "_")).write_bytes((shared_data / "formats" / name).read_bytes())
    assert len(found_in(tmp_path).files) == 7


def test_every_awkward_name_is_found_and_printable(shared_data):
    found = found_in(shared_data / "formats" / "bad" / "names")
    assert len(found.files) == 20
    assert found.notes == ["1 file is hidden: skipped"]
    for file in found.files:
        file.origin.encode()


def test_named_files_are_taken_whatever_their_name(tmp_path):
    (tmp_path / ".odd.txt").write_text("x")
    assert list(by_name(found_in(tmp_path / ".odd.txt"))) == [".odd.txt"]


def test_a_file_named_twice_is_taken_once(tmp_path):
    file = sound(tmp_path / "a" / "x.wav")
    assert len(found_in(tmp_path, tmp_path / "a", file).files) == 1


def test_a_missing_input_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"The input .*nowhere does not exist"):
        found_in(tmp_path / "nowhere")


def test_a_link_that_leads_back_ends(tmp_path):
    sound(tmp_path / "a" / "x.wav")
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    assert len(found_in(tmp_path).files) == 1


def test_the_output_folder_is_not_searched(tmp_path):
    sound(tmp_path / "raw" / "x.wav")
    sound(tmp_path / "prepared" / "y.wav")
    assert list(by_name(found_in(tmp_path, avoid=tmp_path / "prepared"))) == ["x.wav"]


def test_folders_named_as_splits_are_splits(tmp_path):
    for name in ("Train/a.wav", "val/b.wav", "test/deep/c.wav", "other/d.wav"):
        sound(tmp_path / name)
    given = {name: file.given for name, file in by_name(found_in(tmp_path)).items()}
    assert given == {"a.wav": "train", "b.wav": "valid", "c.wav": "test", "d.wav": None}


def test_a_lone_input_called_test_is_no_split_but_two_such_inputs_are(tmp_path):
    sound(tmp_path / "train" / "a.wav")
    sound(tmp_path / "test" / "b.wav")
    assert found_in(tmp_path / "test").files[0].given is None
    assert [file.given for file in found_in(tmp_path / "train", tmp_path / "test").files] == ["train", "test"]


def test_labels_are_the_nearest_folders_that_are_no_splits(tmp_path):
    for name in ("raw/train/violin/a.wav", "raw/violin/train/b.wav", "raw/c.wav"):
        sound(tmp_path / name)
    labels = {name: file.label for name, file in by_name(found_in(tmp_path / "raw")).items()}
    assert labels == {"a.wav": "violin", "b.wav": "violin", "c.wav": "raw"}


def test_the_account_of_downloads_gives_split_and_address(tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        sound(tmp_path / name)
    lines = [
        {"url": "https://example.org/a", "status": "fetched", "split": "test", "file": "a.wav"},
        {"url": "https://example.org/b", "status": "fetched", "split": None, "file": "b.wav"},
        {"url": "https://example.org/z", "status": "failed", "split": "train", "file": None},
    ]
    (tmp_path / "sources.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for inputs in ([tmp_path], [tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "c.wav"]):
        files = by_name(found_in(*inputs))
        assert (files["a.wav"].given, files["a.wav"].origin) == ("test", "https://example.org/a")
        assert (files["b.wav"].given, files["b.wav"].origin) == (None, "https://example.org/b")
        assert (files["c.wav"].given, files["c.wav"].origin) == (None, str(tmp_path / "c.wav"))
    assert found_in(tmp_path).notes == []
