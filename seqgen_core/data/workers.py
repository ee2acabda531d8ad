"""Work over many files in several processes that survives the death of any of them.

A decoder that crashes takes its process with it, and the pool does not tell which task that was. The tasks that were
under way are then done again one at a time, so that the next crash names its task, and the rest go on.
"""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Flag(Protocol):
    """An event of any kind, of processes or of threads."""

    def is_set(self) -> bool:
        """Whether it has come."""
        ...


STOP: ContextVar[Flag | None] = ContextVar("STOP", default=None)
"""Set once the work that this thread does is in vain."""


@dataclass(frozen=True)
class Crashed:
    """Stands for the result of a task whose process died of it."""


@dataclass(frozen=True)
class Done(Generic[R]):
    """One finished task: its number and what came of it."""

    number: int
    result: R | Crashed


def stop_wanted() -> bool:
    """For tasks to ask now and then: whether the run was interrupted, so that the rest of the work is in vain."""
    stop = STOP.get()
    return stop is not None and stop.is_set()


def run_all(function: Callable[[T], R], tasks: Sequence[T], jobs: int) -> Generator[Done[R]]:
    """Apply a function to every task, results as they come. jobs: processes; 1 works in this one.

    An exception from the function ends the whole; the death of a process only its task. On an interrupt the tasks
    under way are told to stop, and no process stays behind. Function, tasks and results must be picklable.
    """
    if jobs == 1:
        for number, task in enumerate(tasks):
            yield Done(number, function(task))
        return
    left = dict(enumerate(tasks))
    while left:
        suspects: list[int] = []
        for done in _until_broken(function, left, jobs, suspects):
            del left[done.number]
            yield done
        for number in suspects:
            alone: list[int] = []
            yield from _until_broken(function, {number: left[number]}, 1, alone)
            if alone:
                yield Done(number, Crashed())
            del left[number]


def _until_broken(
    function: Callable[[T], R], tasks: dict[int, T], jobs: int, suspects: list[int]
) -> Generator[Done[R]]:
    """Results until all tasks are done or a process dies; then `suspects` holds the tasks that were under way."""
    context = multiprocessing.get_context("spawn")  # the one start method that is safe beside threads, everywhere
    stop = context.Event()
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), context, initializer=_begin, initargs=(stop,))
    waiting = iter(list(tasks.items()))
    running: dict[Future[R], int] = {}
    try:
        while True:
            for number, task in itertools.islice(waiting, 2 * jobs - len(running)):  # one at work, one ready, each
                running[pool.submit(function, task)] = number
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                result = future.result()
                yield Done(running.pop(future), result)
    except BrokenProcessPool:
        # a future that the pool could still finish is worth its result; the others are suspects
        for future, number in running.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                yield Done(number, future.result())
            else:
                suspects.append(number)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(stop: Event) -> None:
    """In a new worker: leave Ctrl-C to the parent, and end when the parent does, however that ends."""
    STOP.set(stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
