"""The code that the Seq-U-Net paper was made with, run from a person's own checkout (github.com/f90/Seq-U-Net).

Nothing of it is changed. Its generate.py is a script that reads a snapshot and then samples on a GPU; imported with
nothing to do, it lends its function `generate`, which draws here with random weights on the CPU; and its models, which
reference_training.py trains.
"""

import contextlib
import importlib
import importlib.util
import os
import queue
import sys
import threading
import time
import types
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.model import ModelSettings
from seqgen_core.settings.tokens import TokenSpec

VALUES = 256
"""Token values of its models."""
SILENT = ("h5py", "librosa", "sortedcontainers", "tqdm")
"""What it imports to read recordings, write clips and show progress, none of which happens here."""
_OWN = ("data", "generate", "sequnet_res", "sequnet_utils", "trainer", "utils", "wavenet_model")


class ReferenceCode:
    """The reference repository's models and its way of generating. Raises UsageError where the folder is not that."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "raw_audio" / "generate.py").is_file():
            raise UsageError(
                f"{folder} has no raw_audio/generate.py.", hint="Name a checkout of https://github.com/f90/Seq-U-Net."
            )
        self._folder = folder
        with _importing(folder), quiet():
            utils: Any = importlib.import_module("utils")
            utils.load_latest_model_from = lambda *arguments: 0  # weights stay random: there is no snapshot
            self._code = importlib.import_module("generate")

    def lacks(self, settings: ModelSettings, tokens: TokenSpec) -> str | None:
        """Why it has no such model, in a few words; None where it has."""
        if settings.kind == "samplernn":
            return "the authors' code is Python 2 and Theano and does not run"
        if settings.kind not in ("sequnet", "wavenet"):
            return "the reference code has no such model"
        same = tokens.kind == "categorical" and tokens.values == VALUES and not settings.mixtures
        if settings.kind == "wavenet":
            same = same and settings.kernel_size == 2 and not settings.classes and not settings.local_features
            same = same and settings.output_channels in (None, settings.skip_channels)
        return None if same else "the reference code has no such configuration"

    def start(self, settings: ModelSettings, batch: int, period: int, threads: int) -> "Generation":
        """Begin to generate: prime the model with as much silence as it asks for, and wait.

        Raises SeqgenError where the machine's memory would not hold what it keeps of that.
        """
        with quiet():
            model = self.model(settings, 1)
            needed, free = _memory(settings, batch * model.input_size), _free_memory()
            if needed > free:
                raise SeqgenError(f"its start takes {needed / 2**30:.0f} GB of memory, {free / 2**30:.0f} are free")
            return Generation(self._code, model, batch, period, threads)

    def modules(self, *names: str) -> list[Any]:
        """Modules of its folder raw_audio, imported anew."""
        with _importing(self._folder), quiet():
            return [importlib.import_module(name) for name in names]

    def model(self, settings: ModelSettings, outputs: int) -> Any:
        """Its model with random weights, for windows of so many outputs at least."""
        code = self._code
        if settings.kind == "sequnet":
            return code.Sequnet(
                VALUES,
                settings.features,
                settings.levels,
                VALUES,
                kernel_size=settings.kernel_size,
                target_output_size=outputs,
                depth=settings.depth,
            )
        assert settings.kind == "wavenet"
        return code.WaveNetModel(
            layers=settings.layers,
            blocks=settings.stacks,
            dilation_channels=settings.dilation_channels,
            residual_channels=settings.residual_channels,
            skip_channels=settings.skip_channels,
            output_length=outputs,
            bias=settings.bias,
        )


class Generation:
    """The reference code's own loop in a thread of its own, which runs only in its turns and is timed there."""

    def __init__(self, code: Any, model: Any, batch: int, period: int, threads: int) -> None:
        self._batch, self._period = batch, period
        self._turns: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[float | BaseException] = queue.SimpleQueue()
        self._done, self._started, self._seconds = 0, 0.0, -1.0
        code.tqdm = lambda total: self  # its progress bar hears of every sample

        def work() -> None:
            torch.set_num_threads(threads)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    code.generate(model, VALUES, 10**9, "cpu", fast=True, batch_size=batch)
            except _Stopped:
                pass
            except BaseException as error:
                self._results.put(error)

        threading.Thread(target=work, daemon=True).start()
        self._result()

    def rate(self, seconds: float) -> float:
        """Samples per second of all clips over a turn of at least so many seconds and whole periods of the clock."""
        self._turns.put(seconds)
        return self._result()

    def stop(self) -> None:
        """Let it end."""
        self._turns.put(None)

    def _result(self) -> float:
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def __enter__(self) -> "Generation":
        return self

    def __exit__(self, *details: object) -> None: ...

    def update(self, count: int) -> None:
        """Called by the reference code after each sample of every clip, the first of which ends its priming."""
        self._done += count
        passed = time.perf_counter() - self._started
        if self._seconds >= 0 and (passed < self._seconds or self._done % self._period):
            return
        self._results.put(self._done * self._batch / passed)
        seconds = self._turns.get()
        if seconds is None:
            raise _Stopped
        self._done, self._seconds, self._started = 0, seconds, time.perf_counter()


class _Stopped(Exception):  # noqa: N818
    """There are no more turns."""


@contextlib.contextmanager
def _importing(folder: Path) -> Generator[None]:
    """Import from the checkout without leaving a trace in it, or in the names of this process."""
    kept, path, arguments = dict(sys.modules), list(sys.path), sys.argv
    writes = sys.dont_write_bytecode
    for name in _OWN:
        sys.modules.pop(name, None)
    for name in SILENT:
        if importlib.util.find_spec(name) is None:
            stub: Any = types.ModuleType(name)
            stub.tqdm = stub.SortedList = None  # imported by name
            sys.modules[name] = stub
    sys.path[:0] = [str(folder / "raw_audio"), str(folder)]
    sys.argv = ["generate.py", "--model", "sequnet", "--features", "1", "--levels", "1"]
    sys.argv += ["--conditional", "0", "--num_batches", "0"]
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.argv, sys.dont_write_bytecode = path, arguments, writes
        for name in (*_OWN, *SILENT):
            sys.modules.pop(name, None)
            if name in kept:
                sys.modules[name] = kept[name]


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Without what its code prints and warns of."""
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        yield


def _memory(settings: ModelSettings, samples: int) -> float:
    """Bytes, about, that its first pass holds: every layer of its WaveNet keeps the whole of what it heard."""
    if settings.kind == "wavenet":
        numbers = settings.stacks * settings.layers * settings.residual_channels + 3 * settings.skip_channels
    else:
        assert settings.kind == "sequnet"
        numbers = (8 + 2 * settings.depth) * settings.features
    return 4.0 * samples * (numbers + 2 * VALUES)


def _free_memory() -> float:
    """Bytes that a process can get; where the system does not say, as many as one likes."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return float("inf")
