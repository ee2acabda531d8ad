"""One address, from the first request to a checked file, with attempts, back-off and continuation."""

import os
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yt_dlp.networking import Request
from yt_dlp.utils import YoutubeDLError, unsmuggle_url

from seqgen_core.data.fetching.accept import Sound, examine
from seqgen_core.data.fetching.hosts import Hosts, host_of
from seqgen_core.data.fetching.lists import Entry, is_list_address, is_stream, parse_list
from seqgen_core.data.fetching.reasons import ItemError, Reason, explain
from seqgen_core.data.fetching.session import BODY, PART, Session, read_fingerprint
from seqgen_core.data.fetching.sources import sha256_of
from seqgen_core.settings.download import DownloadSettings

LONGEST_LIST = 4 << 20  # bytes


class StoppedError(Exception):
    """The run was stopped; what is partial stays for the next one."""


@dataclass(frozen=True)
class Fetched:
    """A complete, checked file still in its work folder. info: yt-dlp's account of it."""

    body: Path
    sound: Sound
    sha256: str
    info: dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """An address that turned out to be a list: a playlist, a feed, an .m3u or .pls."""

    entries: list[Entry]
    title: str | None = None


class Fetcher:
    """Fetches one address at a time; each job has one. Raises ItemError or StoppedError."""

    def __init__(self, settings: DownloadSettings, cookies: str | None, hosts: Hosts, stop: threading.Event) -> None:
        self._settings = settings
        self._cookies = cookies
        self._hosts = hosts
        self._stop = stop
        self.bytes = 0  # of the present item, for whoever shows progress

    def fetch(self, url: str, folder: Path) -> Fetched | Listing:
        """The file or list behind an address; partial files stay in `folder` when it fails for a passing reason."""
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

    def _attempt(self, url: str, folder: Path) -> tuple[Fetched | Listing | ItemError, str | None]:
        """(what came, SHA-256 of a file that came whole but is cut short)."""
        (folder / BODY).unlink(missing_ok=True)
        self.bytes = 0
        found: dict[str, Any] | Listing | None = None
        try:
            with Session(folder, self._settings, self._cookies, self._on_progress) as session:
                try:
                    found = self._extract(session, url)
                    if isinstance(found, Listing):
                        return found, None
                    session.process_ie_result(found, download=True)
                except (YoutubeDLError, OSError, ItemError) as error:
                    restart = isinstance(error, ItemError) and error.restart
                    reason = _expired(explain(error, session.messages.warnings), found)
                    return ItemError(reason, restart), None
            return self._accept(folder, found)
        except (StoppedError, KeyboardInterrupt):
            raise
        except OSError as error:
            return ItemError(explain(error)), None
        except Exception as error:  # an extractor may fail in any way; the other items go on
            return ItemError(explain(error)), None

    def _extract(self, session: Session, url: str) -> dict[str, Any] | Listing:
        if is_list_address(url) and (listing := _read_list(session, url)) is not None:
            return listing
        info = session.extract_info(url, download=False)
        if info is None:
            raise ItemError(Reason("other", "yt-dlp found nothing there", "Check the address in a browser."))
        if info.get("_type") in ("playlist", "multi_video"):
            entries = [_entry(entry) for entry in info.get("entries") or [] if entry]
            return Listing([entry for entry in entries if entry is not None], info.get("title"))
        if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
            raise ItemError(Reason("live", "this is a live broadcast", "Run again when it is over."))
        if info.get("extractor_key") == "Generic" and str(info.get("protocol", "")).startswith("m3u8"):
            listing = _read_list(
                session, info.get("manifest_url") or info["url"]
            )  # complete files under a name that hides it
            if listing is not None:
                return listing
        return info

    def _accept(self, folder: Path, info: dict[str, Any]) -> tuple[Fetched | ItemError, str | None]:
        body = folder / BODY
        if not body.exists():
            return ItemError(
                Reason("other", "yt-dlp left no file", "Run again with a newer yt-dlp."), restart=True
            ), None
        length = body.stat().st_size
        expected = getattr(read_fingerprint(folder), "length", None)
        try:
            sound = examine(body, str(info.get("ext") or "").lower(), whole=expected == length)
        except ItemError as failure:
            digest = sha256_of(body) if failure.reason.kind == "truncated" else None
            return ItemError(failure.reason, restart=True), digest
        with body.open("rb+") as stream:
            os.fsync(stream.fileno())
        return Fetched(body, sound, sha256_of(body), info), None

    def _on_progress(self, status: dict[str, Any]) -> None:
        if self._stop.is_set():
            raise StoppedError
        self.bytes = status.get("downloaded_bytes") or 0
        limit = self._settings.max_megabytes * 1e6
        size = max(self.bytes, status.get("total_bytes") or 0)
        if size > limit:
            raise ItemError(
                Reason(
                    "too-large",
                    f"the file is larger than {self._settings.max_megabytes:g} MB ({size / 1e6:.4g} MB)",
                    "Raise the setting download.max_megabytes if you want it.",
                ),
                restart=True,
            )

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


def _expired(reason: Reason, found: dict[str, Any] | Listing | None) -> Reason:
    """A refusal of a site's media file may pass: such addresses expire, and each attempt asks for a new one."""
    if reason.kind == "forbidden" and isinstance(found, dict) and not found.get("direct"):
        return replace(reason, passing=True)
    return reason


def _read_list(session: Session, url: str) -> Listing | None:
    """The list at an address, None where it is an HLS stream (one recording in pieces) or no list at all."""
    response = session.urlopen(Request(url))
    text = response.read(LONGEST_LIST).decode("utf-8", "replace")
    entries = [] if is_stream(text) else parse_list(text, response.url)
    return Listing(entries) if entries else None


def _entry(entry: dict[str, Any]) -> Entry | None:
    url = entry.get("url") or entry.get("webpage_url")
    if not url:
        return None
    plain, _ = unsmuggle_url(url)
    return Entry(str(plain), entry.get("title"))
