"""Work over many files on the workers of a Dask cluster, as `workers` has it done by processes of one machine.

The cluster is used as a `concurrent.futures` executor. Its workers must hold the same seqgen and see the same files;
both are looked at before work begins, and once more on every worker that joins later. Dask itself starts workers that
died anew and does their tasks again; a task that workers keep dying under is then done once more with no other beside
it, so that an innocent one is not blamed.
"""

import contextlib
import itertools
import logging
import math
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqgen_core.data.fit import Fitness, fitness_test
from seqgen_core.data.on_worker import Ticket, do_task, fault_of, stop_run, unfit
from seqgen_core.data.workers import Crashed, Done
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import TEMPORARY, write_text_atomically
from seqgen_core.progress import Progress

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

CONNECT_SECONDS = 10.0
"""How long a scheduler is waited for."""
WORKER_SECONDS = 60.0
"""How long work waits for a first worker, or for another once all are gone."""
LET_GO_SECONDS = 30.0
"""How long, after an interrupt, tasks under way are waited for; they look up several times a second."""
_POLL = 1.0  # seconds between looks at whether anybody is there
_AHEAD = 100  # tasks handed over at least, so that a cluster that grows with its work sees some
_SAMPLE = 8  # files that each worker is asked to open beforehand
_AGAIN = "What is finished is kept: run the same command again, with --cluster or without."


@dataclass(frozen=True)
class Cluster:
    """Where to find it, the folder that its workers write to, and the files that they read."""

    address: str
    work: Path
    files: Sequence[Path]


def run_on_cluster(
    function: Callable[[T], R], tasks: Sequence[T], cluster: Cluster, progress: Progress
) -> Generator[Done[R]]:
    """Apply a function to every task on the cluster's workers, results as they come.

    An exception from the function ends the whole; the death of a worker only the task that caused it. On an interrupt
    the tasks under way are told to stop, and waited for. Function, tasks and results must be picklable.
    Raises UsageError where Dask is not installed, SeqgenError where no scheduler or no worker answers or the connection
    is lost, and where a worker has another seqgen or does not see the files.
    """
    if not tasks:
        return
    with _connected(cluster.address) as client, _ticket(cluster) as ticket:
        work = _Work(client, cluster.address, function, ticket, Fitness(**fitness_test()(*ticket)))
        work.look_at_workers(progress)
        suspects: dict[int, T] = {}
        yield from work.results(dict(enumerate(tasks)), suspects)
        for number, task in suspects.items():
            alone: dict[int, T] = {}
            yield from work.results({number: task}, alone)
            if alone:
                yield Done(number, Crashed())


@contextlib.contextmanager
def _connected(address: str) -> Generator["Client"]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--cluster needs the Python package {error.name}, which is not installed.",
            hint="`pip install 'seqgen[cluster]'` brings it.",
        ) from error
    with _without_log():
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise SeqgenError(
                f"No Dask scheduler answers at {address} within {CONNECT_SECONDS:g} s.",
                hint="Start one by `dask scheduler` and its workers by `dask worker ADDRESS`, or leave --cluster out.",
            ) from error
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=5)


