"""What the catalogue says of a data set: addresses, checksums, licence, splits, and where each file of it goes."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

from seqgen_core.data.fetching.sources import Split

LISTS = "seqgen_core.data"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
Kind = Literal["sound", "text", "notes", "images"]


class Placed(NamedTuple):
    """Where a file goes in the data set's folder, with / between folders, and the split it belongs to, if any."""

    path: str
    split: Split | None = None


Place = Callable[[str], Placed | None]
"""From a file's name, with the folders before it, to its place; None for one that is left out."""


def flat(name: str) -> Placed | None:
    """Every file under its own name, without folders."""
    return Placed(name.rpartition("/")[2])


@dataclass(frozen=True)
class RemoteFile:
    """One file as it is published. addresses: of the same content, tried in this order. size: bytes, None if unknown.

    sha256, md5: as published, "" where no sum is known for certain. content_sha256: for a .gz, of what is inside, so
    that a copy that was compressed anew is recognised.
    """

    name: str
    addresses: tuple[str, ...]
    size: int | None = None
    sha256: str = ""
    md5: str = ""
    content_sha256: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a published sum to compare it with."""
        return bool(self.sha256 or self.md5)

    @property
    def is_archive(self) -> bool:
        """Whether this is a zip or tar file."""
        return self.name.endswith(ARCHIVES)

    @property
    def is_packed(self) -> bool:
        """Whether this is one file packed by gzip."""
        return self.name.endswith(".gz") and not self.is_archive

    @property
    def content_name(self) -> str:
        """Name without .gz, where that stands for packing alone."""
        return self.name.removesuffix(".gz") if self.is_packed else self.name


@dataclass(frozen=True)
class Dataset:
    """A named data set whose files, or recordings, lie elsewhere.

    kind: of data, and codec: the one that fits it. preprocess: what `seqgen preprocess FOLDER` needs besides.
    splits: how many of `unit` belong to each, or to all where it has none. page: where it is described.
    trees: folders, by name, as which it may lie unpacked somewhere, besides one of its own name.
    place: where each unpacked file goes. table: a CSV file among them, its column of file names, its column of splits.
    count: files in all, 0 if unknown. most_bytes, most_members: more than they are together, by which an unpacking
    without end is recognised. tree_sha256: of the sorted lines "sha256  path" of all files, "" if unknown.
    lists: for each split, the name of a list of addresses in the package's folder `lists`, one recording each.
    """

    name: str
    description: str
    kind: Kind
    codec: str
    licence: str
    page: str
    splits: dict[str, int]
    unit: str
    preprocess: str = ""
    files: tuple[RemoteFile, ...] = ()
    trees: tuple[str, ...] = ()
    place: Place = flat
    table: tuple[str, str, str] | None = None
    count: int = 0
    most_bytes: int = 0
    most_members: int = 20_000
    tree_sha256: str = ""
    lists: dict[Split, str] = field(default_factory=dict)

    @property
    def size(self) -> int | None:
        """Bytes to download, None where they are not known."""
        sizes = [file.size for file in self.files]
        return None if not sizes or None in sizes else sum(size or 0 for size in sizes)

    def addresses(self, split: Split) -> list[str]:
        """The addresses of one split's recordings, in the order of publication; none where whole files are fetched."""
        if split not in self.lists:
            return []
        text = resources.files(LISTS).joinpath("lists", self.lists[split]).read_text(encoding="utf-8")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def next_command(self, folder: Path) -> str:
        """How to go on when it lies in a folder."""
        return " ".join(["seqgen preprocess", shlex.quote(str(folder)), self.preprocess]).rstrip()
