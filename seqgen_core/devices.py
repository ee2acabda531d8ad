"""Choosing where tensors live, and running out of memory in words."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Generator

import torch

from seqgen_core.errors import SeqgenError, UsageError

SMALL_BATCH = 16
"""Streams up to which one CPU thread steps them best."""


def choose_device(wanted: str, number: int | None = None) -> torch.device:
    """`auto` takes CUDA, else MPS, else the CPU; number: which GPU, for one of several processes.

    Raises UsageError where the named device is not there.
    """
    if number is not None and wanted in ("auto", "cuda") and torch.cuda.is_available():
        wanted = f"cuda:{number}"
    allow_tf32(False)
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(wanted)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[device.type]
    if there and device.type == "cuda" and device.index is not None:
        there = device.index < torch.cuda.device_count()
    if not there:
        raise UsageError(f"There is no device {wanted!r} on this machine.", hint="--device auto takes what there is.")
    return device


def allow_tf32(wanted: bool) -> None:
    """Whether a GPU may round the factors of fp32 products to ten bits; law 3 asks for 1e-4, and so for no."""
    torch.backends.cudnn.allow_tf32 = wanted
    torch.backends.cuda.matmul.allow_tf32 = wanted


def use_precision(precision: str, device: torch.device) -> None:
    """Get a device ready for training: fp32, tf32 or bf16. Raises UsageError for tf32 elsewhere than on CUDA."""
    if precision == "tf32" and device.type != "cuda":
        raise UsageError(f"train.precision = tf32 is for CUDA; this is {device.type}.", "fp32 or bf16.")
    allow_tf32(precision == "tf32")
    torch.backends.cudnn.benchmark = device.type == "cuda"  # the shapes of training stay the same


def keep_memory() -> None:
    """Have the C library keep freed memory for the next allocation, where it is glibc; elsewhere nothing happens.

    A training step frees and takes the same hundreds of megabytes again and again. Given back to the system in between,
    every page of them is a fault, which a small Seq-U-Net's step pays with a tenth of its time.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            library = ctypes.CDLL(None)
            library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
            library.mallopt(_MMAP_THRESHOLD, 2**25)  # the most that every version takes


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # in glibc's malloc.h


def use_threads(wanted: int, processes: int = 1) -> None:
    """CPU threads of this process, one of several on this machine: as wanted, else its share of all cores but one.

    Threads wait for each other many times in a step; where another program keeps a core busy, sharing it makes a step
    several times slower (measured on two cores: 2 to 5 steps a second with two threads, 10 to 15 with one).
    """
    torch.set_num_threads(wanted or default_threads(processes))


def default_threads(processes: int) -> int:
    """The share that one of several processes on this machine has of all CPU cores but one."""
    return max(1, ((os.cpu_count() or 1) - 1) // processes)


@contextlib.contextmanager
def stepping_threads(device: torch.device, batch: int, wanted: int = 0) -> Generator[None]:
    """CPU threads for stepping `batch` streams: as wanted, else one, for one token's products are too small to share.

    Waiting for a second thread at each of them costs more than it saves, and many times more on a busy machine.
    """
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(wanted or (1 if batch <= SMALL_BATCH else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def memory_guard(hint: str) -> Generator[None]:
    """Turn an allocation that failed, on any device, into a SeqgenError with `hint`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SeqgenError("The device's memory is used up.", hint=hint) from error
    except RuntimeError as error:
        if "allocate memory" in str(error) or "out of memory" in str(error).lower():
            raise SeqgenError("The machine's memory is used up.", hint=hint) from error
        raise
    except MemoryError as error:
        raise SeqgenError("The machine's memory is used up.", hint=hint) from error
