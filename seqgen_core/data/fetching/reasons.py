"""One table from what went wrong to one plain sentence and the next step."""

import email.utils
import errno
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

UPDATE = "Try again with a newer yt-dlp: `pip install -U yt-dlp yt-dlp-ejs`."
AGAIN = "Run the same command again later: it goes on where it stopped."
COOKIES = "Export the cookies of a signed-in browser as cookies.txt and give --cookies cookies.txt."
RUNTIME = "Install a JavaScript runtime: `pip install deno yt-dlp-ejs` (or Node 22 or newer), then run again."


@dataclass(frozen=True)
class Reason:
    """Why an item failed. passing: a new attempt may help. unreachable: the server was not reached at all."""

    kind: str
    text: str
    next_step: str
    passing: bool = False
    unreachable: bool = False
    retry_after: float | None = None


class ItemError(Exception):
    """An item that could not be had. restart: what was fetched of it must not be continued."""

    def __init__(self, reason: Reason, restart: bool = False) -> None:
        super().__init__(reason.text)
        self.reason = reason
        self.restart = restart


STATUSES = {
    401: Reason("sign-in", "the site wants a sign-in (401)", COOKIES),
    402: Reason("sign-in", "the site wants payment (402)", COOKIES),
    403: Reason("forbidden", "the site forbids access (403)", f"Check the address in a browser. {COOKIES}"),
    404: Reason("not-found", "there is nothing at this address (404)", "Check the address, or take it off the list."),
    407: Reason(
        "proxy",
        "the proxy wants a password (407)",
        "Give it in the proxy address: --proxy http://user:password@host:port.",
    ),
    408: Reason("timeout", "the server gave up waiting (408)", AGAIN, passing=True),
    410: Reason("not-found", "this was removed for good (410)", "Take it off the list."),
    425: Reason("server", "the server asks for a later attempt (425)", AGAIN, passing=True),
    429: Reason(
        "too-many", "the server refuses so many requests (429)", "Wait, then run again with --jobs 1.", passing=True
    ),
    451: Reason("legal", "this is withheld for legal reasons (451)", "Take it off the list."),
}

OS_ERRORS = {
    errno.ENOSPC: Reason(
        "disk-full", "the disk is full", "Free some space or choose another folder with --out, then run again."
    ),
    errno.EDQUOT: Reason(
        "disk-full", "the disk quota is used up", "Free some space or choose another folder with --out, then run again."
    ),
    errno.EACCES: Reason("no-access", "the folder cannot be written", "Choose another folder with --out."),
    errno.EROFS: Reason("no-access", "the folder is on a read-only disk", "Choose another folder with --out."),
}
UNREACHABLE = {
    errno.ENETUNREACH: "the network cannot be reached (offline?)",
    errno.ENETDOWN: "the network is down (offline?)",
    errno.EHOSTUNREACH: "the server cannot be reached (offline?)",
    errno.ECONNREFUSED: "the server refuses the connection",
}
ONLINE = "Check the network connection and the address, then run the same command again."

# what sites and yt-dlp say, first match counts
MESSAGES = [
    (
        r"unsupported url scheme|file:// urls are disabled",
        Reason(
            "unsupported",
            "only http and https addresses can be fetched",
            "For files on this machine: `seqgen preprocess FOLDER`.",
        ),
    ),
    (
        r"unsupported url",
        Reason(
            "unsupported",
            "a page in which no sound was found",
            "Give the address of a media file, a feed or a page that yt-dlp supports.",
        ),
    ),
    (r"is not a valid url|invalid url", Reason("unsupported", "not a web address", "Write it with https:// in front.")),
    (
        r"not a bot",
        Reason("sign-in", "YouTube wants proof of a person before it answers", f"{COOKIES} Or wait some hours."),
    ),
    (r"confirm your age|age.restricted", Reason("sign-in", "age-restricted, the site wants a sign-in", COOKIES)),
    (r"members.only|join this channel", Reason("sign-in", "for members of the channel only", COOKIES)),
    (
        r"private video|video is private|is private",
        Reason("private", "the video is private", f"Take it off the list, or if you may see it: {COOKIES}"),
    ),
    (
        r"your (country|location|region)|geo.?restrict|geo.?block",
        Reason(
            "geo-blocked",
            "the site does not offer this in your country",
            "Take it off the list, or give the address of a proxy elsewhere with --proxy.",
        ),
    ),
    (r"\bdrm\b", Reason("drm", "the sound is copy-protected (DRM)", "Take it off the list.")),
    (r"live event|premieres in|will begin in", Reason("live", "this has not begun yet", "Run again when it is over.")),
    (
        r"requested format is not available|no video formats found|only images are available",
        Reason(
            "no-format",
            "nothing on offer fits the wanted format",
            "Loosen the setting download.format, for example to bestaudio/best.",
        ),
    ),
    (
        r"removed|terminated|no longer available|unavailable|is(n.t| not) available|does not exist|been deleted",
        Reason("removed", "the video is gone or not available", "Take it off the list."),
    ),
    (r"log.?in|sign.?in|registered users|authenticat|password", Reason("sign-in", "the site wants a sign-in", COOKIES)),
    (
        r"redirect loop|too many redirects",
        Reason("not-found", "the server sends the request in circles", "Check the address in a browser."),
    ),
    (
        r"certificate verify",
        Reason(
            "certificate",
            "the server's certificate cannot be trusted",
            "Check the clock of this machine, then `pip install -U certifi`.",
        ),
    ),
    (
        r"ffmpeg",
        Reason(
            "no-format",
            "this stream could only be put together by ffmpeg",
            "Loosen the setting download.format, for example to best.",
        ),
    ),
    (r"timed out|timeout", Reason("timeout", "the server sent nothing for too long", AGAIN, passing=True)),
    (
        r"bytes read|expected|incomplete|connection (reset|aborted)|broken pipe|end closed|eof occurred|ssl",
        Reason("dropped", "the connection broke off", AGAIN, passing=True),
    ),
    (
        r"did not get any data blocks",
        Reason("empty", "the server sent nothing", "Check the address in a browser.", passing=True),
    ),
]


