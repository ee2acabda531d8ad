"""Patience with servers: new attempts, back-off, continuation where the content is provably the same."""

import shutil
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from seqgen_core.data.fetching.hosts import Hosts, host_of
from seqgen_core.data.fetching.reasons import ItemError, Reason
from seqgen_core.data.fetching.session import PART, read_fingerprint
from seqgen_core.settings.download import DownloadSettings

T = TypeVar("T")


class StoppedError(Exception):
    """The run was stopped; what is partial stays for the next one."""


class Attempts(ABC, Generic[T]):
    """Fetches one address at a time; each job has one. Raises ItemError or StoppedError."""

    def __init__(self, settings: DownloadSettings, cookies: str | None, hosts: Hosts, stop: threading.Event) -> None:
        self._settings = settings
        self._cookies = cookies
        self._hosts = hosts
        self._stop = stop
        self._limit = settings.max_megabytes * 1e6  # bytes
        self._beyond = "Raise the setting download.max_megabytes if you want it."
        self.bytes = 0  # of the present item, for whoever shows progress

    def fetch(self, url: str, folder: Path) -> T:
        """What is behind an address; partial files stay in `folder` when it fails for a passing reason."""
        _demand_web_address(url)
        host = host_of(url)
        folder.mkdir(parents=True, exist_ok=True)
        _drop_unprovable(folder)
        furthest = attempt = 0
        cut_before: str | None = None
        while True:
            if (lost := self._hosts.lost(host)) is not None:
                raise ItemError(lost)
            self._wait(self._hosts.pause(host))
            failure, cut = self._attempt(url, folder)
            if not isinstance(failure, ItemError):
                self._hosts.reached(host)
                return failure
            reason = failure.reason
            if not reason.unreachable and reason.kind != "timeout":
                self._hosts.reached(host)
            if cut is not None and cut == cut_before:
                raise ItemError(Reason(reason.kind, f"{reason.text}, at its source too", "Take it off the list."))
            cut_before = cut
            if failure.restart:
                empty(folder)
            size = _partial_size(folder)
            if size > furthest:
                furthest, attempt = size, 0
            hopeless = reason.unreachable and not self._hosts.reached_any
            if not reason.passing or attempt >= self._settings.retries or hopeless:
                if reason.unreachable:
                    self._hosts.lose(host, reason)
                elif reason.kind == "timeout" and not furthest:
                    self._hosts.silent(host, reason)
                if not reason.passing:
                    shutil.rmtree(folder, ignore_errors=True)
                raise failure
            self._back_off(host, reason, attempt)
            attempt += 1

    @abstractmethod
    def _attempt(self, url: str, folder: Path) -> tuple[T | ItemError, str | None]:
        """(what came, SHA-256 of what came whole and is of no use): the same twice is so at its source."""

    def _on_progress(self, status: dict[str, Any]) -> None:
        if self._stop.is_set():
            raise StoppedError
        self.bytes = status.get("downloaded_bytes") or 0
        size = max(self.bytes, status.get("total_bytes") or 0)
        if size > self._limit:
            text = f"the file is larger than {self._limit / 1e6:g} MB ({size / 1e6:.4g} MB)"
            raise ItemError(Reason("too-large", text, self._beyond), restart=True)

    def _back_off(self, host: str, reason: Reason, attempt: int) -> None:
        longest = self._settings.longest_wait
        if reason.retry_after is None:
            self._wait(min(self._settings.backoff * 2**attempt, longest))
            return
        if reason.retry_after > longest:
            raise ItemError(
                Reason(
                    reason.kind, f"{reason.text}, and asks to wait {reason.retry_after:.0f} s", "Run again after that."
                )
            )
        self._hosts.hold(host, reason.retry_after)  # for the other jobs too; waited for before the next attempt

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds) if seconds > 0 else self._stop.is_set():
            raise StoppedError


def empty(folder: Path) -> None:
    """Remove what a work folder holds, the folder included."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _demand_web_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises for an impossible one
    except ValueError:
        good = False
    if not good:
        raise ItemError(
            Reason(
                "unsupported", "not a web address", "Addresses start with https:// or http://; lists go with --list."
            )
        )


def _drop_unprovable(folder: Path) -> None:
    """Forget what an earlier run left unless a validator can show that the server still has the same content."""
    kept = read_fingerprint(folder)
    if kept is None or kept.condition is None:
        empty(folder)


def _partial_size(folder: Path) -> int:
    try:
        return (folder / PART).stat().st_size
    except OSError:
        return 0
