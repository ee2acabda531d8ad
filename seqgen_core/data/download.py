"""`seqgen download`: many addresses side by side into one folder, each complete and checked or not there at all.

A file appears in the folder only whole, decoded and under its final name, and only then in the account sources.jsonl;
so a run that is killed at any moment goes on when it is started again. A failed item never stops the others.
"""

import contextlib
import datetime
import os
import queue
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqgen_core.data.catalog import find_dataset
from seqgen_core.data.fetching.hosts import Hosts
from seqgen_core.data.fetching.lists import Entry
from seqgen_core.data.fetching.locks import lock
from seqgen_core.data.fetching.reasons import ItemError, Reason, explain
from seqgen_core.data.fetching.sources import WORK, Account, Source, is_present, key_of
from seqgen_core.data.fetching.wanted import Item, gather, merge
from seqgen_core.errors import UsageError
from seqgen_core.files import fsync_directory
from seqgen_core.progress import Progress, Silent
from seqgen_core.settings.download import DownloadSettings

if TYPE_CHECKING:
    from seqgen_core.data.datasets.obtain import Obtained
    from seqgen_core.data.fetching.fetch import Fetched, Fetcher

DEEPEST_LIST = 3  # lists within lists, such as a channel of playlists
TICK = 0.2  # seconds between two looks at what the jobs have done
PARTING = 3.0  # seconds that jobs get to end after Ctrl-C
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Outcome:
    """What became of one item. "listed": it was a playlist or feed; its items have outcomes of their own."""

    status: Literal["fetched", "skipped", "failed", "listed"]
    source: Source
    children: list[Item] = field(default_factory=list)


