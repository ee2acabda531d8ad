"""Which kind of data the inputs hold, where the codec does not say it."""

import os
from pathlib import Path

import numpy as np
import pytest

from seqgen_core.audio.files import write_wav
from seqgen_core.data.kinds import choose_kind
from seqgen_core.settings.codec import CODEC_NAMES
from seqgen_core.settings.preprocess import PreprocessSettings


def fill(folder: Path, *names: str) -> Path:
    """Files of these names; those of sound are sound."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".wav":
            write_wav(path, np.linspace(-0.5, 0.5, 50), 8000)
        else:
            path.write_bytes(b"0123456789abcdef")
    return folder


def kind_of(*inputs: Path, avoid: Path = Path("nowhere"), codec: str | None = None) -> str:
    return choose_kind(PreprocessSettings(inputs=inputs, codec=codec), avoid)[0]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["a.wav"], "sound"),
        (["deep/er/a.WAV"], "sound"),
        (["a.mid"], "notes"),
        (["A.MIDI"], "notes"),
        (["JSB_Chorales.mat"], "notes"),
        (["a.png"], "images"),
        (["a.JPEG"], "images"),
        (["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"], "images"),
        (["data_batch_1.bin", "test_batch.bin", "batches.meta.txt"], "images"),
        (["cifar-10-binary.tar.gz"], "images"),
        (["a.txt"], "text"),
        (["README.md"], "text"),
        # mixed: sound before notes, notes before images, images before text
        (["a.txt", "cover.jpg", "score.mid", "z.wav"], "sound"),
        (["a.txt", "cover.jpg", "z.mid"], "notes"),
        (["a.txt", "z.png"], "images"),
        (["table.csv", "sources.jsonl", "z.txt"], "text"),
        # of no kind: sound, of which none is found then
        (["table.csv"], "sound"),
        ([], "sound"),
        # what is hidden is not searched, and so does not count
        ([".cache/a.wav", ".b.wav", "a.txt"], "text"),
    ],
)
def test_the_first_kind_that_is_there(tmp_path: Path, names: list[str], kind: str) -> None:
    (tmp_path / "raw").mkdir()
    chosen, is_wanted, what = choose_kind(PreprocessSettings(inputs=(fill(tmp_path / "raw", *names),)), Path("nowhere"))
    assert chosen == kind
    assert what == {"sound": "sound", "notes": "MIDI file or piano roll", "images": "image", "text": "text"}[kind]
    shown = [path for path in (tmp_path / "raw").rglob("*") if path.is_file()]
    assert any(map(is_wanted, shown)) is bool(names and names != ["table.csv"])


def test_sound_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "b.txt")
    (tmp_path / "a.wav").rename(tmp_path / "a")
    assert kind_of(tmp_path) == "sound"


def test_named_files_count_as_folders_do(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt", "pictures/b.png")
    assert kind_of(tmp_path / "a.txt") == "text"
    assert kind_of(tmp_path / "a.txt", tmp_path / "pictures") == "images"
    assert kind_of(tmp_path / "missing", tmp_path / "a.txt") == "text"  # that it is missing is told elsewhere


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_the_codec_says_it(tmp_path: Path, codec: str) -> None:
    kinds = {"characters": "text", "words": "text", "piano-roll": "notes", "pixels": "images"}
    assert kind_of(fill(tmp_path, "a.wav", "b.mid"), codec=codec) == kinds.get(codec, "sound")


def test_the_output_is_not_searched(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt", "prepared/samples/b.wav")
    assert kind_of(tmp_path, avoid=tmp_path / "prepared") == "text"
    assert kind_of(tmp_path) == "sound"


def test_links_are_followed_and_one_that_leads_back_ends(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "a.txt")
    (tmp_path / "raw").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "raw" / "link")
    os.symlink(tmp_path / "raw", tmp_path / "elsewhere" / "back")
    assert kind_of(tmp_path / "raw") == "text"


def test_a_file_that_cannot_be_opened_is_of_no_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "closed", "a.txt")

    def refuse(path: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert kind_of(tmp_path) == "text"
