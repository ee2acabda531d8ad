"""How passes over memory are compiled, found by address, and shared by threads."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import types
from numba.extending import intrinsic

from seqgen_core.kernels import arithmetic
from seqgen_core.kernels.arithmetic import FAST

LEAST_WORK = 2**16
"""Numbers of a pass for which a second thread is worth waking."""
OPTIONS: dict[str, Any] = {"fastmath": FAST, "error_model": "numpy", "boundscheck": False, "nogil": True}


def _pointer(kind: Any) -> Any:
    def at(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), generate

    return intrinsic(at)


_floats_at, _words_at, _codes_at = _pointer(types.float32), _pointer(types.uint16), _pointer(types.int64)


@numba.njit(inline="always")
def floats_at(address, count):
    """So many float32 from an address on."""
    return numba.carray(_floats_at(address), count)


@numba.njit(inline="always")
def words_at(address, count):
    """So many uint16 from an address on."""
    return numba.carray(_words_at(address), count)


@numba.njit(inline="always")
def codes_at(address, count):
    """So many int64 from an address on."""
    return numba.carray(_codes_at(address), count)


@cache
def stamp(path: str) -> str:
    """Of the code: numba keys its cache on what a closure holds, so a change in any of the files compiles anew."""
    digest = hashlib.sha256()
    for file in (path, __file__, str(arithmetic.__file__)):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def compiled(function: Callable[..., None]) -> Any:
    """The function as machine code, compiled at its first call on a machine and read from a cache on disk later."""
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the person's own can be written: compiled every time
        return numba.njit(**OPTIONS)(function)


@cache
def _others(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def parts_of(rows: int, width: int, threads: int) -> int:
    """Among how many threads `share` divides so much work."""
    return max(1, min(threads, rows, 1 + rows * width // LEAST_WORK))


def share(run: Callable[..., None], rows: int, width: int, threads: int, *arguments: int) -> None:
    """Run a pass over all rows, of `width` numbers each, by as many threads as are worth it.

    run takes the first row, the row after the last, the number of the part, and the arguments.
    """
    parts = parts_of(rows, width, threads)
    if parts == 1:
        run(0, rows, 0, *arguments)
        return
    cuts = [rows * number // parts for number in range(parts + 1)]
    others = [
        _others(parts - 1).submit(run, cuts[number], cuts[number + 1], number, *arguments) for number in range(1, parts)
    ]
    run(0, cuts[1], 0, *arguments)
    for other in others:
        other.result()