@contextlib.contextmanager
def _without_log() -> Generator[None]:
    """Keep Dask from telling the console at length what is told in one line here."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("distributed", "tornado")]
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in before:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


@contextlib.contextmanager
def _ticket(cluster: Cluster) -> Generator[Ticket]:
    """What a worker is asked about: a file that only this run has, and some of those that are to be read."""
    run = uuid.uuid4().hex
    token = cluster.work / f"{TEMPORARY}cluster-{run}"
    write_text_atomically(token, run)
    files = list(cluster.files)[:: max(1, len(cluster.files) // _SAMPLE)]
    try:
        yield Ticket(run, str(token), {str(path): path.stat().st_size for path in files if path.exists()})
    finally:
        for leftover in cluster.work.glob(f"{token.name}*"):
            leftover.unlink(missing_ok=True)


@dataclass
class _Work(Generic[T, R]):
    """One function over many tasks, on one connection."""

    client: "Client"
    address: str
    function: Callable[[T], R]
    ticket: Ticket
    here: Fitness
    _lonely: float | None = None

    def __post_init__(self) -> None:
        self._line = self.client.scheduler_comm

    def look_at_workers(self, progress: Progress) -> None:
        """Raise SeqgenError where any worker cannot do the work; warn where its results may differ in the last bit."""
        threads = self._threads()
        if not threads:
            progress.say(f"{self.address} has no workers yet; waiting up to {WORKER_SECONDS:g} s for one")
            return
        here = self.here
        answers = self._run(fitness_test(), *self.ticket)
        found = {name: Fitness(**told) for name, told in answers.items() if not isinstance(told, BaseException)}
        wrong = {worker: fault for worker, there in found.items() if (fault := fault_of(here, there))}
        wrong |= {name: f"{type(told).__name__}: {told}" for name, told in answers.items() if name not in found}
        if wrong:
            worker, fault = next(iter(wrong.items()))
            raise unfit(self.address, f"{len(wrong)} of {len(answers)} workers of {self.address}", worker, fault)
        for fitness in found.values():
            token = Path(f"{self.ticket.token}-{fitness.mark}")
            if not _appears(token):
                raise SeqgenError(
                    f"What a worker on {fitness.host} wrote to {token.parent} is not to be seen here.",
                    "The folder of --out on a file system that all workers share with this machine, at the same path.",
                )
        others = {
            f"{name} {there.versions[name]} on {there.host} ({here.versions[name]} here)"
            for there in found.values()
            for name in there.versions
            if there.versions[name] != here.versions[name]
        }
        if others:
            progress.warn(f"results may differ in the last bit: {'; '.join(sorted(others))}")
        progress.say(
            f"{len(found)} {'worker' if len(found) == 1 else 'workers'} with {sum(threads.values())} threads"
            f" at {self.address}"
        )

    def results(self, tasks: dict[int, T], suspects: dict[int, T]) -> Generator[Done[R]]:
        """Results until all tasks are done; those that workers died under are put into `suspects`."""
        from distributed import KilledWorker

        executor = self.client.get_executor(pure=False)
        waiting = iter(tasks.items())
        running: dict[Future[R], int] = {}
        room, looked = 0, -math.inf
        try:
            while True:
                if time.monotonic() - looked > _POLL:
                    room, looked = max(_AHEAD, 2 * self._threads_there()), time.monotonic()
                for number, task in itertools.islice(waiting, max(0, room - len(running))):
                    future = executor.submit(do_task, self.function, task, self.ticket, self.here, self.address)
                    running[future] = number
                if not running:
                    return
                finished, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
                for future in finished:
                    number = running.pop(future)
                    try:
                        result = future.result()
                    except KilledWorker:
                        suspects[number] = tasks[number]
                        continue
                    except CancelledError as error:
                        raise self._lost() from error
                    except ImportError as error:
                        raise unfit(
                            self.address, f"A worker of {self.address}", "one that came later", str(error)
                        ) from error
                    yield Done(number, result)
        finally:
            for future in running:
                future.cancel()
            if running:
                self._let_go()

    def _holds(self) -> bool:
        """Whether the connection is the first one: Dask would make another, but futures of the old never end."""
        return self.client.status == "running" and self.client.scheduler_comm is self._line

    def _threads(self) -> dict[str, int]:
        """Threads by worker."""
        try:
            return self.client.nthreads()
        except (OSError, TimeoutError, RuntimeError) as error:
            raise self._lost() from error

    def _run(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Have every worker call a function at once, whatever it is busy with; exceptions stand for results."""
        try:
            return self.client.run(function, *arguments, on_error="return")
        except (OSError, TimeoutError, RuntimeError, CancelledError) as error:
            raise self._lost() from error

    def _threads_there(self) -> int:
        """Threads of all workers. Raises SeqgenError where there have been none for too long."""
        if not self._holds():
            raise self._lost()
        threads, now = sum(self._threads().values()), time.monotonic()
        self._lonely = None if threads else self._lonely or now
        if self._lonely is not None and now - self._lonely > WORKER_SECONDS:
            raise SeqgenError(
                f"{self.address} has had no worker for {WORKER_SECONDS:g} s.",
                hint=f"Start some by `dask worker {self.address}`. {_AGAIN}",
            )
        return threads

    def _let_go(self) -> None:
        """Tell tasks under way that they are in vain, and wait until they have ended."""
        deadline = time.monotonic() + LET_GO_SECONDS
        with contextlib.suppress(SeqgenError):
            while self._holds() and any(
                busy != 0 for busy in self._run(stop_run, self.ticket.run).values() if isinstance(busy, int)
            ):
                if time.monotonic() > deadline:
                    return
                time.sleep(0.1)

    def _lost(self) -> SeqgenError:
        return SeqgenError(f"The connection to the Dask scheduler at {self.address} was lost.", hint=_AGAIN)


def _appears(file: Path) -> bool:
    """Whether a file comes into sight; network file systems may take some seconds over it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), file.open("rb"):
            return True
        time.sleep(0.2)
    return False
