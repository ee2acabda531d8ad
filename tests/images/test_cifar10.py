"""CIFAR-10's binary version: records, the archive, class names, damage; a pickle is never opened."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from seqgen_core.errors import SeqgenError
from seqgen_core.images.cifar import ARCHIVE, META, NAMES, RECORD, count_records, is_cifar10, read_cifar10

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([9, 0, 3], np.uint8)


def records(images: np.ndarray = IMAGES, labels: np.ndarray = LABELS) -> bytes:
    """The published layout: a label, then all of red, all of green, all of blue, row by row."""
    rows = [
        bytes([label]) + b"".join(image[..., c].tobytes() for c in range(3))
        for image, label in zip(images, labels, strict=True)
    ]
    return b"".join(rows)


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_records(tmp_path: Path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(records())
    assert count_records(path) == 3
    (batch,) = read_cifar10(path)
    assert np.array_equal(batch.images, IMAGES)
    assert np.array_equal(batch.labels, LABELS)
    assert (batch.names, batch.is_test) == (NAMES, False)


def test_class_names_beside_the_file(tmp_path: Path):
    (tmp_path / "test_batch.bin").write_bytes(records())
    (tmp_path / META).write_text("\n".join(f"class{n}" for n in range(10)) + "\n\n")
    (batch,) = read_cifar10(tmp_path / "test_batch.bin")
    assert (batch.names[9], batch.is_test) == ("class9", True)


def test_the_archive(tmp_path: Path):
    members = {
        "cifar-10-batches-bin/test_batch.bin": records(),
        "cifar-10-batches-bin/data_batch_2.bin": records(IMAGES[:1], LABELS[:1]),
        f"cifar-10-batches-bin/{META}": "\n".join(NAMES).encode(),
        "cifar-10-batches-bin/readme.html": b"<html>",
        "../data_batch_9.pickle": b"never opened",
    }
    batches = read_cifar10(archive(tmp_path / ARCHIVE, members))
    assert [batch.name for batch in batches] == ["data_batch_2.bin", "test_batch.bin"]
    assert [len(batch.images) for batch in batches] == [1, 3]


def test_names():
    assert is_cifar10(Path("x/data_batch_5.bin"))
    assert is_cifar10(Path(ARCHIVE))
    assert not is_cifar10(Path("data_batch_5"))  # a pickle of the Python version
    assert not is_cifar10(Path("cifar-10-python.tar.gz"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has 0 bytes: it is cut short"),
        (records()[:-1], f"has {3 * RECORD - 1:,} bytes: it is cut short"),
        (records(labels=np.array([1, 2, 10], np.uint8)), "holds label 10"),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, content, words):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(SeqgenError) as caught:
        read_cifar10(path)
    assert words in caught.value.got
    assert "data_batch_1.bin" in caught.value.got


def test_damage_of_the_archive(tmp_path: Path):
    whole = archive(tmp_path / ARCHIVE, {"a/data_batch_1.bin": records()}).read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:-30] + bytes(30)):
        (tmp_path / ARCHIVE).write_bytes(content)
        with pytest.raises(SeqgenError, match=r"cifar-10-binary.tar.gz .*(damaged|holds no)"):
            read_cifar10(tmp_path / ARCHIVE)


def test_an_archive_of_something_else_or_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive(tmp_path / ARCHIVE, {"a/readme.txt": b"hello"})
    with pytest.raises(SeqgenError, match="holds no data_batch"):
        read_cifar10(tmp_path / ARCHIVE)
    monkeypatch.setattr("seqgen_core.images.cifar.MOST_BYTES", 2 * RECORD)
    archive(tmp_path / ARCHIVE, {"a/data_batch_1.bin": records()})
    with pytest.raises(SeqgenError, match="unpacks to more than"):
        read_cifar10(tmp_path / ARCHIVE)
