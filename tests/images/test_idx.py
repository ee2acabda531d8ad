"""The idx format against bytes written by hand, against MNIST, and against damage."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from seqgen_core.errors import SeqgenError
from seqgen_core.images.idx import idx_shape, read_idx

ARRAY = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def packed(content: bytes) -> bytes:
    """The same bytes at any time, as a test's name must be."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "no-suffix-at-all"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("array", [ARRAY, ARRAY.reshape(-1), ARRAY[:0]])
def test_reads_what_was_written(tmp_path: Path, name, pack, array):
    (tmp_path / name).write_bytes(pack(idx(array)))
    assert idx_shape(tmp_path / name) == array.shape
    assert np.array_equal(read_idx(tmp_path / name), array)


def test_mnist(shared_data: Path):
    folder = shared_data / "images" / "mnist"
    images, labels = (read_idx(folder / f"t10k-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1"))
    assert (images.shape, labels.shape) == ((10000, 28, 28), (10000,))
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert 33.0 < images.mean() < 34.0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no idx file: it begins with nothing"),
        (b"\x89PNG", "no idx file: it begins with 89 50 4e 47"),
        (b"\0\0\x08", "no idx file"),
        (idx(ARRAY)[:9], "ends within its header"),
        (idx(ARRAY)[:-1], "holds 23 of the 2 x 3 x 4 numbers"),
        (idx(ARRAY)[:20], "cannot hold the 2 x 3 x 4 numbers"),
        (idx(ARRAY) + b"\0", "holds more than of the 2 x 3 x 4 numbers"),
        (idx(ARRAY, kind=0x0D), "numbers of type 0x0d"),
        (packed(idx(ARRAY))[:-12], "is cut short"),
        (packed(idx(ARRAY))[:-1] + b"\7", "is damaged"),
        (packed(idx(ARRAY)[:-1]), "holds 23 of the"),
        (packed(struct.pack(">BBBBI", 0, 0, 8, 1, 2**32 - 1)), "cannot hold the 4,294,967,295 numbers"),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, content, words):
    (tmp_path / "x-idx3-ubyte").write_bytes(content)
    with pytest.raises(SeqgenError) as caught:
        read_idx(tmp_path / "x-idx3-ubyte")
    assert words in caught.value.got
    assert "x-idx3-ubyte" in caught.value.got


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(SeqgenError, match="No such file"):
        read_idx(tmp_path / "none")
