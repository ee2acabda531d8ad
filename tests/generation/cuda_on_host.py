"""The cuda engine's kernel as a program of the host: the same source, compiled by the system's C++ compiler."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from seqgen_core.generation.engines.cuda.source import Job, Variant, source
from seqgen_core.generation.engines.cuda.tables import Grid

COMPILER = next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)
NEEDS_COMPILER = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler for the host")


class Host:
    """Runs the kernel on the CPU: so many blocks of so many threads, warps of so many lanes, each a thread here."""

    def __init__(self, blocks: int = 1, threads: int = 1, lanes: int = 1, shared: int = 2**17) -> None:
        self.grid, self.device = Grid(blocks, threads, lanes, shared), torch.device("cpu")

    def load(self, variant: Variant) -> Callable[[Job], None]:
        grid, library = self.grid, compiled(self.grid.lanes)

        def run(job: Job) -> None:
            library.launch(ctypes.byref(job), grid.blocks, grid.threads, ctypes.c_long(grid.shared))

        return run


@cache
def compiled(lanes: int, *options: str) -> ctypes.CDLL:
    """The kernel for warps of so many lanes."""
    header = (Path(__file__).parent / "cuda_host.h").read_text(encoding="utf-8")
    text = f"#define LANES {lanes}\n{source(machine=header)}\nstatic void run_here(const Job* job) {{ run(*job); }}\n"
    with tempfile.TemporaryDirectory() as folder:
        path, library = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        path.write_text(text, encoding="utf-8")
        flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-pthread", "-fno-strict-aliasing", "-w", *options]
        subprocess.run([str(COMPILER), *flags, str(path), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))
