"""Tiny files in the place of what commands of the docs are about: recordings, data sets by name."""

import dataclasses
import gzip
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import soundfile

from seqgen_core.data import catalog
from seqgen_core.data.datasets.entry import Dataset

RATE = 16000  # Hz
TEXT = "Once upon a time there was a tone, and it went on.\n"


def recording(path: Path, seconds: float = 0.25, number: int = 0) -> None:
    """A tone with a little noise, of its own pitch for each number."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(number).normal(0, 0.01, len(times))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 110 * (number + 2) * times) + noise, RATE)


def recordings(folder: Path, count: int = 6) -> None:
    """Some recordings, one of them long enough for any excerpt."""
    for number in range(count):
        recording(folder / f"take-{number}.wav", 0.25 + 0.05 * number, number)


def mirror(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for --mirror with tiny data sets, whose sums the catalogue gets in the place of the published ones."""
    rng = np.random.default_rng(0)
    texts = (TEXT * 20).encode()
    for name, content in _digits(rng).items():
        _publish(folder, "mnist", name, content, monkeypatch)
    _publish(folder, "tinyshakespeare", "tinyshakespeare.txt", texts, monkeypatch)
    _publish(folder, "jsb-chorales", "JSB_Chorales.mat", _chorales(rng), monkeypatch)
    for number in range(20):
        recording(folder / "fsdd" / f"{number % 10}_jackson_{5 * (number // 10)}.wav", 0.15, number)
    return folder


def _publish(folder: Path, dataset: str, file: str, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / dataset / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    whole: Dataset = catalog.CATALOG[dataset]
    told = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "md5": "", "content_sha256": ""}
    files = tuple(dataclasses.replace(one, **told) if one.name == file else one for one in whole.files)
    assert files != whole.files, f"{dataset} has no file {file}"
    monkeypatch.setitem(catalog.CATALOG, dataset, dataclasses.replace(whole, files=files, most_bytes=10**6))


def _digits(rng: np.random.Generator) -> dict[str, bytes]:
    files = {}
    for part, count in (("train", 20), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            files[f"{part}-{kind}-ubyte.gz"] = gzip.compress(header + array.tobytes(), mtime=0)
    return files


def _chorales(rng: np.random.Generator) -> bytes:
    parts = {}
    for part, count in (("traindata", 4), ("validdata", 2), ("testdata", 2)):
        cells = np.empty((1, count), object)
        for number in range(count):
            cells[0, number] = (rng.random((40, 88)) < 0.05).astype(np.uint8)
        parts[part] = cells
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, parts)
    return buffer.getvalue()
