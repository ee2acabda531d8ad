"""sources.jsonl: the account of what was asked for, what came, and why the rest did not.

One JSON object a line, one line an address. While a run goes on, lines are appended and the last line about an address
counts; at its end the file is rewritten whole, without the older ones. Both happen under a lock between processes.
A line that a crash cut short is left out on reading and cut off before the next line is written.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO, Literal

from seqgen_core.data.fetching.locks import lock
from seqgen_core.errors import SeqgenError
from seqgen_core.files import write_bytes_atomically

ACCOUNT = "sources.jsonl"
LOCK = ".sources.lock"
PATIENCE = 60.0  # seconds for another process to finish one line
BLOCK = 1 << 20  # bytes

WORK = ".partial"
"""Folder in that of a download where what is not complete lies."""
BODY = "body"
"""Name there of a file that came whole."""

Split = Literal["train", "valid", "test"]


def key_of(url: str) -> str:
    """12 hexadecimal digits that stand for an address in file names; base names and ids may be shared."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True)
class Source:
    """One address and what became of it.

    status: "fetched" (the file is complete and decodes), "failed" (see `reason`), "listed" (a playlist or feed, whose
    items have lines of their own). split: what its list says, None where it says nothing. seconds: as decoded.
    file: name within the folder. when: UTC, ISO 8601.
    """

    url: str
    status: Literal["fetched", "failed", "listed"]
    split: Split | None = None
    webpage_url: str | None = None
    id: str | None = None
    title: str | None = None
    uploader: str | None = None
    licence: str | None = None
    duration: float | None = None
    sha256: str | None = None
    bytes: int | None = None
    file: str | None = None
    reason: str | None = None
    next_step: str | None = None
    listed_in: str | None = None
    when: str | None = None


_FIELDS = {field.name for field in fields(Source)}


def read_sources(folder: Path) -> dict[str, Source]:
    """Address to its newest line, in order of first appearance; empty where there is no account.

    Raises SeqgenError for a line that is no account of an address, OSError where the file cannot be read.
    """
    return dict(Account(folder).read())


def write_sources(folder: Path, sources: Iterable[Source]) -> None:
    """Write the account of a folder anew, one line an address. Raises OSError."""
    write_bytes_atomically(folder / ACCOUNT, b"".join(map(_line, sources)))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def is_present(source: Source | None, folder: Path, check: bool) -> bool:
    """Whether the file of a fetched source is there with its size and, where `check`, its SHA-256."""
    if source is None or source.status != "fetched" or source.file is None:
        return False
    path = folder / source.file
    try:
        return path.stat().st_size == source.bytes and (not check or sha256_of(path) == source.sha256)
    except OSError:
        return False


class Account:
    """The account of one folder, shared by threads and by processes. Reading goes on where it ended the last time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ACCOUNT
        self._lock = folder / LOCK
        self._mutex = threading.Lock()
        self._known: dict[str, Source] = {}
        self._file, self._offset = 0, 0  # which file was read (another process may replace it), and how far

    def read(self) -> dict[str, Source]:
        """All sources by address, with what other processes have added. Raises like `read_sources`."""
        with self._mutex:
            try:
                state = self._path.stat()
            except FileNotFoundError:
                self._known, self._offset = {}, 0
                return self._known
            if state.st_ino != self._file or state.st_size < self._offset:
                self._known, self._offset, self._file = {}, 0, state.st_ino
            if state.st_size > self._offset:
                with self._path.open("rb") as stream:
                    stream.seek(self._offset)
                    lines, newline, _torn = stream.read().rpartition(b"\n")
                self._take(lines)
                self._offset += len(lines) + len(newline)
            return self._known

    def record(self, source: Source) -> None:
        """Append one line durably. Raises OSError, or SeqgenError when another process holds the account too long."""
        with lock(self._lock, PATIENCE) as held:
            self._demand(held)
            with self._path.open("ab+") as stream:
                _cut_torn_line(stream)
                stream.write(_line(source))
                stream.flush()
                os.fsync(stream.fileno())

    def tidy(self) -> None:
        """Rewrite the account with one line an address. Raises like `record`."""
        with lock(self._lock, PATIENCE) as held:
            self._demand(held)
            if sources := dict(self.read()):
                write_sources(self._path.parent, sources.values())

    def _take(self, lines: bytes) -> None:
        for line in lines.split(b"\n"):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                source = Source(**{name: value for name, value in values.items() if name in _FIELDS})
            except (ValueError, TypeError, AttributeError) as error:
                raise SeqgenError(
                    f"{self._path} holds a line that is no account of a source: {line[:60]!r}.",
                    "Each line is one JSON object with url and status.",
                    f"Take the line out, or move {self._path} away: everything is then fetched again.",
                ) from error
            self._known[source.url] = source

    def _demand(self, held: bool) -> None:
        if not held:
            raise SeqgenError(
                f"Another process has held {self._path} for over {PATIENCE:g} seconds.",
                hint="End the other `seqgen download`, or choose another folder with --out.",
            )


def _line(source: Source) -> bytes:
    text = json.dumps(asdict(source), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate becomes its JSON escape


def _cut_torn_line(stream: BinaryIO) -> None:
    end = stream.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    stream.truncate(end)
    stream.seek(0, os.SEEK_END)