def explain(error: BaseException, warnings: Sequence[str] = ()) -> Reason:
    """The reason behind any exception of a fetch. warnings: what yt-dlp said before it."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, ItemError):
            return link.reason
    for link in chain:
        if isinstance(link, OSError) and not isinstance(link, socket.gaierror) and link.errno in OS_ERRORS:
            return OS_ERRORS[link.errno]
    for link in chain:
        if isinstance(link, socket.gaierror):
            return Reason("offline", "the server's name cannot be found (offline?)", ONLINE, True, True)
        if isinstance(link, OSError) and link.errno in UNREACHABLE:
            return Reason("offline", UNREACHABLE[link.errno], ONLINE, True, True)
    said = re.sub(r"\w+://\S+", "", " ".join(str(link) for link in chain))  # words in an address say nothing
    if _lacks_runtime(said, warnings):
        return Reason("no-runtime", "YouTube needs a JavaScript runtime, and none was found", RUNTIME)
    for link in chain:
        status, response = getattr(link, "status", None), getattr(link, "response", None)
        if isinstance(status, int) and status >= 400 and response is not None:
            return _of_status(status, response.headers.get("Retry-After"))
    if named := re.search(r"HTTP Error ([45]\d\d)", said):
        return _of_status(int(named[1]), None)
    for link in chain:
        if isinstance(link, TimeoutError):
            said += " timed out"
        elif isinstance(link, ConnectionError):
            said += " connection reset"
    for pattern, reason in MESSAGES:
        if re.search(pattern, said, re.IGNORECASE):
            return reason
    return Reason("other", _shorten(str(error)), UPDATE)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it came from, each once."""
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = getattr(link, "exc_info", None)
        causes = [inner[1] if inner else None, getattr(link, "cause", None), getattr(link, "reason", None)]
        causes += [link.__cause__, link.__context__]
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]


def _lacks_runtime(said: str, warnings: Sequence[str]) -> bool:
    warned = any(re.search(r"javascript runtime|challenge solv", line, re.IGNORECASE) for line in warnings)
    return bool(warned and re.search(r"format is not available|only images|no video formats|403", said, re.IGNORECASE))


def _of_status(status: int, retry_after: str | None) -> Reason:
    if status in STATUSES:
        reason = STATUSES[status]
    elif status >= 500:
        reason = Reason("server", f"the server has a fault ({status})", AGAIN, passing=True)
    else:
        reason = Reason("refused", f"the server refuses ({status})", "Check the address in a browser.")
    return replace(reason, retry_after=_seconds(retry_after)) if reason.passing else reason


def _seconds(retry_after: str | None) -> float | None:
    """Seconds to wait from a Retry-After header: a number, or a date (RFC 9110, section 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


def _shorten(message: str) -> str:
    text = re.sub(r"^(ERROR:\s*)?(\[[^\]]*\]\s*([^\s:]+:\s)?)?", "", " ".join(message.split()))
    text = re.split(r"; please report this|\(caused by", text)[0].strip()
    return text[:200] or "an unknown fault"
