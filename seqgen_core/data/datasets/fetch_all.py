"""All published files of a data set, side by side, each from the first of its addresses that has it."""

import queue
import shutil
import threading
from pathlib import Path

from seqgen_core.data.datasets.entry import Dataset, RemoteFile
from seqgen_core.data.datasets.mirror import mirrored_addresses
from seqgen_core.data.datasets.transfer import FileFetcher
from seqgen_core.data.datasets.unpack import Arrived
from seqgen_core.data.fetching.attempts import StoppedError
from seqgen_core.data.fetching.hosts import Hosts
from seqgen_core.data.fetching.reasons import ItemError, Reason
from seqgen_core.data.fetching.session import read_cookies
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Progress
from seqgen_core.settings.download import DownloadSettings

TICK = 0.2  # seconds between two looks at what the jobs have done
PARTING = 3.0  # seconds that jobs get to end after Ctrl-C
_YOUR_OWN = ("offline", "disk-full", "no-access", "proxy", "certificate", "sign-in")
"""Kinds of reasons that the person can mend; for the others another place may help."""


def fetch_all(dataset: Dataset, settings: DownloadSettings, work: Path, progress: Progress) -> list[Arrived]:
    """The published files, from their publisher or from the base address of a mirror, in folders of `work`.

    Raises SeqgenError for the first that cannot be had; what is partial stays for the next run.
    """
    if not dataset.files:
        raise UsageError(
            f"{dataset.name} is a list of recordings; the mirror {settings.mirror} holds no files of it.",
            hint="Leave --mirror out, or name a folder in which the recordings lie.",
        )
    _demand_room(dataset, work)
    run = _Run(dataset, settings, work)
    total = dataset.size
    progress.begin(dataset.name, None if total is None else total / 1e6, "MB")
    try:
        return run.wait(progress)
    finally:
        run.stop()
        progress.end()


def _demand_room(dataset: Dataset, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    needed, free = dataset.size or 0, shutil.disk_usage(work).free
    there = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    if needed > free + there:
        raise SeqgenError(
            f"{dataset.name} needs {needed / 1e9:,.1f} GB to download, and {free / 1e9:,.1f} GB are free.",
            hint="Free some space, or choose another folder with --out.",
        )


class _Run:
    """A thread for each file; only as many as there are jobs work at a time."""

    def __init__(self, dataset: Dataset, settings: DownloadSettings, work: Path) -> None:
        jobs = min(settings.jobs, len(dataset.files))
        self._dataset, self._mirror, self._work = dataset, settings.mirror, work
        self._places, self._stop = threading.Semaphore(jobs), threading.Event()
        self._done: queue.SimpleQueue[tuple[RemoteFile, Arrived | BaseException]] = queue.SimpleQueue()
        own = settings.model_copy(update={"jobs": jobs})  # which share the rate limit
        cookies, hosts = read_cookies(settings.cookies), Hosts()
        self._fetchers = {
            file.name: FileFetcher(own, cookies, hosts, self._stop, file, dataset.most_bytes) for file in dataset.files
        }
        self._threads = [threading.Thread(target=self._serve, args=(file,), daemon=True) for file in dataset.files]
        for thread in self._threads:
            thread.start()

    def wait(self, progress: Progress) -> list[Arrived]:
        """All files in the order of the catalogue. Raises SeqgenError for the first that fails."""
        arrived: dict[str, Arrived] = {}
        while len(arrived) < len(self._dataset.files):
            progress.update(sum(fetcher.bytes for fetcher in self._fetchers.values()) / 1e6)
            try:
                file, outcome = self._done.get(timeout=TICK)
            except queue.Empty:
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            arrived[file.name] = outcome
        progress.update(sum(fetcher.bytes for fetcher in self._fetchers.values()) / 1e6)
        return [arrived[file.name] for file in self._dataset.files]

    def stop(self) -> None:
        """End what is still at work."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PARTING / len(self._threads))

    def _serve(self, file: RemoteFile) -> None:
        with self._places:
            try:
                self._done.put((file, self._fetch(file)))
            except StoppedError:
                return
            except BaseException as error:  # for the calling thread to raise
                self._done.put((file, error))

    def _fetch(self, file: RemoteFile) -> Arrived:
        addresses = file.addresses if self._mirror is None else mirrored_addresses(self._mirror, self._dataset, file)
        failures: list[tuple[str, Reason]] = []
        for url in addresses:
            try:
                body = self._fetchers[file.name].fetch(url, self._work / file.name)
            except ItemError as failure:
                failures.append((url, failure.reason))
            else:
                return Arrived(body, file.name, file.addresses[0] if file.is_known else url)
        places: dict[str, list[str]] = {}
        for url, reason in failures:
            places.setdefault(reason.text, []).append(url)
        said = "; ".join(f"{text}, at {' and '.join(urls)}" for text, urls in places.items())
        own = next((reason.next_step for _, reason in failures if reason.kind in _YOUR_OWN), None)
        raise SeqgenError(
            f"{file.name} of {self._dataset.name} could not be had: {said}.",
            hint=own or "Run the same command again later, or take it from elsewhere with --mirror DIR_OR_URL.",
        )
