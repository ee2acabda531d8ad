"""Gathering images: MNIST, CIFAR-10 and pictures become recordings with splits and labels; the odd ones are named."""

import gzip
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seqgen_core.data.discover import RawFile
from seqgen_core.data.kinds import images as kind
from seqgen_core.data.kinds.base import Gathered
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.images.cifar import META, NAMES
from seqgen_core.images.codec import PixelsCodec
from seqgen_core.progress import Silent
from seqgen_core.settings.codec import PixelsCodecSettings
from seqgen_core.settings.preprocess import PreprocessSettings

DRAW = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return DRAW.integers(0, 256, shape, dtype=np.uint8)


def raw(path: Path, given: Any = None, label: str | None = None) -> RawFile:
    return RawFile(path, str(path), given, label, path.stat().st_size, 0)


def gather(folder: Path, *files: RawFile | str, **settings: Any) -> Gathered:
    """Gather the named files of a folder, or all of them."""
    named = files or sorted(path.name for path in folder.iterdir() if path.is_file())
    chosen = [raw(folder / file) if isinstance(file, str) else file for file in named]
    return kind.gather(PreprocessSettings(out=folder / "prepared", **settings), chosen, Silent())


def shown(found: Gathered) -> np.ndarray:
    """All gathered images (N, H, W, C)."""
    assert isinstance(found.codec, PixelsCodecSettings)
    codec = PixelsCodec(found.codec)
    return np.stack([codec.decode(recording.tokens) for recording in found.recordings])


def write_idx(folder: Path, part: str, images: np.ndarray, labels: np.ndarray | None, pack: Callable = bytes) -> None:
    def put(name: str, array: np.ndarray) -> None:
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / f"{name}{'.gz' if pack is gzip.compress else ''}").write_bytes(pack(head + array.tobytes()))

    put(f"{part}-images-idx3-ubyte", images)
    if labels is not None:
        put(f"{part}-labels-idx1-ubyte", labels)


def write_pictures(folder: Path, *sizes: tuple[int, ...]) -> list[np.ndarray]:
    pictures = [noise(*size) for size in sizes]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return pictures


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_mnist_files_with_their_splits_and_labels(tmp_path: Path, pack):
    train, test = noise(5, 4, 6), noise(3, 4, 6)
    write_idx(tmp_path, "train", train, np.array([3, 1, 4, 1, 5], np.uint8), pack)
    write_idx(tmp_path, "t10k", test, np.array([9, 2, 6], np.uint8), pack)
    found = gather(tmp_path)
    assert found.codec == PixelsCodecSettings(height=4, width=6, channels=1, levels=256)
    assert np.array_equal(shown(found)[..., 0], np.concatenate([test, train]))
    assert [r.split for r in found.recordings] == ["test"] * 3 + ["train"] * 5
    assert [r.label for r in found.recordings] == list("92631415")
    assert found.label_names == tuple("0123456789")
    assert len({r.content for r in found.recordings}) == len({r.origin for r in found.recordings}) == 8
    assert found.recordings[4].origin.endswith(", image 2")
    assert not found.rejected
    assert not found.notes


def test_tokens_are_views_into_one_array(tmp_path: Path):
    write_idx(tmp_path, "train", noise(5, 4, 6), None)
    recordings = gather(tmp_path).recordings
    assert len({id(recording.tokens.base) for recording in recordings}) == 1
    assert not recordings[0].tokens.flags.writeable


def test_the_real_mnist(shared_data: Path, tmp_path: Path):
    folder = shared_data / "images" / "mnist"
    found = kind.gather(PreprocessSettings(out=tmp_path), [raw(path) for path in sorted(folder.iterdir())], Silent())
    assert Counter(r.split for r in found.recordings) == {"train": 60000, "test": 10000}
    assert [r.label for r in found.recordings[:5]] == list("72104")
    assert found.recordings[0].tokens.shape == (785,)
    assert not list(tmp_path.iterdir())  # what the tokens lie in has no name


def test_levels_and_size_and_grey(tmp_path: Path):
    write_pictures(tmp_path, (8, 6, 3), (10, 10, 3), (5, 7))
    found = gather(tmp_path, image_size="4x2", grey=True, levels=4)
    assert found.codec == PixelsCodecSettings(height=4, width=2, channels=1, levels=4)
    assert all(r.tokens.shape == (9,) and r.tokens.max() < 4 for r in found.recordings)
    assert len(found.recordings) == 3


def test_grey_among_colour(tmp_path: Path):
    colour, grey = write_pictures(tmp_path, (4, 4, 3), (4, 4))
    found = gather(tmp_path)
    assert np.array_equal(shown(found), np.stack([colour, np.dstack([grey] * 3)]))
    assert "1 grey images" in found.notes[0]


def test_pictures_have_the_labels_and_splits_of_their_files(tmp_path: Path):
    pictures = write_pictures(tmp_path, (4, 4), (4, 4), (4, 4))
    files = [raw(tmp_path / "0.png", "train", "cat"), raw(tmp_path / "1.png", None, "dog"), raw(tmp_path / "2.png")]
    found = gather(tmp_path, *files)
    assert [(r.split, r.label) for r in found.recordings] == [("train", "cat"), (None, "dog"), (None, None)]
    assert np.array_equal(shown(found)[..., 0], np.stack(pictures))
    assert found.recordings[0].origin == str(tmp_path / "0.png")
    assert not found.label_names  # sorted by whoever stores them


