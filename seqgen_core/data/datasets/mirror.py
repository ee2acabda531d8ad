"""Mirrors: other places from which the files of a data set are taken, a folder or a base address.

A base address B, beginning with http:// or https://, is asked for B/NAME/FILE and, where that is missing, for B/FILE;
NAME is the data set's name, FILE the file's name in the catalogue.
A folder D holds the file as D/NAME/FILE, or under the name FILE anywhere below D; of several, those less deep come
first, then those first by name, and the first counts whose checksum is right. A file that is published as FILE.gz may
lie there unpacked, as FILE. Where a file is missing, the data set may lie there unpacked: as the folder D/NAME, or
below D, or D itself, under its name or a name that its archive gives it; the first such folder that holds any of its
files counts. Hidden folders are not searched.
Checksums hold for mirrors too. Of a folder that is unpacked, only the number of its files is compared, and what of
them is known by a checksum.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from seqgen_core.data.datasets.entry import Dataset, RemoteFile
from seqgen_core.errors import SeqgenError, UsageError


def is_address(mirror: str) -> bool:
    """Whether a mirror is a base address rather than a folder."""
    return mirror.lower().startswith(("http://", "https://"))


def mirrored_addresses(base: str, dataset: Dataset, file: RemoteFile) -> tuple[str, ...]:
    """Where a base address may hold a file."""
    base = base.rstrip("/")
    return (f"{base}/{dataset.name}/{file.name}", f"{base}/{file.name}")


class MirrorFolder:
    """A folder that holds one data set, among other things. Raises UsageError where it is none."""

    def __init__(self, root: Path, dataset: Dataset) -> None:
        if not root.is_dir():
            raise UsageError(
                f"The mirror {root} is no folder.", "A folder, or an address that begins with http:// or https://."
            )
        self._root, self._dataset = root, dataset
        self._files: dict[str, list[Path]] = defaultdict(list)
        self._folders: dict[str, list[Path]] = defaultdict(list)
        self._look()

    def file(self, file: RemoteFile) -> tuple[Path, str] | None:
        """A file and the name that it has there, None where there is none.

        Raises SeqgenError where there are some and none is the one that the catalogue means.
        """
        from seqgen_core.data.datasets.transfer import difference

        wrong = ""
        for name in dict.fromkeys((file.name, file.content_name)):
            meant = file if name == file.name else RemoteFile(name, (), sha256=file.content_sha256)
            for path in self._nearest(self._files[name]):
                reason = difference(meant, path, self._dataset.most_bytes)
                if reason is None:
                    return path, name
                wrong = wrong or f"{path} is not the file of {self._dataset.name}: {reason}."
        if wrong:
            raise SeqgenError(wrong, hint="Take it out of the mirror, or leave --mirror out.")
        return None

    def tree(self) -> Path | None:
        """The folder in which the data set lies unpacked, None where there is none."""
        names = (self._dataset.name, *self._dataset.trees)
        named = [self._root] if self._root.absolute().name in names else []
        for folder in [*named, *(path for name in names for path in self._nearest(self._folders[name]))]:
            if any(self._dataset.place(path.relative_to(folder).as_posix()) for path in _visible(folder)):
                return folder
        return None

    def _look(self) -> None:
        files = {name for file in self._dataset.files for name in (file.name, file.content_name)}
        folders = {self._dataset.name, *self._dataset.trees}
        for here, below, names in os.walk(self._root):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in below:
                if name in folders:
                    self._folders[name].append(Path(here) / name)
            for name in names:
                if name in files:
                    self._files[name].append(Path(here) / name)

    def _nearest(self, paths: list[Path]) -> list[Path]:
        own = self._root / self._dataset.name
        return sorted(paths, key=lambda path: (path != own and path.parent != own, len(path.parts), str(path)))


def _visible(folder: Path) -> Iterator[Path]:
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(here) / name for name in sorted(names) if not name.startswith("."))
