"""Unpacking archives of strangers: nothing leaves the folder, nothing grows without end, nothing damaged passes.

Members whose names lead out of the folder make the whole archive refused. Of the rest only those that the data set
asks for are written, as plain files: a link or device in their place is refused as well, and so are two members for
one place. Sizes that an archive states are not believed: what is written is counted.
"""

import bz2
import gzip
import hashlib
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

from seqgen_core.data.datasets.entry import Place, Placed, RemoteFile
from seqgen_core.data.fetching.sources import Split
from seqgen_core.errors import SeqgenError

BLOCK = 1 << 20  # bytes
LARGEST_RATIO = 150  # unpacked bytes for each packed one; text packs to a fifth, an image of zeros to a thousandth
LARGEST_HEADER = 1 << 26  # bytes that tarfile may ask for at once
_SLACK = 1.1  # of the size and number that a data set may have above what the catalogue states
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGE = (
    *(EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile),
    *(NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError, OverflowError),
)


_TOO_MUCH = "it unpacks to more than the data set can have"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Arrived:
    """One published file on this machine. name: its own, which tells how it is packed. origin: where it is from."""

    path: Path
    name: str
    origin: str


@dataclass(frozen=True)
class Unpacked:
    """One file that was written: its name in the folder, with / between folders, its split, and where it is from."""

    path: str
    split: Split | None
    origin: str
    size: int
    sha256: str


