"""A data set, from its name to a folder: every file fetched and compared, unpacked, and all in place in one step.

The folder OUT/NAME appears whole, by a rename, with its account sources.jsonl; until then everything lies in
OUT/.partial/NAME, where the next run goes on. So a kill at any moment leaves the data set done or not begun.
"""

import contextlib
import csv
import datetime
import hashlib
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from seqgen_core.data.datasets.entry import Dataset, RemoteFile
from seqgen_core.data.datasets.mirror import MirrorFolder, is_address
from seqgen_core.data.datasets.unpack import Arrived, Unpacked, Unpacker
from seqgen_core.data.fetching.locks import lock
from seqgen_core.data.fetching.sources import (
    ACCOUNT,
    WORK,
    Source,
    Split,
    is_present,
    read_sources,
    write_sources,
)
from seqgen_core.data.splits import FOLDER_SPLITS
from seqgen_core.errors import SeqgenError
from seqgen_core.files import fsync_directory
from seqgen_core.progress import Progress
from seqgen_core.settings.download import DownloadSettings

UNLIMITED = 1 << 50  # bytes, for recordings in a mirror, whose size nobody states


@dataclass(frozen=True)
class Obtained:
    """A data set that is there. status: "skipped" where it was there before. files, bytes: all that it consists of."""

    dataset: Dataset
    folder: Path
    status: Literal["fetched", "skipped"]
    files: int
    bytes: int


def obtain(dataset: Dataset, settings: DownloadSettings, progress: Progress) -> Obtained:
    """Bring a data set of files into settings.out / its name, unless it is there whole.

    Raises SeqgenError where a file cannot be had, is not the right one or cannot be unpacked, or where the folder holds
    something else; UsageError for a mirror that is none; OSError where the disk fails.
    """
    folder, work = settings.out / dataset.name, settings.out / WORK / dataset.name
    present = _present(folder, settings.check)
    if present is not None and not work.exists():
        return _report(dataset, folder, "skipped", present)
    lock_file = work.with_name(f"{dataset.name}.lock")
    try:
        with lock(lock_file) as held:
            if not held:
                raise SeqgenError(f"Another process is fetching {dataset.name}.", hint="Run again when that has ended.")
            present = _present(folder, settings.check)  # another process may just have fetched it
            status: Literal["fetched", "skipped"] = "skipped"
            if present is None:
                status = "fetched"
                _demand_own(folder)
                with _scaffold(work) as tree:
                    present = _build(dataset, settings, work, tree, progress)
                    _publish(tree, folder)
            shutil.rmtree(work, ignore_errors=True)  # also what a run left that was killed at its very end
            lock_file.unlink(missing_ok=True)
            return _report(dataset, folder, status, present)
    finally:
        with contextlib.suppress(OSError):
            work.parent.rmdir()  # unless others are at work, or something partial is left


@contextlib.contextmanager
def _scaffold(work: Path) -> Generator[Path]:
    """An empty folder in which the data set is put together; what was fetched for it stays where that fails."""
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    try:
        yield tree
    finally:
        shutil.rmtree(tree, ignore_errors=True)
        for folder in (*(path for path in work.iterdir() if path.is_dir()), work):
            with contextlib.suppress(OSError):
                folder.rmdir()  # where nothing was fetched
        if not work.exists():
            work.with_name(f"{work.name}.lock").unlink(missing_ok=True)


def _report(dataset: Dataset, folder: Path, status: Literal["fetched", "skipped"], sources: list[Source]) -> Obtained:
    return Obtained(dataset, folder, status, len(sources), sum(source.bytes or 0 for source in sources))


def _present(folder: Path, check: bool) -> list[Source] | None:
    """What the account of a folder says, where all of it is there."""
    sources = list(read_sources(folder).values())
    return sources if sources and all(is_present(source, folder, check) for source in sources) else None


def _demand_own(folder: Path) -> None:
    """Refuse to touch a folder that this program did not make."""
    if folder.exists() and not (folder / ACCOUNT).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise SeqgenError(
            f"{folder} is there already, and no download made it (it holds no {ACCOUNT}).",
            hint="Move it away, or choose another folder with --out.",
        )