@dataclass(frozen=True)
class DownloadReport:
    """Outcomes in the order in which items were asked for; playlists themselves only where they failed."""

    out: Path
    outcomes: list[Outcome]
    dataset: "Obtained | None" = None
    """The data set of files that was asked for, if any."""
    next_command: str = ""
    """How to go on with the data set that was asked for, if any."""

    def count(self, status: str) -> int:
        """How many items ended so: "fetched", "skipped" or "failed"."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def is_success(self) -> bool:
        """Whether there is anything to work with: a data set, or at least one item, fetched now or before."""
        return self.dataset is not None or self.count("fetched") + self.count("skipped") > 0


def download(settings: DownloadSettings, progress: Progress | None = None) -> DownloadReport:
    """Fetch all that the settings name and that is not there yet.

    Raises UsageError where nothing is asked for or a list cannot be read, SeqgenError where a data set cannot be had,
    SeqgenError or OSError where the folder cannot be written. Ctrl-C passes on as KeyboardInterrupt, with the account
    in order.
    """
    progress = progress or Silent()
    dataset = _obtain(settings, progress)
    if dataset is not None:
        settings = settings.model_copy(update={"dataset": None, "mirror": None})
        if not (settings.urls or settings.lists or settings.test_lists):
            return DownloadReport(settings.out, [], dataset, dataset.dataset.next_command(dataset.folder))
    items = gather(settings, progress)
    settings.out.mkdir(parents=True, exist_ok=True)
    account = Account(settings.out)
    account.read()
    try:
        outcomes = _Run(settings, account).work(items, progress)
    finally:
        account.tidy()
        with contextlib.suppress(OSError):
            (settings.out / WORK).rmdir()
    _warn_about_leaks(settings.out, account, progress)
    next_command = find_dataset(settings.dataset).next_command(settings.out) if settings.dataset is not None else ""
    return DownloadReport(settings.out, [o for o in outcomes if o.status != "listed"], dataset, next_command)


def _obtain(settings: DownloadSettings, progress: Progress) -> "Obtained | None":
    """The named data set, where it is one of files, or is to come from a mirror."""
    if settings.dataset is None:
        if settings.mirror is not None:
            raise UsageError(
                f"There is a mirror, {settings.mirror}, but no data set to take from it.",
                hint="Name one with --dataset NAME, or leave --mirror out.",
            )
        return None
    dataset = find_dataset(settings.dataset)
    if not dataset.files and settings.mirror is None:
        return None  # a list of recordings
    from seqgen_core.data.datasets.obtain import obtain

    return obtain(dataset, settings, progress)


class _Run:
    """The jobs of one run. Only the calling thread touches the progress listener and the set of items."""

    def __init__(self, settings: DownloadSettings, account: Account) -> None:
        self._settings = settings
        self._account = account
        self._hosts = Hosts()
        self._stop = threading.Event()
        self._waiting: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Item, Outcome | BaseException]] = queue.SimpleQueue()
        self._fetchers: list[Fetcher] = []

    def work(self, items: list[Item], progress: Progress) -> list[Outcome]:
        """Outcomes of all items and of those found through them, in the order of asking."""
        from seqgen_core.data.fetching.fetch import Fetcher
        from seqgen_core.data.fetching.session import read_cookies

        cookies = read_cookies(self._settings.cookies)
        asked = {item.url: item for item in items}
        outcomes: dict[str, Outcome] = {}
        for item in items:
            self._waiting.put(item)
        threads = []
        for _ in range(min(self._settings.jobs, 64)):
            fetcher = Fetcher(self._settings, cookies, self._hosts, self._stop)
            self._fetchers.append(fetcher)
            threads.append(threading.Thread(target=self._serve, args=(fetcher,), daemon=True))
        progress.begin("download", len(asked), "items")
        try:
            for thread in threads:
                thread.start()
            while len(outcomes) < len(asked):
                self._show(progress, outcomes)
                with contextlib.suppress(queue.Empty):
                    item, outcome = self._done.get(timeout=TICK)
                    if isinstance(outcome, BaseException):
                        raise outcome
                    outcomes[item.url] = outcome
                    new = [child for child in outcome.children if merge(asked, child, progress)]
                    for child in new:
                        self._waiting.put(child)
                    if new:
                        progress.begin("download", len(asked), "items")
            self._show(progress, outcomes)
        finally:
            self._stop.set()
            for _ in threads:
                self._waiting.put(None)
            for thread in threads:
                thread.join(PARTING / len(threads))
            progress.end()
        return [self._with_split(asked[url], outcomes[url]) for url in asked]

    def _show(self, progress: Progress, outcomes: dict[str, Outcome]) -> None:
        counts = {
            status: n
            for status in ("fetched", "skipped", "failed")
            if (n := sum(outcome.status == status for outcome in outcomes.values()))
        }
        total = sum(outcome.source.bytes or 0 for outcome in outcomes.values() if outcome.status == "fetched")
        total += sum(fetcher.bytes for fetcher in self._fetchers)
        progress.update(len(outcomes), **{name: str(n) for name, n in counts.items()}, MB=f"{total / 1e6:.1f}")

    def _with_split(self, item: Item, outcome: Outcome) -> Outcome:
        """Note a split that a later list, or another list than last time, gave the item."""
        source = outcome.source
        if item.split is None or source.split == item.split:
            return outcome
        source = replace(source, split=item.split)
        self._account.record(source)
        return replace(outcome, source=source)

    def _serve(self, fetcher: "Fetcher") -> None:
        """One job: items from the queue until the run ends."""
        from seqgen_core.data.fetching.attempts import StoppedError

        while not self._stop.is_set() and (item := self._waiting.get()) is not None:
            try:
                self._done.put((item, self._one(fetcher, item)))
            except StoppedError:
                return
            except BaseException as error:  # the account cannot be written: for the calling thread to raise
                self._done.put((item, error))
                return

    def _one(self, fetcher: "Fetcher", item: Item) -> Outcome:
        out, key = self._settings.out, key_of(item.url)
        known = self._account.read().get(item.url)
        if is_present(known, out, self._settings.check):
            assert known is not None
            return Outcome("skipped", known)
        with lock(out / WORK / f"{key}.lock") as held:
            if not held:
                busy = Reason("busy", "another process is fetching it", "Run again when that has ended.")
                return Outcome("failed", self._note(item, known, reason=busy.text, next_step=busy.next_step))
            known = self._account.read().get(item.url)  # another process may just have fetched it
            if is_present(known, out, self._settings.check):
                assert known is not None
                return Outcome("skipped", known)
            outcome = self._fetch(fetcher, item, known, out / WORK / key)
            self._account.record(outcome.source)
            fetcher.bytes = 0
        if outcome.status != "failed":
            shutil.rmtree(out / WORK / key, ignore_errors=True)
            (out / WORK / f"{key}.lock").unlink(missing_ok=True)
        return outcome

    def _fetch(self, fetcher: "Fetcher", item: Item, known: Source | None, folder: Path) -> Outcome:
        from seqgen_core.data.fetching.fetch import Listing

        try:
            found = fetcher.fetch(item.url, folder)
            if isinstance(found, Listing):
                return self._expand(item, known, found)
            return Outcome("fetched", self._place(item, known, found))
        except ItemError as failure:
            reason = failure.reason
        except OSError as error:
            reason = explain(error)
        return Outcome("failed", self._note(item, known, reason=reason.text, next_step=reason.next_step))

    def _expand(self, item: Item, known: Source | None, listing: Any) -> Outcome:
        entries: list[Entry] = listing.entries[: self._settings.max_items]
        if not entries or item.depth >= DEEPEST_LIST:
            text = "the list is empty" if not entries else f"a list within {item.depth} lists"
            return Outcome("failed", self._note(item, known, reason=text, next_step="Check the address in a browser."))
        children = [Item(entry.url, item.split, entry.title, item.url, item.depth + 1) for entry in entries]
        return Outcome("listed", self._note(item, known, status="listed", title=listing.title), children)

    def _place(self, item: Item, known: Source | None, fetched: "Fetched") -> Source:
        """Move a checked file to its name in the folder; an older one of the same address goes."""
        info, out = fetched.info, self._settings.out
        identity = str(info.get("id") or "")
        readable = f"-{identity}" if _SAFE_ID.fullmatch(identity) else ""
        name = f"{key_of(item.url)}{readable}.{fetched.sound.suffix}"
        size = fetched.body.stat().st_size
        fetched.body.replace(out / name)
        fsync_directory(out)
        if known is not None and known.file not in (None, name) and Path(known.file).name == known.file:
            (out / known.file).unlink(missing_ok=True)
        return self._note(
            item,
            known,
            status="fetched",
            webpage_url=_text(info.get("webpage_url")),
            id=identity or None,
            title=item.title if info.get("direct") and item.title else _text(info.get("title")),
            uploader=_text(info.get("uploader") or info.get("channel") or info.get("artist")),
            licence=_text(info.get("license")),
            duration=round(fetched.sound.seconds, 3),
            sha256=fetched.sha256,
            bytes=size,
            file=name,
        )

    def _note(
        self, item: Item, known: Source | None, status: Literal["fetched", "failed", "listed"] = "failed", **values: Any
    ) -> Source:
        split = item.split or (known.split if known is not None else None)
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        given: dict[str, Any] = {"title": item.title, "listed_in": item.listed_in, **values}
        return Source(item.url, status, split, when=when, **given)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _warn_about_leaks(folder: Path, account: Account, progress: Progress) -> None:
    """Tell of recordings that are both trained on and tested with under different addresses."""
    for first, second in _same_recordings(folder, account):
        if {first.split, second.split} == {"train", "test"}:
            progress.warn(f"{first.url} ({first.split}) and {second.url} ({second.split}) are the same recording")


def _same_recordings(folder: Path, account: Account) -> Iterator[tuple[Source, Source]]:
    seen: dict[str, Source] = {}
    for source in account.read().values():
        if source.status == "fetched" and source.sha256 is not None and os.path.exists(folder / str(source.file)):
            if source.sha256 in seen:
                yield seen[source.sha256], source
            else:
                seen[source.sha256] = source
