"""One YoutubeDL that continues only what it can prove to be the same content, and writes only where it is told.

yt-dlp on its own continues any `.part` it finds, even of other content, and takes a partial file within 100 bytes of
the announced length for complete. Here the validators of RFC 9110 (section 8.8: ETag, Last-Modified) are kept beside
the partial file, sent along as If-Range, and compared with the answer.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from yt_dlp import YoutubeDL
from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import HTTPError, RequestError
from yt_dlp.utils import DownloadError

from seqgen_core.data.fetching.reasons import ItemError, Reason
from seqgen_core.data.fetching.sources import BODY
from seqgen_core.errors import UsageError
from seqgen_core.files import write_text_atomically
from seqgen_core.settings.download import DownloadSettings

PART = f"{BODY}.part"
FINGERPRINT = "fingerprint.json"
CHANGED = Reason("changed", "the file changed on its server while it was fetched", "Run the same command again.", True)


@dataclass(frozen=True)
class Fingerprint:
    """What tells two versions of a file apart: validators as the server sent them, and its length in bytes."""

    etag: str | None = None
    modified: str | None = None
    length: int | None = None

    @classmethod
    def of(cls, headers: Message, status: int) -> "Fingerprint":
        """The fingerprint of an answer; the length is that of the whole file, also where only a range was sent."""
        length = headers.get("Content-Length")
        if status == 206:
            length = (headers.get("Content-Range") or "").rpartition("/")[2]
        if headers.get("Content-Encoding"):
            length = None  # counts compressed bytes
        known = length is not None and length.strip().isdigit()
        return cls(headers.get("ETag"), headers.get("Last-Modified"), int(length) if known and length else None)

    @property
    def condition(self) -> str | None:
        """Value of If-Range: a strong ETag, else the date, else nothing."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified

    def agrees(self, other: "Fingerprint") -> bool:
        """Whether nothing that both know differs."""
        pairs = [(self.etag, other.etag), (self.modified, other.modified), (self.length, other.length)]
        return all(mine == yours for mine, yours in pairs if mine is not None and yours is not None)


def read_fingerprint(folder: Path) -> Fingerprint | None:
    """The fingerprint kept beside a partial file, None where there is none that can be read."""
    try:
        return Fingerprint(**json.loads((folder / FINGERPRINT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class Messages:
    """yt-dlp's logger: keeps warnings, shows nothing."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, message: str) -> None: ...

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    def error(self, message: str) -> None: ...


class Session(YoutubeDL):
    """A YoutubeDL whose one file is `folder/body`, partial as `folder/body.part` with its fingerprint."""

    def __init__(
        self,
        folder: Path,
        settings: DownloadSettings,
        cookies: str | None,
        on_progress: Callable[[dict[str, Any]], None],
    ) -> None:
        self.messages = Messages()
        self._folder = folder
        self._fetching = False
        self._open: list[Response] = []
        self._fault: Exception | None = None  # of the last request, which yt-dlp's own error does not tell
        super().__init__(_options(settings, cookies, self.messages, on_progress))  # type: ignore[arg-type]

    def prepare_filename(self, *args: Any, **kwargs: Any) -> str:
        return str(self._folder / BODY)  # a template would expand $ and % in the folder's own name

    def dl(self, name: str, info: dict[str, Any], subtitle: bool = False, test: bool = False) -> Any:
        self._hang_up()  # the look at a file leaves its whole body on the way
        self._fetching = info.get("protocol") in ("http", "https")  # not a stream of pieces
        self._fault = None
        try:
            return super().dl(name, info, subtitle, test)
        except DownloadError as error:
            raise error from (error.__cause__ or self._fault)
        finally:
            self._fetching = False

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        while self._open:
            self._open.pop().close()

    def _ask(self, req: Any) -> Response:
        self._fault = None
        try:
            response = super().urlopen(req)
        except RequestError as error:
            self._fault = error
            if isinstance(error, HTTPError):
                self._open.append(error.response)
            raise
        self._open.append(response)
        return response

    def urlopen(self, req: Any) -> Response:
        if not self._fetching or not isinstance(req, Request):
            return self._ask(req)
        start = _range_start(req.headers.get("Range"))
        known = read_fingerprint(self._folder) if start else None
        if known is not None and known.condition:
            req.headers["If-Range"] = known.condition
        try:
            response = self._ask(req)
        except HTTPError as error:
            if error.status == 416:
                raise ItemError(CHANGED, restart=True) from error
            raise
        arrived = Fingerprint.of(response.headers, response.status)
        if start and response.status == 206:
            if known is None or not known.agrees(arrived):
                raise ItemError(CHANGED, restart=True)
        else:
            write_text_atomically(self._folder / FINGERPRINT, json.dumps(asdict(arrived)))
        return response


def read_cookies(path: Path | None) -> str | None:
    """The text of a cookies file. Raises UsageError where it cannot be read."""
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"The cookies file {path} cannot be read: {error.strerror}.") from error
    if not re.search(r"^\S+\t(TRUE|FALSE)\t", text, re.MULTILINE):
        raise UsageError(
            f"{path} holds no cookies.", "A cookies file is in the Netscape format, seven columns between tabs."
        )
    return text


def _range_start(header: str | None) -> int:
    match = re.match(r"bytes=(\d+)-", header or "")
    return int(match[1]) if match else 0


def _options(
    settings: DownloadSettings, cookies: str | None, messages: Messages, on_progress: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "quiet": True,
        "noprogress": True,
        "color": "never",
        "logger": messages,
        "progress_hooks": [on_progress],
        "format": settings.format,
        "fixup": "never",  # would want ffmpeg
        "hls_prefer_native": True,
        "updatetime": False,
        "retries": 0,  # counted by us, with back-off
        "extractor_retries": 0,
        "file_access_retries": 0,
        "fragment_retries": settings.retries,
        "retry_sleep_functions": {"fragment": lambda n: min(settings.backoff * 2**n, settings.longest_wait)},
        "skip_unavailable_fragments": False,  # a hole in the sound is no success
        "socket_timeout": settings.timeout,
        "noplaylist": True,  # the address of one recording means that one, whatever list it also names
        "extract_flat": "in_playlist",
        "js_runtimes": {"deno": {}, "node": {}},
    }
    if settings.max_items is not None:
        options["playlistend"] = settings.max_items
    if settings.rate_limit is not None:
        options["ratelimit"] = settings.rate_limit * 1000 / settings.jobs  # bytes a second
    if settings.proxy is not None:
        options["proxy"] = settings.proxy
    if cookies is not None:
        options["cookiefile"] = io.StringIO(cookies)  # a path would be written back to
    return options