def _build(dataset: Dataset, settings: DownloadSettings, work: Path, tree: Path, progress: Progress) -> list[Source]:
    """Fill the folder `tree` with the files of a data set and their account."""
    unpacker = Unpacker(
        tree,
        dataset.place,
        dataset.most_bytes or UNLIMITED,
        dataset.most_members,
        watch=lambda written: progress.update(written / 1e6),
    )
    arrived, unpacked_at = _arrive(dataset, settings, work, progress)
    progress.begin(f"unpacking {dataset.name}", None, "MB")
    try:
        if unpacked_at is not None:
            unpacker.tree(unpacked_at)
        for file in arrived:
            unpacker.take(file)
    finally:
        progress.end()
    files = _split_by_table(dataset, tree, unpacker.files)
    _compare(dataset, files, unpacked_at, progress)
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    sources = [
        Source(
            file.origin,
            "fetched",
            file.split,
            webpage_url=dataset.page,
            licence=dataset.licence,
            sha256=file.sha256,
            bytes=file.size,
            file=file.path,
            listed_in=dataset.name,
            when=when,
        )
        for file in files
    ]
    write_sources(tree, sources)
    return sources


def _arrive(
    dataset: Dataset, settings: DownloadSettings, work: Path, progress: Progress
) -> tuple[list[Arrived], Path | None]:
    """The published files on this machine, or the folder of a mirror in which they lie unpacked."""
    if settings.mirror is None or is_address(settings.mirror):
        from seqgen_core.data.datasets.fetch_all import fetch_all

        return fetch_all(dataset, settings, work, progress), None
    mirror = MirrorFolder(Path(settings.mirror).expanduser(), dataset)
    found = {file.name: mirror.file(file) for file in dataset.files}
    there = [_arrived(file, *at) for file in dataset.files if (at := found[file.name]) is not None]
    if there and len(there) == len(dataset.files):
        return there, None
    if (tree := mirror.tree()) is not None:
        return [], tree
    missing = [name for name, at in found.items() if at is None]
    lacking = f"no {' and no '.join(missing)} and " if missing else ""
    raise SeqgenError(
        f"The mirror {settings.mirror} holds {lacking}no folder {dataset.name} with its files.",
        hint="Leave --mirror out to fetch it from its publisher.",
    )


def _arrived(file: RemoteFile, path: Path, name: str) -> Arrived:
    """A file of a mirror; one that a checksum proves to be the published one is said to come from its publisher."""
    proven = file.is_known if name == file.name else bool(file.content_sha256)
    return Arrived(path, name, file.addresses[0] if proven else str(path))


def _split_by_table(dataset: Dataset, tree: Path, files: list[Unpacked]) -> list[Unpacked]:
    """Move files into folders of their splits, as a table among them says; the tables themselves are left out."""
    if dataset.table is None:
        return files
    table, column, split_column = dataset.table
    splits: dict[str, Split] = {}
    if (tree / table).is_file():
        with (tree / table).open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                split = FOLDER_SPLITS.get(str(row.get(split_column)).lower())
                if split is not None:
                    splits[str(row.get(column)).rpartition("/")[2]] = split
    placed: list[Unpacked] = []
    for file in files:
        split = splits.get(file.path)
        if file.path.endswith(".csv"):
            (tree / file.path).unlink()
        elif split is None:
            placed.append(file)
        else:
            (tree / split).mkdir(exist_ok=True)
            (tree / file.path).rename(tree / split / file.path)
            placed.append(replace(file, path=f"{split}/{file.path}", split=split))
    return placed


def _compare(dataset: Dataset, files: list[Unpacked], unpacked_at: Path | None, progress: Progress) -> None:
    """Refuse what is not all of the data set; of a mirror's folder only say so."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    differs = dataset.tree_sha256 and hashlib.sha256(lines.encode()).hexdigest() != dataset.tree_sha256
    if not files:
        problem = f"{dataset.name} came without any of its files"
    elif dataset.count and len(files) != dataset.count:
        problem = f"{dataset.name} consists of {dataset.count:,} files, and {len(files):,} came"
    elif differs:
        problem = f"the files of {dataset.name} are not those that the catalogue means"
    else:
        return
    if unpacked_at is None or not files:
        raise SeqgenError(f"{problem[0].upper()}{problem[1:]}.", hint="Run the same command again later.")
    progress.warn(f"{problem} from {unpacked_at}")


def _publish(tree: Path, folder: Path) -> None:
    """Put a finished folder in its place; where an older one stands there, file by file, the account last."""
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
    _settle(tree)
    if not folder.exists():
        tree.rename(folder)
        fsync_directory(folder.parent)
        return
    files = sorted(path for path in tree.rglob("*") if path.is_file() and path != tree / ACCOUNT)
    for path in [*files, tree / ACCOUNT]:
        target = folder / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    fsync_directory(folder)


def _settle(tree: Path) -> None:
    """Have all files written to the disk before they get their names."""
    if hasattr(os, "sync"):
        os.sync()  # once for tens of thousands of files
        return
    for path in tree.rglob("*"):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
