"""The idx format of MNIST: arrays of bytes behind a header that names their shape.

Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits, "File formats". Two zero bytes, the type of
the numbers (8 is unsigned bytes, the only one read here), the number of axes, each axis's length as a big-endian
32-bit integer, then the numbers. Files may be compressed with gzip, whatever their name.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from seqgen_core.errors import SeqgenError

_UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # bytes that one compressed byte can stand for at most (zlib technical details)


def idx_shape(path: Path) -> tuple[int, ...]:
    """The shape that the header names. Raises SeqgenError like `read_idx`."""
    return _read(path, header_only=True)[0]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file: images (N, H, W), or labels (N,).

    Raises SeqgenError for a file that is no idx file of unsigned bytes, is damaged, or is longer or shorter than its
    header says.
    """
    shape, data = _read(path)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read(path: Path, *, header_only: bool = False) -> tuple[tuple[int, ...], bytes]:
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as stream:
            shape = _read_header(cast(BinaryIO, stream), path)
            size, room = math.prod(shape), path.stat().st_size * (_DEFLATE_LIMIT if packed else 1)
            if size > room:
                raise SeqgenError(
                    f"{path} cannot hold the {_numbers(shape)} that its header promises: it is cut short."
                )
            data = b"" if header_only else stream.read(size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        how = "cut short" if isinstance(problem, EOFError) else f"damaged ({problem})"
        raise SeqgenError(f"{path} is {how}.", "A whole gzip file.", _AGAIN) from None
    except OSError as problem:
        raise SeqgenError(f"{path}: {problem.strerror or problem}.") from None
    if not header_only and len(data) != size:
        found = f"holds {len(data):,}" if len(data) < size else "holds more than"
        raise SeqgenError(f"{path} {found} of the {_numbers(shape)} that its header promises.", hint=_AGAIN)
    return shape, data


_AGAIN = "Fetch it again, for example with `seqgen download --dataset mnist`."


def _read_header(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        raise SeqgenError(f"{path} is no idx file: it begins with {head.hex(' ') or 'nothing'}.", "00 00 08 03 or so.")
    if head[2] != _UNSIGNED_BYTES:
        raise SeqgenError(f"{path} holds numbers of type {head[2]:#04x}.", "Unsigned bytes, type 0x08.")
    lengths = stream.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise SeqgenError(f"{path} ends within its header: it is cut short.", hint=_AGAIN)
    return tuple(int(length) for length in np.frombuffer(lengths, ">u4"))


def _numbers(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(f'{length:,}' for length in shape)} numbers"
