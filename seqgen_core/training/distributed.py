"""Several processes that train one model together: who each is, what they tell each other, how they are started.

Processes speak through torch.distributed: NCCL between GPUs, gloo between CPUs and for all that is no tensor of a GPU.
"""

import contextlib
import datetime
import gc
import hashlib
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse
from urllib.request import url2pathname

import torch
from torch import distributed

from seqgen_core.errors import SeqgenError, UsageError

T = TypeVar("T")

TIMEOUT = datetime.timedelta(hours=2)
"""Longest wait for another process: one that validates or draws a sample is no lost one."""
TOLD = ".told-"
"""What stands behind the name of the store in those of the files that say what was told for all processes."""
GRACE = 120.0
"""Seconds that the others have to write a checkpoint once one process is lost."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train together.

    rank of size processes in all; local_rank of local_size on this machine. store: how they find each other, as
    torch.distributed.init_process_group takes it.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    store: str = "env://"


def place_in_environment(environment: Mapping[str, str] | None = None) -> Place | None:
    """The place that torchrun gave this process, None where it was started on its own."""
    told = os.environ if environment is None else environment
    if "RANK" not in told or "WORLD_SIZE" not in told or "MASTER_ADDR" not in told:
        return None
    size = int(told["WORLD_SIZE"])
    return Place(
        int(told["RANK"]), size, int(told.get("LOCAL_RANK", told["RANK"])), int(told.get("LOCAL_WORLD_SIZE", size))
    )


@dataclass(frozen=True)
class Group:
    """This process among those that train one model; alone by default."""

    place: Place = Place(0, 1, 0, 1)

    @property
    def rank(self) -> int:
        """Its number, from 0."""
        return self.place.rank

    @property
    def size(self) -> int:
        """Processes in all."""
        return self.place.size

    @property
    def main(self) -> bool:
        """Whether it is the one that writes files and speaks."""
        return self.place.rank == 0

    def rows(self, count: int) -> slice:
        """Its rows of a batch of `count`: the batch is cut into stretches whose lengths differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def figures(self, *own: float) -> torch.Tensor:
        """The figures of every process, float64 (size, figures), by rank."""
        mine = torch.tensor(own, dtype=torch.float64)
        if self.size == 1:
            return mine[None]
        rows = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(rows, mine)
        return torch.stack(rows)

    def everyone(self, value: T) -> list[T]:
        """What every process has, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def to_main(self, value: T) -> list[T]:
        """What every process has, by rank; empty but in the main one."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.main else None
        distributed.gather_object(value, values)
        return values or []

    def from_main(self, function: Callable[[], T]) -> T:
        """What the function gives in the main process, where alone it is called.

        An error of it is raised there; the others then end without a word (SystemExit).
        """
        if self.size == 1:
            return function()
        told: list[Any] = [None, True]
        try:
            if self.main:
                told = [function(), True]
        except BaseException:
            told = [None, False]
            raise
        finally:
            distributed.broadcast_object_list(told)
        if not told[1]:
            raise SystemExit(1)
        return told[0]


ALONE = Group()


@contextlib.contextmanager
def joined(place: Place | None, device: str) -> Generator[Group]:
    """The group of all processes, while the block lasts; device: train.device. None: alone."""
    if place is None or place.size == 1:
        yield ALONE
        return
    nccl = distributed.is_nccl_available() and torch.cuda.is_available() and (device == "auto" or device[:4] == "cuda")
    if nccl:
        torch.cuda.set_device(place.local_rank)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if nccl else "gloo",
        init_method=place.store,
        rank=place.rank,
        world_size=place.size,
        timeout=TIMEOUT,
    )
    try:
        yield Group(place)
    finally:
        gc.collect()  # what still holds a group's threads when it is destroyed ends the process by SIGABRT
        distributed.destroy_process_group()


def peer_lost(error: BaseException) -> bool:
    """Whether an error says that another process of the group is gone."""
    if isinstance(error, distributed.DistError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and any(word in said for word in ("gloo", "NCCL", "Connection"))


def launch(devices: int, work: Callable[..., None], *arguments: Any) -> None:
    """Run work(place, *arguments) in as many processes of this machine, and wait for all of them.

    Ctrl-C and SIGTERM are theirs to honour. Where one dies the others are asked to end. `work` and its arguments must
    be picklable. Raises SystemExit with the code of a process that ended by one, SeqgenError where one was killed,
    KeyboardInterrupt where a stop came before they could honour it.
    """
    from torch.multiprocessing import ProcessExitedException, start_processes

    asked, context = list[int](), None

    def pass_on(number: int, frame: object) -> None:
        asked.append(number)
        for process in context.processes if context is not None else []:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)

    before: dict[int, Any] = {}
    # a file that goes with the last of its processes, also where this one is killed
    store = Path(tempfile.gettempdir()) / f"seqgen-{uuid.uuid4().hex}"
    try:
        if threading.current_thread() is threading.main_thread():
            # Inherited, so that Ctrl-C in a terminal, which all hear, ends none before it can honour it.
            before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN)}
            before[signal.SIGTERM] = signal.signal(signal.SIGTERM, pass_on)
        context = start_processes(
            _begin, (devices, store.as_uri(), work, arguments), nprocs=devices, join=False, start_method="spawn"
        )
        assert context is not None
        if before:
            signal.signal(signal.SIGINT, pass_on)
        for number in list(asked):  # while they were being started
            pass_on(number, None)
        try:
            while not context.join(timeout=1.0, grace_period=GRACE):
                if signal.SIGINT in asked:  # until it is heard
                    pass_on(signal.SIGINT, None)
        except ProcessExitedException as error:
            codes = [process.exitcode for process in context.processes]
            if error.signal_name is not None and asked:
                raise KeyboardInterrupt from None
            if error.signal_name is not None:
                raise SeqgenError(
                    f"Process {error.error_index} of {devices} was killed ({error.signal_name}).",
                    hint="`seqgen train --resume RUN` goes on with it, on any number of devices.",
                ) from None
            raise SystemExit(codes[0] or error.exit_code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for file in store.parent.glob(f"{store.name}*"):  # of processes that were killed, and what they told
            file.unlink(missing_ok=True)


def _begin(rank: int, size: int, store: str, work: Callable[..., None], arguments: tuple) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_stop_without, args=(parent,), daemon=True).start()
    work(Place(rank, size, rank, size, store), *arguments)


def _stop_without(parent: BaseProcess) -> None:
    """Stop this process as Ctrl-C does once the one that started it is killed, as soon as it can honour that."""
    parent.join()
    while True:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.0)


def first_to_tell(place: Place, what: str) -> bool:
    """Whether no other of the processes that `launch` started told it already, as when all fail for one reason."""
    if not place.store.startswith("file:"):
        return True
    file = Path(url2pathname(urlparse(place.store).path))
    file = file.with_name(file.name + TOLD + hashlib.sha256(what.encode()).hexdigest())
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True
    return True


def check_devices(wanted: int, device: str) -> None:
    """Raise UsageError where this machine has not as many devices of that kind (train.device)."""
    if wanted == 1:
        return
    if device == "mps" or ":" in device:
        raise UsageError(
            f"train.devices = {wanted} with train.device = {device}, which is a single one.",
            hint="Leave --device out, or name cuda or cpu.",
        )
    there = torch.cuda.device_count()
    too_many = UsageError(
        f"train.devices = {wanted}, but this machine has {there} GPUs.", hint="Name fewer, or --device cpu."
    )
    if device == "cuda" and wanted > there:
        raise too_many
    if device == "auto" and torch.cuda.is_available() and wanted > there:
        raise too_many
