"""Files that hold images, by their headers, and the images of those that hold many: MNIST's idx, CIFAR-10's binary."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.data.discover import RawFile
from seqgen_core.data.kinds.base import Gathered
from seqgen_core.data.store import Rejected, Split
from seqgen_core.errors import SeqgenError
from seqgen_core.images import cifar
from seqgen_core.images.files import image_shape
from seqgen_core.images.idx import idx_shape, read_idx

_IDX = re.compile(r"^(?P<part>.*?)[-._]?(?P<what>images|labels)(?P<rest>[-.]idx[13]-ubyte)(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A file of one image or many, by its header. labels: the file beside an idx file that holds them, if any."""

    file: RawFile
    shape: tuple[int, int, int]  # (H, W, C)
    count: int = 1
    split: Split | None = None
    labels: Path | None = None

    @property
    def is_picture(self) -> bool:
        """Whether this is a single PNG or JPEG file."""
        return not (_IDX.match(self.file.path.name) or cifar.is_cifar10(self.file.path))


@dataclass(frozen=True)
class Part:
    """Images that were read from one file, uint8 (N, H, W, C), with what is known of them."""

    name: str
    images: NDArray[np.uint8]
    split: Split | None
    labels: NDArray[np.uint8] | None = None
    names: tuple[str, ...] = ()


def look(file: RawFile, found: Gathered) -> Source | None:
    """What the header of a file says; None for one that is of no use, or that holds labels."""
    path = file.path
    try:
        if match := _IDX.match(path.name):
            return _look_at_idx(file, match, found)
        if path.name == cifar.ARCHIVE:
            return Source(file, (cifar.SIDE, cifar.SIDE, 3), 60_000)
        if cifar.is_cifar10(path):
            return Source(file, (cifar.SIDE, cifar.SIDE, 3), cifar.count_records(path))
        return Source(file, image_shape(path))
    except (SeqgenError, OSError) as problem:
        found.rejected.append(rejected(file, problem))
        return None


def _look_at_idx(file: RawFile, match: re.Match[str], found: Gathered) -> Source | None:
    is_images = match["what"].lower() == "images"
    partner = _partner(file.path, match)
    if not is_images:
        if partner is None:
            found.rejected.append(Rejected(origin=file.origin, reason="labels without the file of their images"))
        return None
    shape = idx_shape(file.path)
    if len(shape) != 3 or 0 in shape:
        raise SeqgenError(
            f"{file.path} holds an array of {len(shape)} axes, {shape}.", "Images: number, rows, columns."
        )
    if partner is None:
        found.notes.append(f"{file.path} has no file of labels beside it")
    part = match["part"].lower()
    named: Split | None = "train" if "train" in part else "test" if "t10k" in part or "test" in part else None
    return Source(file, (shape[1], shape[2], 1), shape[0], file.given or named, partner)


def _partner(path: Path, match: re.Match[str]) -> Path | None:
    """The labels beside a file of images, or the images beside one of labels."""
    start = match.start("what")
    rest = match["rest"]
    if match["what"].lower() == "images":
        other = path.name[:start] + "labels" + rest.replace("3", "1")
    else:
        other = path.name[:start] + "images" + rest.replace("1", "3")
    return next((beside for ending in ("", ".gz") if (beside := path.with_name(other + ending)).is_file()), None)


def rejected(file: RawFile, problem: Exception) -> Rejected:
    """A file that is set aside, with the reason in a phrase that does not repeat its name."""
    said = problem.got if isinstance(problem, SeqgenError) else getattr(problem, "strerror", None) or str(problem)
    reason = said.removeprefix(str(file.path)).lstrip(": ").rstrip(".")
    return Rejected(origin=file.origin, reason=reason or "it cannot be read")


def read_archive(source: Source) -> Iterator[Part]:
    """All images of a file that holds many. Raises SeqgenError for one that is damaged."""
    file, path = source.file, source.file.path
    if cifar.is_cifar10(path):
        for batch in cifar.read_cifar10(path):
            name = batch.name if path.name == cifar.ARCHIVE else ""
            yield Part(
                name, batch.images, file.given or ("test" if batch.is_test else "train"), batch.labels, batch.names
            )
        return
    images = read_idx(path)[..., None]
    labels, names = None, ()
    if source.labels is not None:
        labels = read_idx(source.labels)
        if labels.shape != images.shape[:1]:
            raise SeqgenError(
                f"{path} holds {len(images):,} images, and {source.labels} {' x '.join(map(str, labels.shape))} labels."
            )
        names = tuple(str(number) for number in range(max(10, int(labels.max()) + 1)))
    yield Part("", images, source.split, labels, names)
