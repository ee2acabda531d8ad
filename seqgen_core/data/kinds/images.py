"""Images: MNIST's idx files, CIFAR-10's binary files, PNG and JPEG; each image is one recording of pixels.

All images of one set of data have one size: with `image_size` they are scaled to it, without it the size that most of
them have is taken and the others are set aside. They are grey where all are, or where `grey` says so.
Axes: N images, H rows, W columns, C colours.
"""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from seqgen_core.data.discover import RawFile
from seqgen_core.data.kinds.base import Gathered, Recording
from seqgen_core.data.kinds.image_sources import Part, Source, look, read_archive, rejected
from seqgen_core.data.store import Rejected, Split
from seqgen_core.data.workers import Crashed, run_all
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.images.codec import PixelsCodec
from seqgen_core.images.files import read_image, scaled, with_channels
from seqgen_core.progress import Progress
from seqgen_core.settings.codec import PixelsCodecSettings
from seqgen_core.settings.preprocess import PreprocessSettings

_MOST_SIDE = 4096  # pixels, the bound of PixelsCodecSettings
_AT_A_TIME = 4096  # images turned into tokens at once, for memory's sake
_A_TASK = 64  # pictures that a process reads at a time
_WORTH_A_PROCESS = 100_000_000  # pixels below which starting processes takes longer than reading


def gather(settings: PreprocessSettings, files: Sequence[RawFile], progress: Progress) -> Gathered:
    """All images of the files as tokens, views into one array on disk; what is damaged or of another size is set aside.

    MNIST's and CIFAR-10's own splits and labels are kept; pictures have the labels that their files were given.
    Raises SeqgenError where images have many sizes and none is the size of at least half, UsageError for levels or an
    image_size that images cannot have.
    """
    if (settings.levels or 0) > 256:
        raise UsageError(f"levels = {settings.levels}; images have 2 to 256.", hint="Leave it out for 256.")
    found = Gathered(PixelsCodecSettings(height=1, width=1))
    sources = [source for file in files if (source := look(file, found)) is not None]
    sources = _of_one_size(settings, sources, found)
    if not sources:
        return found
    height, width = _wanted(settings) or sources[0].shape[:2]
    channels = 1 if settings.grey or all(source.shape[2] == 1 for source in sources) else 3
    found.codec = PixelsCodecSettings(height=height, width=width, channels=channels, levels=settings.levels or 256)
    if channels == 3 and (grey := sum(source.count for source in sources if source.shape[2] == 1)):
        found.notes.append(f"{grey:,} grey images among those of colour are given three equal colours")
    settings.out.mkdir(parents=True, exist_ok=True)
    progress.begin("images", sum(source.count for source in sources), "images")
    try:
        with tempfile.TemporaryFile(dir=settings.out) as spool:
            reading = _Reading(found, PixelsCodec(found.codec), spool, progress)
            for source in sources:
                if not source.is_picture:
                    reading.archive(source)
            reading.pictures([source for source in sources if source.is_picture], settings.jobs)
            reading.finish()
    finally:
        progress.end()
    return found


def _wanted(settings: PreprocessSettings) -> tuple[int, int] | None:
    if settings.image_size is None:
        return None
    height, width = (int(side) for side in settings.image_size.split("x"))
    if max(height, width) > _MOST_SIDE:
        raise UsageError(f"image_size = {settings.image_size}.", f"At most {_MOST_SIDE}x{_MOST_SIDE}.")
    return height, width


def _of_one_size(settings: PreprocessSettings, sources: list[Source], found: Gathered) -> list[Source]:
    """The sources whose images have the size of most, or all where they will be scaled."""
    if _wanted(settings) or not sources:
        return sources
    counts: Counter[tuple[int, int]] = Counter()
    for source in sources:
        counts[source.shape[:2]] += source.count
    (size, most), total = counts.most_common(1)[0], counts.total()
    expected = f"{size[0]} x {size[1]}"
    odd = [source for source in sources if source.shape[:2] != size]
    if most * 2 < total:
        shown = odd[0]
        raise SeqgenError(
            f"{total:,} images have {len(counts):,} sizes: {shown.file.path} is {shown.shape[0]} x {shown.shape[1]}, "
            f"where {expected} was expected, as {most:,} are (height x width).",
            "Images of one size.",
            f"Scale all to one: image_size={size[0]}x{size[1]}, for example.",
        )
    if max(size) > _MOST_SIDE:
        raise SeqgenError(
            f"{sources[0].file.path} is {expected} (height x width).",
            f"At most {_MOST_SIDE} pixels a side.",
            "Scale all: image_size=64x64, for example.",
        )
    for source in odd:
        reason = f"it is {source.shape[0]} x {source.shape[1]}; {expected} was expected, as most are; see image_size"
        found.rejected.append(Rejected(origin=source.file.origin, reason=reason))
    return [source for source in sources if source.shape[:2] == size]