def test_cifar10(tmp_path: Path):
    images = noise(3, 32, 32, 3)
    rows = [bytes([label]) + image.transpose(2, 0, 1).tobytes() for label, image in zip([9, 0, 3], images, strict=True)]
    (tmp_path / "data_batch_1.bin").write_bytes(rows[0] + rows[1])
    (tmp_path / "test_batch.bin").write_bytes(rows[2])
    (tmp_path / META).write_text("\n".join(NAMES))
    found = gather(tmp_path, "data_batch_1.bin", "test_batch.bin")
    assert np.array_equal(shown(found), images)
    assert [(r.split, r.label) for r in found.recordings] == [
        ("train", "truck"),
        ("train", "airplane"),
        ("test", "cat"),
    ]
    assert found.label_names == NAMES


def test_the_odd_sizes_are_set_aside_by_name(tmp_path: Path):
    write_pictures(tmp_path, (4, 4), (4, 4), (12, 14), (4, 4))
    found = gather(tmp_path)
    assert len(found.recordings) == 3
    (odd,) = found.rejected
    assert odd.origin == str(tmp_path / "2.png")
    assert odd.reason == "it is 12 x 14; 4 x 4 was expected, as most are; see image_size"


def test_many_sizes_are_an_error_that_names_one(tmp_path: Path):
    write_pictures(tmp_path, (4, 4), (4, 5), (4, 6))
    with pytest.raises(SeqgenError) as caught:
        gather(tmp_path)
    assert "1.png is 4 x 5, where 4 x 4 was expected" in caught.value.got
    assert "image_size=4x4" in caught.value.hint


def test_damaged_files_are_set_aside_with_the_reason(tmp_path: Path):
    write_pictures(tmp_path, (64, 64, 3), (64, 64, 3), (64, 64, 3), (64, 64, 3))
    for name, keep in {"0.png": 0, "1.png": 20, "2.png": 5000}.items():
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:keep])
    (tmp_path / "x-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0")
    write_idx(tmp_path, "train", noise(2, 64, 64), np.zeros(3, np.uint8))
    (tmp_path / "y-labels-idx1-ubyte").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 0))
    found = gather(tmp_path)
    assert [r.origin for r in found.recordings] == [str(tmp_path / "3.png")]
    reasons = {Path(r.origin).name: r.reason for r in found.rejected}
    assert set(reasons) == {
        "0.png", "1.png", "2.png", "x-images-idx3-ubyte", "y-labels-idx1-ubyte", "train-images-idx3-ubyte",
    }  # fmt: skip
    assert "empty" in reasons["0.png"]
    assert "damaged" in reasons["2.png"]
    assert "ends within its header" in reasons["x-images-idx3-ubyte"]
    assert "labels without" in reasons["y-labels-idx1-ubyte"]
    assert "holds 2 images" in reasons["train-images-idx3-ubyte"]


def test_an_array_that_holds_no_images(tmp_path: Path):
    write_idx(tmp_path, "train", noise(2, 3, 4), None)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(struct.pack(">BBBBII", 0, 0, 8, 2, 1, 2) + b"ab")
    found = gather(tmp_path)
    assert not found.recordings
    assert "holds an array of 2 axes" in found.rejected[0].reason


def test_images_without_labels_are_noted(tmp_path: Path):
    write_idx(tmp_path, "emnist-letters-test", noise(2, 3, 4), None)
    found = gather(tmp_path)
    assert [(r.split, r.label) for r in found.recordings] == [("test", None)] * 2
    assert "no file of labels" in found.notes[0]


def test_more_than_ten_classes(tmp_path: Path):
    write_idx(tmp_path, "train", noise(2, 3, 4), np.array([2, 11], np.uint8))
    found = gather(tmp_path)
    assert [r.label for r in found.recordings] == ["2", "11"]
    assert found.label_names == tuple(str(n) for n in range(12))  # 11 behind 2, not before


def test_a_folder_given_for_a_split_wins(tmp_path: Path):
    write_idx(tmp_path, "train", noise(2, 3, 4), None)
    found = gather(tmp_path, raw(tmp_path / "train-images-idx3-ubyte", "valid"))
    assert {r.split for r in found.recordings} == {"valid"}


def test_pictures_are_read_in_several_processes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kind, "_A_TASK", 2)
    monkeypatch.setattr(kind, "_WORTH_A_PROCESS", 0)
    pictures = write_pictures(tmp_path, *[(4, 4)] * 5)
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:50])
    found = gather(tmp_path, jobs=2)
    assert np.array_equal(shown(found)[..., 0], np.stack([p for n, p in enumerate(pictures) if n != 2]))
    assert [Path(r.origin).name for r in found.rejected] == ["2.png"]


@pytest.mark.parametrize("wrong", [{"levels": 300}, {"image_size": "5000x4"}])
def test_settings_that_images_cannot_have(tmp_path: Path, wrong):
    write_pictures(tmp_path, (4, 4))
    with pytest.raises(UsageError):
        gather(tmp_path, **wrong)
