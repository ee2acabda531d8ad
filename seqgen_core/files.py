"""Writing to disk so that a crash or a kill leaves either the old content or the new, never half."""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp-"
"""What the names of unfinished files and folders begin with."""


def is_full(error: OSError) -> bool:
    """Whether writing failed for want of room: the disk is full, or a person's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def fsync_directory(path: Path) -> None:
    """Make renames inside a folder durable (a no-op where folders cannot be opened, as on Windows)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems refuse; the rename itself is still atomic
    finally:
        os.close(descriptor)


def temporary_sibling(path: Path) -> Path:
    """A name beside `path` that no other process uses and that starts with `.tmp-`."""
    return path.parent / f"{TEMPORARY}{uuid.uuid4().hex[:12]}-{path.name[-40:]}"


@contextlib.contextmanager
def written_atomically(path: Path) -> Generator[BinaryIO]:
    """A stream whose content replaces `path` at the end; makes parent folders.

    Raises OSError that names `path`, leaving the old.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    try:
        with temporary.open("wb+") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and _is_of(error, temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    fsync_directory(path.parent)


def _is_of(error: OSError, temporary: Path) -> bool:
    """Whether an error is of the unfinished file, whose name says nothing; writing to a stream names none at all."""
    if error.filename is None:
        return error.errno is not None and not isinstance(error, ConnectionError | TimeoutError)
    return str(error.filename) == str(temporary)


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`; makes parent folders. Raises OSError, leaving what was there."""
    with written_atomically(path) as stream:
        stream.write(data)


def write_text_atomically(path: Path, text: str) -> None:
    """Replace `path` by UTF-8 `text`; makes parent folders. Raises OSError, leaving what was there."""
    write_bytes_atomically(path, text.encode("utf-8"))


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left unfinished directly in a folder that no other process is writing to."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def remove_directory(path: Path) -> None:
    """Remove a folder, if there is one, so that a kill leaves it whole or, under its own name, not at all."""
    if path.exists():
        retired = temporary_sibling(path)
        path.rename(retired)
        shutil.rmtree(retired, ignore_errors=True)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Generator[Path]:
    """Yield a temporary sibling folder that becomes `path` when the block ends well.

    Every file in it is fsynced first. A folder that stood at `path` is replaced. When the block raises,
    the temporary folder is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb+") as stream:
                    os.fsync(stream.fileno())
        fsync_directory(temporary)
        if path.exists():
            retired = temporary_sibling(path)
            path.rename(retired)
            try:
                temporary.rename(path)
            except BaseException:
                retired.rename(path)
                raise
            shutil.rmtree(retired)
        else:
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_directory(path.parent)
