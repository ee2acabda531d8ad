"""The binary version of CIFAR-10: records of one label and 32 x 32 pixels of three colours, one colour after another.

Source: Krizhevsky 2009, Learning multiple layers of features from tiny images; the page of the data set describes the
layout. The Python version is a pickle, which runs what it holds: it is never read here.
"""

import gzip
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.errors import SeqgenError

SIDE = 32  # pixels
RECORD = 1 + 3 * SIDE * SIDE  # bytes
MOST_BYTES = 400_000_000  # of all members of an archive; the true one holds 184,380,000
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
META = "batches.meta.txt"
ARCHIVE = "cifar-10-binary.tar.gz"
_BATCH = re.compile(r"^(data_batch_\d+|test_batch)\.bin$")
_AGAIN = "Fetch it again, for example with `seqgen download --dataset cifar10`."


@dataclass(frozen=True)
class Batch:
    """One file of records: images uint8 (N, 32, 32, 3) and their labels uint8 (N,), indices into `names`."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    names: tuple[str, ...] = NAMES

    @property
    def is_test(self) -> bool:
        """Whether these are the images for the test."""
        return self.name == "test_batch.bin"


def is_cifar10(path: Path) -> bool:
    """Whether the name is that of a file of CIFAR-10's binary version, or of their archive."""
    return _BATCH.match(path.name) is not None or path.name == ARCHIVE


def count_records(path: Path) -> int:
    """Images in a file of records, by its size. Raises SeqgenError where that is no whole number above 0."""
    return _count(path.stat().st_size, str(path))


def read_cifar10(path: Path) -> list[Batch]:
    """The batches of a data_batch_N.bin or test_batch.bin, or all of cifar-10-binary.tar.gz, in the order of names.

    Class names are those of batches.meta.txt beside the file, or in the archive; without it, the ten published ones.
    Raises SeqgenError for a file that is damaged, or cut short, or no such file.
    """
    try:
        if path.name == ARCHIVE:
            return _read_archive(path)
        meta = path.with_name(META)
        names = _class_names(meta.read_bytes(), meta) if meta.is_file() else NAMES
        return [_batch(path.name, path.read_bytes(), names, str(path))]
    except OSError as problem:
        raise SeqgenError(f"{path}: {problem.strerror or problem}.") from None


def _read_archive(path: Path) -> list[Batch]:
    contents: dict[str, bytes] = {}
    total = 0
    try:
        with gzip.open(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if not member.isfile() or not (_BATCH.match(name) or name == META):
                    continue
                total += member.size
                if total > MOST_BYTES:
                    raise SeqgenError(f"{path} unpacks to more than {MOST_BYTES:,} bytes.", "The published archive.")
                stream = archive.extractfile(member)
                contents[name] = b"" if stream is None else stream.read()
            while unzipped.read(1 << 20):  # to the end, where the checksum of it all stands
                pass
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise SeqgenError(f"{path} is damaged or cut short ({problem}).", "A whole tar.gz file.", _AGAIN) from None
    meta = contents.pop(META, None)
    if not contents:
        raise SeqgenError(f"{path} holds no data_batch_N.bin and no test_batch.bin.", "The binary version.", _AGAIN)
    names = NAMES if meta is None else _class_names(meta, path)
    return [_batch(name, contents[name], names, f"{path} ({name})") for name in sorted(contents)]


def _class_names(text: bytes, path: Path) -> tuple[str, ...]:
    names = tuple(line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip())
    if not 1 <= len(names) <= 256:
        raise SeqgenError(f"{path} names {len(names)} classes.", "One name a line, such as airplane.", _AGAIN)
    return names


def _count(size: int, what: str) -> int:
    if size == 0 or size % RECORD:
        raise SeqgenError(
            f"{what} has {size:,} bytes: it is cut short, or not of CIFAR-10's binary version.",
            f"A multiple of {RECORD:,} bytes, one record for each image.",
            _AGAIN,
        )
    return size // RECORD


def _batch(name: str, data: bytes, names: tuple[str, ...], what: str) -> Batch:
    records = np.frombuffer(data, np.uint8).reshape(_count(len(data), what), RECORD)
    labels = records[:, 0]
    if labels.max() >= len(names):
        raise SeqgenError(f"{what} holds label {labels.max()}.", f"Labels from 0 to {len(names) - 1}.", _AGAIN)
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return Batch(name, images, labels, names)
