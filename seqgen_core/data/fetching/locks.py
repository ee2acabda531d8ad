"""Locks between processes that end with the process that holds them, however it ends."""

import contextlib
import os
import time
from collections.abc import Generator
from pathlib import Path

if os.name == "nt":
    import msvcrt
else:
    import fcntl

POLL = 0.05  # seconds between two tries


def _try_lock(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def lock(path: Path, patience: float = 0.0) -> Generator[bool]:
    """Hold the lock that the file `path` stands for; yields False where another holder kept it for `patience` seconds.

    The file stays behind, empty: removing it would let two processes lock two files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + patience
        while not (held := _try_lock(descriptor)) and time.monotonic() < deadline:
            time.sleep(POLL)
        yield held
    finally:
        os.close(descriptor)  # gives the lock back