class Unpacker:
    """Unpacks the files of one data set into a folder of its own.

    most_bytes, most_members: more than all its files together are. watch: told of the bytes written; it may raise.
    """

    def __init__(
        self,
        into: Path,
        place: Place,
        most_bytes: int,
        most_members: int,
        watch: Callable[[int], None] = lambda written: None,
    ) -> None:
        self._into, self._place, self._watch = into, place, watch
        self._most_bytes, self._most_members = int(most_bytes * _SLACK) + BLOCK, int(most_members * _SLACK)
        self._taken: dict[str, str] = {}
        self.written = 0
        self.files: list[Unpacked] = []

    def take(self, file: Arrived) -> None:
        """The wanted members of a zip or tar file, the content of another .gz, or a copy of any other file.

        Raises SeqgenError for one that is damaged or not to be trusted, OSError where the disk fails.
        """
        how = RemoteFile(file.name, ())
        with _told_plainly(file.name):
            if how.is_archive and file.name.endswith(".zip"):
                self._zip(file)
            elif how.is_archive:
                self._tar(file)
            elif (placed := self._placed(how.content_name, file.name)) is not None:
                with gzip.open(file.path) if how.is_packed else file.path.open("rb") as stream:
                    self._write(stream, placed, file, file.origin, packed=how.is_packed)

    def tree(self, root: Path) -> None:
        """Copies of the wanted files of a folder, in depth; hidden ones are passed over. Raises like `take`."""
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            hidden = any(part.startswith(".") for part in name.split("/"))
            if path.is_file() and not hidden and (placed := self._placed(name, str(root))) is not None:
                file = Arrived(path, name, str(path))
                with _told_plainly(name), path.open("rb") as stream:
                    self._write(stream, placed, file, file.origin, packed=False)

    def _zip(self, file: Arrived) -> None:
        with zipfile.ZipFile(file.path) as archive:
            members = archive.infolist()
            self._count(len(members), file)
            for member in members:
                inner = safe_name(member.filename, file.name)
                if member.is_dir() or (placed := self._placed(inner, file.name)) is None:
                    continue
                if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                    raise _refused(file.name, f"{member.filename!r} is no plain file")
                if member.flag_bits & 1:
                    raise _refused(file.name, "it is locked by a password")
                with archive.open(member) as stream:
                    self._write(stream, placed, file, f"{file.origin}#{inner}", packed=True)

    def _tar(self, file: Arrived) -> None:
        opener = next((opener for suffix, opener in _OPENERS.items() if file.name.endswith(suffix)), open)
        with opener(file.path, "rb") as raw:
            counted = _Counted(raw, LARGEST_RATIO * file.path.stat().st_size + BLOCK, file.name)
            with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|") as archive:
                for number, member in enumerate(archive, start=1):
                    self._count(number, file)
                    inner = safe_name(member.name, file.name)
                    if member.isdir() or (placed := self._placed(inner, file.name)) is None:
                        continue
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise _refused(file.name, f"{member.name!r} is no plain file")
                    self._write(content, placed, file, f"{file.origin}#{inner}", packed=True)
            while counted.read():  # to the end, where the checksum of the packing stands
                pass

    def _count(self, members: int, file: Arrived) -> None:
        if members > self._most_members:
            raise _refused(file.name, f"it has more than the {self._most_members:,} members that the data set may have")

    def _placed(self, inner: str, name: str) -> Placed | None:
        """Where a file goes, if anywhere; its place is taken from now on."""
        placed = self._place(inner)
        if placed is None or not safe_name(placed.path, name):
            return None
        key = placed.path.casefold()  # some file systems know no capitals
        if key in self._taken:
            raise _refused(name, f"{inner!r} and {self._taken[key]!r} have one place")
        self._taken[key] = inner
        return placed

    def _write(self, stream: _Readable, placed: Placed, file: Arrived, origin: str, *, packed: bool) -> None:
        target = self._into.joinpath(*placed.path.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        most = self._most_bytes - self.written
        if packed:
            most = min(most, LARGEST_RATIO * file.path.stat().st_size + BLOCK)
        with target.open("xb") as output:
            while block := stream.read(BLOCK):
                size += len(block)
                if size > most:
                    raise _refused(file.name, _TOO_MUCH)
                output.write(block)
                digest.update(block)
                self.written += len(block)
                self._watch(self.written)
        self.files.append(Unpacked(placed.path, placed.split, origin, size, digest.hexdigest()))


class _Counted:
    """What tarfile reads through: it ends in an error where an archive unpacks without end."""

    def __init__(self, stream: _Readable, most: int, name: str) -> None:
        self._stream, self._left, self._name = stream, most, name

    def read(self, size: int = BLOCK) -> bytes:
        data = self._stream.read(min(size, LARGEST_HEADER))
        self._left -= len(data)
        if self._left < 0:
            raise _refused(self._name, _TOO_MUCH)
        return data


def safe_name(name: str, archive: str) -> str:
    """A member's name without a leading "./". Raises SeqgenError where it leads anywhere but into the folder."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise _refused(archive, f"the name {name!r} leads out of the folder")
    return "/".join(part for part in parts if part not in ("", "."))


def _refused(archive: str, why: str) -> SeqgenError:
    return SeqgenError(
        f"{archive} is not unpacked: {why}.",
        "The archive as it was published.",
        "Do not trust where it came from; without --mirror it is fetched from its publisher.",
    )


@contextmanager
def _told_plainly(archive: str) -> Generator[None]:
    """Errors of damaged archives as SeqgenErrors; those of the disk pass."""
    try:
        yield
    except _DAMAGE as problem:
        raise _damaged(archive, problem) from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _refused(archive, "it has two files, or a file and a folder, of one name") from None
    except OSError as problem:
        if problem.errno is not None:
            raise
        raise _damaged(archive, problem) from None  # so bz2 says that a stream is invalid


def _damaged(archive: str, problem: Exception) -> SeqgenError:
    said = " ".join(str(problem).split())[:80] or type(problem).__name__
    return SeqgenError(
        f"{archive} is damaged or cut short ({said}).", "A whole archive.", "Run the same command again."
    )


def content_sha256(path: Path, most_bytes: int) -> str:
    """SHA-256 of what a .gz holds; "" where it is damaged or holds more than so many bytes."""
    digest, size = hashlib.sha256(), 0
    try:
        with gzip.open(path) as stream:
            while block := stream.read(BLOCK):
                size += len(block)
                if size > most_bytes:
                    return ""
                digest.update(block)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return ""
    return digest.hexdigest()
