"""Finding raw files: which of one kind the inputs hold, and what folders and download lists say about each."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqgen_core.data.fetching.sources import ACCOUNT, Source, read_sources
from seqgen_core.data.splits import FOLDER_SPLITS
from seqgen_core.data.store import Rejected, Split
from seqgen_core.errors import UsageError


@dataclass(frozen=True)
class RawFile:
    """One raw file. origin: its address where it was downloaded, else its path as given. label: its folder's name,
    until `label_files` has given it the one that the settings ask for, or none."""

    path: Path
    origin: str
    given: Split | None
    label: str | None
    size: int
    mtime: int  # nanoseconds

    @property
    def identity(self) -> tuple[str, int, int]:
        """Changes when the file is replaced or written to."""
        return (printable(self.path.absolute()), self.size, self.mtime)


@dataclass
class Found:
    """The files in the order of their names, and what was passed over."""

    files: list[RawFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def find_sources(inputs: Sequence[Path], avoid: Path, is_wanted: Callable[[Path], bool], what: str) -> Found:
    """All files of one kind in some folders (in depth) and files; those that are named are taken whatever their name.

    avoid: a folder that is not searched (where the prepared data go). is_wanted: whether a file is of the kind (it
    may raise OSError); what: the kind in words.
    Raises UsageError where an input does not exist, SeqgenError where an account of downloads is damaged.
    """
    found, search = Found(), _Search(avoid.absolute(), is_wanted)
    roots = {_split_of(Path(path).absolute().name) for path in inputs if Path(path).is_dir()}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            # a folder that was named counts as a split only beside another one: `preprocess data/train data/test`
            root_split = _split_of(path.absolute().name) if len(roots) > 1 else None
            search.folder(path, root_split, found)
        elif path.exists():
            search.file(path, path.parent, None, found)
        else:
            raise UsageError(
                f"The input {printable(path)} does not exist.",
                "Folders or files.",
                "Name them: `seqgen preprocess FOLDER`; `seqgen download` fetches some into data/raw.",
            )
    for count, reason in ((search.hidden, "hidden"), (search.other, f"no {what} by name and content")):
        if count:
            found.notes.append(f"{count} {'file is' if count == 1 else 'files are'} {reason}: skipped")
    found.notes += search.problems
    return found


def visible_folders(
    root: Path, avoid: Path, seen: set[tuple[int, int]], closed: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Each folder from `root` downwards, links followed, with the sorted names of what is no folder in it.

    Passed over: hidden folders, `avoid` (absolute), and those in `seen` (device and inode), to which each is added.
    closed: told of folders that cannot be read.
    """
    for here, folders, names in os.walk(root, followlinks=True, onerror=closed):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen or Path(here).absolute() == avoid:
            folders.clear()  # a link that leads back, or our own output
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(here), sorted(names)


def printable(path: Path | str) -> str:
    """A path as text that can always be encoded; bytes that are not UTF-8 appear as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


class _Search:
    def __init__(self, avoid: Path, is_wanted: Callable[[Path], bool]) -> None:
        self.avoid, self.is_wanted = avoid, is_wanted
        self.hidden, self.other = 0, 0
        self.problems: list[str] = []
        self._seen_folders: set[tuple[int, int]] = set()
        self._seen_files: set[Path] = set()
        self._downloads: dict[Path, dict[Path, Source]] = {}

    def folder(self, root: Path, root_split: Split | None, found: Found) -> None:
        for here, names in visible_folders(root, self.avoid, self._seen_folders, self._closed):
            for name in names:
                path = here / name
                if name == ACCOUNT or (name.startswith(".") and name.endswith(".lock")):
                    continue  # what a download leaves beside its files
                if name.startswith("."):
                    self.hidden += 1
                elif not path.is_file() or not self._of_the_kind(path):
                    self.other += 1
                else:
                    self.file(path, root, root_split, found)

    def file(self, path: Path, root: Path, root_split: Split | None, found: Found) -> None:
        absolute = path.absolute()
        if absolute in self._seen_files:
            return
        self._seen_files.add(absolute)
        status = path.stat()
        below = path.relative_to(root).parent.parts
        folder_split = next((split for part in reversed(below) if (split := _split_of(part))), root_split)
        record = self._record(path, root)
        classes = [part for part in (root.absolute().name, *below) if _split_of(part) is None]
        found.files.append(
            RawFile(
                path=path,
                origin=printable(record.url if record else path),
                given=(record.split if record else None) or folder_split,
                label=printable(classes[-1] if classes else root.absolute().name),
                size=status.st_size,
                mtime=status.st_mtime_ns,
            )
        )

    def _closed(self, problem: OSError) -> None:
        self.problems.append(f"{printable(problem.filename)}: cannot be searched ({problem.strerror}); skipped")

    def _of_the_kind(self, path: Path) -> bool:
        try:
            return self.is_wanted(path)
        except OSError:
            return path.suffix != ""  # it is set aside with the reason when it is read

    def _record(self, path: Path, root: Path) -> Source | None:
        """What the account of downloads in one of the file's folders says about it."""
        folder = path.parent
        while True:
            if folder not in self._downloads:
                self._downloads[folder] = self._read_downloads(folder)
            record = self._downloads[folder].get(path.absolute())
            if record is not None:
                return record
            if folder == root or folder == folder.parent:
                return None
            folder = folder.parent

    @staticmethod
    def _read_downloads(folder: Path) -> dict[Path, Source]:
        return {(folder / source.file).absolute(): source for source in read_sources(folder).values() if source.file}


def _split_of(folder: str) -> Split | None:
    return FOLDER_SPLITS.get(folder.lower())
