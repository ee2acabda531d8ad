"""sources.jsonl: the account of what was asked for, what came, and why the rest did not.

One JSON object a line, one line an address. While a run goes on, lines are appended and the last line about an address
counts; at its end the file is rewritten whole, without the older ones. Both happen under a lock between processes.
A line that a crash cut short is left out on reading and cut off before the next line is written.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from seqgen_core.data.fetching.locks import lock
from seqgen_core.errors import SeqgenError
from seqgen_core.files import write_bytes_atomically

ACCOUNT = "sources.jsonl"
LOCK = ".sources.lock"
PATIENCE = 60.0  # seconds for another process to finish one line
BLOCK = 1 << 20  # bytes

Split = Literal["train", "test"]


def key_of(url: str) -> str:
    """12 hexadecimal digits that stand for an address in file names: never its base name, which other addresses share."""
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

    Raises SeqgenError for a line in the middle that is no account of an address, OSError where the file cannot be read.
    """
    path = folder / ACCOUNT
    if not path.exists():
        return {}
    found: dict[str, Source] = {}
    *lines, torn = path.read_bytes().split(b"\n")
    del torn  # empty, or cut short by a crash
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            source = Source(**{name: value for name, value in values.items() if name in _FIELDS})
        except (ValueError, TypeError, AttributeError) as error:
            raise SeqgenError(
                f"Line {number} of {path} is no account of a source.",
                "Each line is one JSON object with url and status.",
                f"Take the line out, or move {path} away: everything is then fetched again.",
            ) from error
        found[source.url] = source
    return found


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


def record(folder: Path, source: Source) -> None:
    """Append one line durably. Raises OSError, or SeqgenError when another process holds the account too long."""
    path = folder / ACCOUNT
    with lock(folder / LOCK, PATIENCE) as held:
        _demand(held, path)
        with path.open("ab+") as stream:
            _cut_torn_line(stream)
            stream.write(_line(source))
            stream.flush()
            os.fsync(stream.fileno())


def tidy(folder: Path) -> None:
    """Rewrite the account with one line an address. Raises like `record`."""
    path = folder / ACCOUNT
    with lock(folder / LOCK, PATIENCE) as held:
        _demand(held, path)
        if path.exists():
            write_bytes_atomically(path, b"".join(_lines(read_sources(folder).values())))


def _lines(sources: Iterable[Source]) -> Iterable[bytes]:
    return (_line(source) for source in sources)


def _line(source: Source) -> bytes:
    text = json.dumps(asdict(source), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate becomes its JSON escape


def _cut_torn_line(stream) -> None:
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


def _demand(held: bool, path: Path) -> None:
    if not held:
        raise SeqgenError(
            f"Another process has held {path} for over {PATIENCE:g} seconds.",
            hint="End the other `seqgen download`, or choose another folder with --out.",
        )
