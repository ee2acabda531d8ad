"""A data set, from its name to a folder: every file fetched and compared, unpacked, and all in place in one step.

The folder OUT/NAME appears whole, by a rename, with its account sources.jsonl; until then everything lies in
OUT/.partial/NAME, where the next run goes on. So a kill at any moment leaves the data set done or not begun.
"""

import contextlib
import datetime
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqgen_core.data.datasets.assemble import compare, publish, split_by_table
from seqgen_core.data.datasets.entry import Dataset, RemoteFile
from seqgen_core.data.datasets.mirror import MirrorFolder, is_address
from seqgen_core.data.datasets.unpack import Arrived, Unpacker
from seqgen_core.data.fetching.locks import lock
from seqgen_core.data.fetching.sources import (
    ACCOUNT,
    BODY,
    WORK,
    Source,
    is_present,
    read_sources,
    write_sources,
)
from seqgen_core.errors import SeqgenError
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
                with _scaffold(work, dataset) as tree:
                    present = _build(dataset, settings, work, tree, progress)
                    publish(tree, folder)
            shutil.rmtree(work, ignore_errors=True)  # also what a run left that was killed at its very end
            lock_file.unlink(missing_ok=True)
            return _report(dataset, folder, status, present)
    finally:
        with contextlib.suppress(OSError):
            work.parent.rmdir()  # unless others are at work, or something partial is left


@contextlib.contextmanager
def _scaffold(work: Path, dataset: Dataset) -> Generator[Path]:
    """An empty folder in which the data set is put together.

    Where that fails, what was fetched stays for the next run, but for whole files that no checksum vouches for.
    """
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    try:
        yield tree
    except SeqgenError:
        for file in dataset.files:
            if not file.is_known and (work / file.name / BODY).is_file():
                shutil.rmtree(work / file.name, ignore_errors=True)
        raise
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
    files = split_by_table(dataset, tree, unpacker.files)
    compare(dataset, files, unpacked_at, progress)
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
