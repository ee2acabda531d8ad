"""Drawn tokens until they are written: in memory while they are few, in a temporary file when a clip takes hours."""

import contextlib
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

import numpy as np

from seqgen_core.streams import token_dtype

IN_MEMORY = 2**24
"""Bytes of one clip's tokens from which they go to a file."""
PIECE = 2**18
"""Tokens that are handled at a time."""


class TokenFile:
    """Tokens (N, *shape) that are appended to a temporary file and read from it in pieces; it is gone with this."""

    def __init__(self, values: int, shape: tuple[int, ...]) -> None:
        self._values, self._dtype, self._shape = values, token_dtype(values), shape
        self._file = tempfile.TemporaryFile(prefix="seqgen-")  # noqa: SIM115
        weakref.finalize(self, _close, self._file)
        self._size = self._dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._length = 0

    def append(self, tokens: np.ndarray) -> None:
        """Add tokens (n, *shape) at the end. Raises OSError, naming the folder, where there is no room."""
        try:
            self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(tokens, self._dtype).tobytes())
        except OSError as error:
            raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error
        self._length += len(tokens)

    def like(self) -> "TokenFile":
        """Another one, empty, for the same sort of token."""
        return TokenFile(self._values, self._shape)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: slice) -> np.ndarray:
        start, stop, step = place.indices(self._length)
        self._file.seek(start * self._size)
        read = self._file.read(max(0, stop - start) * self._size)
        return np.frombuffer(read, self._dtype).reshape(-1, *self._shape)[::step].astype(np.int64)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(np.int64 if dtype is None else dtype)


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # a full disk, of which `append` has told already
        file.close()


Tokens = np.ndarray | TokenFile
"""Tokens (N, *shape); slices and `numpy.asarray` give arrays."""


class KeptTokens:
    """Where the drawn tokens of one clip gather, `length` in all."""

    def __init__(self, length: int, values: int, shape: tuple[int, ...]) -> None:
        size = length * np.dtype(np.int64).itemsize * int(np.prod(shape, dtype=np.int64))
        self._file = TokenFile(values, shape) if size > IN_MEMORY else None
        self._array = np.empty((0 if self._file is not None else length, *shape), np.int64)
        self._length = 0

    def append(self, tokens: np.ndarray) -> None:
        """Add tokens (n, *shape) at the end. Raises OSError where there is no room on the disk."""
        if self._file is not None:
            self._file.append(tokens)
        else:
            self._array[self._length : self._length + len(tokens)] = tokens
            self._length += len(tokens)

    def tokens(self) -> Tokens:
        """All that was added."""
        return self._array[: self._length] if self._file is None else self._file


def joined(first: Tokens, second: Tokens) -> Tokens:
    """One after the other; in a file where either is in one."""
    if not isinstance(first, TokenFile) and not isinstance(second, TokenFile):
        return np.concatenate([np.asarray(first), np.asarray(second)])
    kept = first if isinstance(first, TokenFile) else second
    assert isinstance(kept, TokenFile)
    both = kept.like()
    for part in (first, second):
        for piece in pieces(part):
            both.append(piece)
    return both


def pieces(tokens: Tokens) -> Iterator[np.ndarray]:
    """The tokens piece by piece, each an array (n, *shape)."""
    for start in range(0, len(tokens), PIECE):
        yield tokens[start : start + PIECE]
