"""The last steps of a data set: files into their splits, the comparison with the catalogue, all into its place."""

import csv
import hashlib
import os
from dataclasses import replace
from pathlib import Path

from seqgen_core.data.datasets.entry import Dataset
from seqgen_core.data.datasets.unpack import Unpacked
from seqgen_core.data.fetching.sources import ACCOUNT, Split
from seqgen_core.data.splits import FOLDER_SPLITS
from seqgen_core.errors import SeqgenError
from seqgen_core.files import fsync_directory
from seqgen_core.progress import Progress


def split_by_table(dataset: Dataset, tree: Path, files: list[Unpacked]) -> list[Unpacked]:
    """Move files into folders of their splits, as a table among them says; the tables themselves are left out.

    Raises SeqgenError for a table that says nothing.
    """
    if dataset.table is None:
        return files
    table, column, split_column = dataset.table
    splits = _read_table(tree / table, column, split_column) if (tree / table).is_file() else {}
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


def _read_table(path: Path, column: str, split_column: str) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            for row in csv.DictReader(stream):
                split = FOLDER_SPLITS.get(str(row.get(split_column)).lower())
                if split is not None:
                    splits[str(row.get(column)).rpartition("/")[2]] = split
    except csv.Error as problem:
        raise SeqgenError(f"{path.name} is damaged ({problem}).", "A table of comma-separated values.") from None
    if not splits:
        raise SeqgenError(f"{path.name} names no splits.", f"Columns {column} and {split_column}.")
    return splits


def compare(dataset: Dataset, files: list[Unpacked], unpacked_at: Path | None, progress: Progress) -> None:
    """Refuse what is not all of the data set, with a SeqgenError; of a mirror's folder only warn."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    differs = dataset.tree_sha256 and hashlib.sha256(lines.encode()).hexdigest() != dataset.tree_sha256
    if not files:
        problem = f"{dataset.name} came without any of its files"
    elif dataset.count and len(files) != dataset.count:
        problem = f"{dataset.name} consists of {dataset.count:,} files, and {len(files):,} came"
    elif differs:
        problem = f"{dataset.name} has files that are not those that the catalogue means"
    else:
        return
    if unpacked_at is None or not files:
        raise SeqgenError(f"{problem}.", hint="Run the same command again later.")
    progress.warn(f"{problem} from {unpacked_at}")


def publish(tree: Path, folder: Path) -> None:
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