class _Reading:
    """Images on their way into tokens: rows of a file on disk, and a recording for each."""

    def __init__(self, found: Gathered, codec: PixelsCodec, spool: IO[bytes], progress: Progress) -> None:
        self._found, self._codec, self._spool, self._progress = found, codec, spool, progress
        self._rows = 0
        self._facts: list[tuple[str, str, Split | None, str | None]] = []  # origin, content, split, label
        self._schemes: set[tuple[str, ...]] = set()

    def archive(self, source: Source) -> None:
        """All images of an idx file or of CIFAR-10's, or the reason why not."""
        try:
            for part in read_archive(source):
                if part.names:
                    self._schemes.add(part.names)
                self._add(source.file, part)
        except SeqgenError as problem:
            self._found.rejected.append(rejected(source.file, problem))

    def pictures(self, sources: list[Source], jobs: int) -> None:
        """Single pictures, read side by side where that is worth it."""
        pixels = sum(source.shape[0] * source.shape[1] for source in sources)
        tasks = [sources[start : start + _A_TASK] for start in range(0, len(sources), _A_TASK)]
        wanted = min(jobs or os.cpu_count() or 1, len(tasks)) if pixels > _WORTH_A_PROCESS else 1
        read = partial(_read_pictures, shape=self._codec.shape)
        paths = [[source.file.path for source in task] for task in tasks]
        results: dict[int, list[NDArray[np.uint8] | str]] = {}
        following = 0
        for done in run_all(read, paths, max(1, wanted)):
            crashed = isinstance(done.result, Crashed)
            results[done.number] = ["its decoder crashed"] * len(tasks[done.number]) if crashed else done.result
            while following in results:  # in the order of the files, however they come
                for source, result in zip(tasks[following], results.pop(following), strict=True):
                    self._take(source, result)
                following += 1

    def _take(self, source: Source, result: NDArray[np.uint8] | str) -> None:
        file = source.file
        if isinstance(result, str):
            self._found.rejected.append(Rejected(origin=file.origin, reason=result))
        else:
            self._add(file, Part("", result[None], file.given), file.label)

    def _add(self, file: RawFile, part: Part, label: str | None = None) -> None:
        origin = f"{file.origin} ({part.name})" if part.name else file.origin
        for start in range(0, len(part.images), _AT_A_TIME):
            images = part.images[start : start + _AT_A_TIME]
            fitted = np.ascontiguousarray(_fitted(images, self._codec.shape))
            self._spool.write(self._codec.encode_all(fitted).data)
            for place, image in enumerate(fitted, start):
                name = label if part.labels is None else part.names[part.labels[place]]
                one = origin if len(part.images) == 1 else f"{origin}, image {place + 1:,}"
                self._facts.append((one, hashlib.sha256(image).hexdigest(), part.split, name))
            self._rows += len(images)
            self._progress.update(self._rows)

    def finish(self) -> None:
        """Hand over the recordings, views into the file, which lives as long as they do."""
        if not self._rows:
            return
        self._spool.flush()
        shape = (self._rows, self._codec.length)
        tokens = np.asarray(np.memmap(self._spool, self._codec.dtype, "r", shape=shape))
        self._found.recordings += [Recording(row, *facts) for row, facts in zip(tokens, self._facts, strict=True)]
        if len(self._schemes) == 1:
            (self._found.label_names,) = self._schemes


def _fitted(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Images (N, H, W, C) of any size, grey or of colour, as images (N, *shape)."""
    images = with_channels(images, shape[2])
    if images.shape[1:3] == shape[:2]:
        return images
    return np.stack([scaled(image, *shape[:2]) for image in images])


def _read_pictures(paths: list[Path], shape: tuple[int, int, int]) -> list[NDArray[np.uint8] | str]:
    """Pictures as images of one shape, or the reason why not."""
    results: list[NDArray[np.uint8] | str] = []
    for path in paths:
        try:
            results.append(_fitted(read_image(path)[None], shape)[0])
        except SeqgenError as problem:
            results.append(problem.got.removeprefix(f"{path}: ").rstrip("."))
    return results
