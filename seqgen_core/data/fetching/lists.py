"""Lists of addresses: text files, .m3u lists of complete files, .pls lists.

yt-dlp takes an .m3u list for a cut-up HLS stream and refuses .pls, so both are read here.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin, urlsplit

from seqgen_core.errors import UsageError

LIST_SUFFIXES = (".m3u", ".m3u8", ".pls")
_PLS_FILE = re.compile(r"^\s*File(\d+)\s*=\s*(\S.*?)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One address of a list, with the title that the list gives it."""

    url: str
    title: str | None = None


def is_list_address(url: str) -> bool:
    """Whether the path of an address ends like that of an .m3u or .pls list."""
    return PurePosixPath(urlsplit(url).path).suffix.lower() in LIST_SUFFIXES


def is_stream(text: str) -> bool:
    """Whether a list is an HLS stream, cut into pieces of one recording, rather than a list of complete files."""
    return "#EXT-X-" in text


def parse_list(text: str, base: str = "") -> list[Entry]:
    """The entries of an .m3u or .pls list, relative addresses joined to `base`; [] where the text is neither."""
    if "\x00" in text:
        return []
    text = text.removeprefix("\ufeff").lstrip()
    if text[:10].lower() == "[playlist]":
        found = [match.groups() for line in text.splitlines() if (match := _PLS_FILE.match(line))]
        return [Entry(urljoin(base, url)) for _, url in sorted(found, key=lambda entry: int(entry[0]))]
    if text.startswith("<"):
        return []
    entries, title = [], None
    for line in map(str.strip, text.splitlines()):
        if line.upper().startswith("#EXTINF:"):
            title = line.partition(",")[2].strip() or None
        elif line and not line.startswith("#"):
            entries.append(Entry(urljoin(base, line), title))
            title = None
    return entries


def read_list_file(path: Path) -> list[Entry]:
    """The entries of a local list: .m3u, .pls, else one address a line as `yt_dlp.utils.read_batch_urls` has it.

    Raises UsageError where the file cannot be read or holds no entry.
    """
    from yt_dlp.utils import read_batch_urls

    try:
        if path.suffix.lower() in LIST_SUFFIXES:
            entries = parse_list(path.read_text(encoding="utf-8", errors="replace"))
        else:
            entries = [Entry(url) for url in read_batch_urls(path.open(encoding="utf-8", errors="replace"))]
    except OSError as error:
        raise UsageError(
            f"The list {path} cannot be read: {error.strerror}.", hint="A list is a text file with one address a line."
        ) from error
    if not entries:
        raise UsageError(f"The list {path} holds no address.", "A list is a text file with one address a line.")
    return entries
