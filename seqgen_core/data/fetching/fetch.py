"""One address of sound, or of a list, from the first request to a checked file."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yt_dlp.networking import Request
from yt_dlp.utils import YoutubeDLError, unsmuggle_url

from seqgen_core.data.fetching.accept import Sound, examine
from seqgen_core.data.fetching.attempts import Attempts, StoppedError
from seqgen_core.data.fetching.lists import Entry, is_list_address, is_stream, parse_list
from seqgen_core.data.fetching.reasons import ItemError, Reason, explain
from seqgen_core.data.fetching.session import Session, read_fingerprint
from seqgen_core.data.fetching.sources import BODY, sha256_of

LONGEST_LIST = 4 << 20  # bytes


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


class Fetcher(Attempts[Fetched | Listing]):
    """Fetches sound, or a list of it, through yt-dlp."""

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
