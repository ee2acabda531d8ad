"""Sides of a benchmark of training, each in a process of its own, so that its peak memory is its own.

A process trains only in its turns: commands come over a pipe, and it listens to them between two steps.
"""

import contextlib
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NoReturn, Protocol

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.model import ModelSettings
from seqgen_core.settings.tokens import TokenSpec

PROCESS: Callable[..., Any] = get_context("spawn").Process


@dataclass(frozen=True)
class Task:
    """What a side is to train.

    side: `reference`, `plain PyTorch` or `ours`. targets: tokens to predict in each of the batch's windows. carry:
    whether windows go on where those before them ended. data: prepared data; without, tokens are drawn at random.
    held_out: tokens that are scored, each with `context` or more before it where there are so many. reference: a
    checkout of the reference code.
    """

    side: str
    settings: ModelSettings
    tokens: TokenSpec
    batch: int
    targets: int
    threads: int
    precision: Literal["fp32", "bf16"] = "fp32"
    carry: bool = True
    learning_rate: float = 5e-4
    seed: int = 0
    data: Path | None = None
    held_out: int = 0
    context: int = 0
    reference: Path | None = None


AfterStep = Callable[[float, int], None]
"""Told after each step of training: seconds that it took, and the tokens that it predicted."""


class Side(Protocol):
    """A way to train a model."""

    def train(self, after_step: AfterStep) -> NoReturn:
        """Take step after step, until after_step raises."""
        ...

    def score(self) -> float:
        """Mean bits per held-out token, each predicted with full context."""
        ...


class Trainee:
    """A side in its process, ready to train. Raises what building it raised. Use as a context manager."""

    def __init__(self, task: Task) -> None:
        self._pipe, theirs = Pipe()
        self._process = PROCESS(target=_serve, args=(theirs, task), daemon=True)
        self._process.start()
        try:
            self._answer()
        except BaseException:
            self.stop()
            raise

    def train(self, seconds: float = 0.0) -> tuple[float, int]:
        """Take steps until they took so many seconds together, one at least: those seconds, and tokens predicted."""
        return self._ask("train", seconds)

    def score(self) -> float:
        """Mean bits per held-out token."""
        return self._ask("score")

    def memory(self) -> tuple[int, int]:
        """Bytes: the most that the process has had at once, and what it had before its first step."""
        return self._ask("memory")

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(("stop",))
        self._process.join(10)

    def __enter__(self) -> "Trainee":
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def _ask(self, *command: object) -> Any:
        with contextlib.suppress(OSError):  # why it is no more, the answer says
            self._pipe.send(command)
        return self._answer()

    def _answer(self) -> Any:
        try:
            while not self._pipe.poll(0.2):
                if not self._process.is_alive() and not self._pipe.poll():
                    raise EOFError
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(10)
            raise SeqgenError(
                f"its process ended with exit code {getattr(self._process, 'exitcode', None)}.",
                hint="-9 often means that the machine's memory was used up.",
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _serve(pipe: Connection, task: Task) -> None:
    """Build a side and do as the pipe says."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the asking process's business
    try:
        side = _build(task)
        turns = _Turns(pipe, side)
        pipe.send(None)
        turns.listen()
        side.train(turns.after_step)
    except (_Over, EOFError, BrokenPipeError):
        pass
    except BaseException as error:
        if isinstance(error, MemoryError | RuntimeError):  # torch says so where it gets no memory
            error = SeqgenError(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        error.add_note(traceback.format_exc())
        pipe.send(error)


class _Turns:
    """Counts the steps of a turn, and listens for the next command when it is over."""

    def __init__(self, pipe: Connection, side: Side) -> None:
        self._pipe, self._side = pipe, side
        self._wanted, self._seconds, self._targets = 0.0, 0.0, 0
        self._at_first = _resident("VmRSS")

    def listen(self) -> None:
        """Answer commands until one says to train."""
        while True:
            match self._pipe.recv():
                case "train", seconds:
                    self._wanted, self._seconds, self._targets = seconds, 0.0, 0
                    return
                case ("score",):
                    self._pipe.send(self._side.score())
                case ("memory",):
                    self._pipe.send((_resident("VmHWM"), self._at_first))
                case _:
                    raise _Over

    def after_step(self, seconds: float, targets: int) -> None:
        """A step is done."""
        self._seconds += seconds
        self._targets += targets
        if self._seconds >= self._wanted:
            self._pipe.send((self._seconds, self._targets))
            self.listen()


class _Over(Exception):  # noqa: N818
    """There are no more turns."""


def _build(task: Task) -> Side:
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    if task.side == "reference":
        from reference_training import ReferenceTraining

        return ReferenceTraining(task)
    if task.side == "plain PyTorch":
        from plain_samplernn import PlainTraining

        return PlainTraining(task)
    from ours import OurTraining

    return OurTraining(task)


def _resident(field: str) -> int:
    """Bytes of memory that this process has (VmRSS), or the most that it has had at once (VmHWM)."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would also count what the process had that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
