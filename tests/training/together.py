"""What the processes of test_distributed.py do; a module of its own, since each of them imports it."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing

from seqgen_core.data.store import PreparedData
from seqgen_core.progress import Silent
from seqgen_core.runs import RunFolder
from seqgen_core.training import loop
from seqgen_core.training.distributed import ALONE, Group, Place, joined
from seqgen_core.training.learner import Learner, Stepped


class Losses(Silent):
    """Remembers the bits of each step."""

    def __init__(self) -> None:
        self.bits: list[float] = []

    def update(self, done: float, **figures: float | str) -> None:
        """Of steps alone."""
        if "bits" in figures:
            self.bits.append(float(figures["bits"]))


def train_here(path: Path, group: Group = ALONE) -> list[float]:
    """Train a run on its data; the bits of each step, where this process knows them."""
    run = RunFolder.open(path)
    losses = Losses()
    loop.train(run, PreparedData.open(run.settings.data.path), losses, group=group)
    return losses.bits


def train_all(place: Place, folders: Sequence[Path]) -> None:
    """Train several runs in a group, one after another; the main process writes losses.json beside each."""
    torch.set_num_threads(1)
    with joined(place, "cpu") as group:
        for folder in folders:
            bits = train_here(folder, group)
            if group.main:
                (folder / "losses.json").write_text(json.dumps(bits))


def train_until_killed(place: Place, folder: Path, victim: int, at: int) -> None:
    """Train one run in a group, of which one process is killed when it is to make a step."""
    torch.set_num_threads(1)
    step = Learner.step

    def dying(self: Learner, number: int, rate: float) -> Stepped:
        if place.rank == victim and number == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, number, rate)

    Learner.step = dying
    with joined(place, "cpu") as group:
        train_here(folder, group)


def fail_in_one(place: Place) -> None:
    """The main process meets an error that it alone can tell of."""
    with joined(place, "cpu") as group:

        def fail() -> None:
            raise SystemExit(7)

        group.from_main(fail)


def wait_long(place: Place) -> None:
    """Long enough to be stopped."""
    time.sleep(100)


def say_places(place: Place, folder: Path) -> None:
    """Each process writes what the others told it."""
    with joined(place, "cpu") as group:
        figures = group.figures(group.rank, 10.0 * group.rank).tolist()
        told = [figures, group.everyone(f"I am {group.rank}"), group.to_main(group.rank), group.from_main(lambda: "go")]
        (folder / f"{group.rank}.json").write_text(json.dumps([*told, [group.rows(5).start, group.rows(5).stop]]))


START = torch.multiprocessing.start_processes
WARM = ["together", "torch._dynamo", "seqgen_cli.main"]
"""What training imports, seconds of it: once for all processes that are forked from one that has it."""


def start_warm(*arguments: Any, start_method: str, **options: Any) -> Any:
    """In place of torch.multiprocessing.start_processes: from the server that has WARM."""
    return START(*arguments, start_method="forkserver", **options)


def start_forked(function: Callable[..., None], arguments: tuple, *, start_method: str, **options: Any) -> Any:
    """In place of torch.multiprocessing.start_processes: forked, with the handlers that a spawned process has."""
    return START(_forked, (function, *arguments), start_method="fork", **options)


def _forked(rank: int, function: Callable[..., None], *arguments: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    function(rank, *arguments)


def as_typed(words: Sequence[str], told: Path, scratch: Path, forked: bool) -> None:
    """The program in a session of its own, as it is started by typing; what it says goes into the file `told`.

    forked: its processes are forked from this one, which has all imported, where they would be spawned.
    """
    from seqgen_cli.main import main

    os.setsid()
    with told.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ["TMPDIR"] = str(scratch)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if forked:
        torch.multiprocessing.start_processes = start_forked
    sys.argv = ["seqgen", *words]
    main()
