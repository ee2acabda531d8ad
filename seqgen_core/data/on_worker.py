"""What runs inside the workers of a cluster: one task after another, until the run tells them to stop."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from seqgen_core.data.fit import Fitness, fitness_test
from seqgen_core.data.workers import STOP
from seqgen_core.errors import SeqgenError

T = TypeVar("T")
R = TypeVar("R")


class Ticket(NamedTuple):
    """What the fitness of a worker is tested with: see `fitness_test`."""

    run: str
    token: str
    files: dict[str, int]


def fault_of(here: Fitness, there: Fitness) -> str:
    """What keeps a worker from doing the work as it would be done here; nothing where it can."""
    if there.seqgen != here.seqgen:
        return f"on {there.host} it has seqgen {there.seqgen}, and here is {here.seqgen}"
    return f"on {there.host} it {there.trouble}" if there.trouble else ""


def unfit(address: str, who: str, worker: str, fault: str) -> SeqgenError:
    """The error about workers that cannot do the work."""
    return SeqgenError(
        f"{who} cannot do this work: {worker}: {fault}.",
        "The same seqgen on every worker, and inputs and output on a file system that all see at the same paths.",
        f"Start the workers of {address} so, or leave --cluster out.",
    )


_stops: dict[str, threading.Event] = {}  # by run: its work is in vain
_busy: Counter[str] = Counter()  # by run: tasks under way in this process
_fit: set[str] = set()  # runs whose files this process was seen to reach
_lock = threading.Lock()


def do_task(function: Callable[[T], R], task: T, ticket: Ticket, expected: Fitness, address: str) -> R:
    """One task in a worker: the function's result. Raises SeqgenError where this worker is not as expected."""
    with _lock:
        stop = _stops.setdefault(ticket.run, threading.Event())
        _busy[ticket.run] += 1
    try:
        if ticket.run not in _fit:
            fitness = Fitness(**fitness_test()(*ticket))
            if fault := fault_of(expected, fitness):
                raise unfit(address, f"A worker of {address}", "one that came later", fault)
            _fit.add(ticket.run)
        before = STOP.set(stop)
        try:
            return function(task)
        finally:
            STOP.reset(before)
    finally:
        with _lock:
            _busy[ticket.run] -= 1


def stop_run(run: str) -> int:
    """End a run's tasks in this process; how many are still at it."""
    with _lock:
        _stops.setdefault(run, threading.Event()).set()
        return _busy[run]
