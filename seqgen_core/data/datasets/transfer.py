"""One published file over HTTP, continued where it broke off, and compared with what the catalogue says of it."""

import hashlib
import threading
from pathlib import Path

from yt_dlp.utils import YoutubeDLError

from seqgen_core.data.datasets.entry import RemoteFile
from seqgen_core.data.datasets.unpack import content_sha256
from seqgen_core.data.fetching.attempts import Attempts, StoppedError
from seqgen_core.data.fetching.hosts import Hosts
from seqgen_core.data.fetching.reasons import AGAIN, ItemError, Reason, explain
from seqgen_core.data.fetching.session import Session, read_fingerprint
from seqgen_core.data.fetching.sources import BLOCK, BODY, sha256_of
from seqgen_core.settings.download import DownloadSettings


class FileFetcher(Attempts[Path]):
    """Fetches one file of a data set, from any of its addresses, and accepts only what the catalogue means.

    most_bytes: more than the file has where its size is not known.
    """

    def __init__(
        self, settings: DownloadSettings, cookies: str | None, hosts: Hosts, stop: threading.Event, file: RemoteFile,
        most_bytes: int,
    ) -> None:  # fmt: skip
        super().__init__(settings, cookies, hosts, stop)
        self._file, self._most_bytes = file, most_bytes
        self._limit = max(most_bytes, file.size or 0) + BLOCK
        self._beyond = "It is not the file that the catalogue means: take it from elsewhere with --mirror DIR_OR_URL."

    def _attempt(self, url: str, folder: Path) -> tuple[Path | ItemError, str | None]:
        body = folder / BODY
        if not _is_whole(folder):  # as it is where a run was killed before it could use it
            body.unlink(missing_ok=True)
            self.bytes = 0
            try:
                with Session(folder, self._settings, self._cookies, self._on_progress) as session:
                    info = {"url": url, "protocol": url.partition(":")[0].lower(), "ext": "unknown_video"}
                    session.dl(str(body), info)
            except StoppedError:
                raise
            except (YoutubeDLError, OSError, ItemError) as error:
                return ItemError(explain(error), isinstance(error, ItemError) and error.restart), None
        if not _is_whole(folder):
            return ItemError(Reason("dropped", "the connection broke off", AGAIN, passing=True), restart=True), None
        self.bytes = body.stat().st_size
        wrong = difference(self._file, body, self._most_bytes)
        if wrong is None:
            return body, None
        return ItemError(Reason("damaged", wrong, AGAIN, passing=True), restart=True), sha256_of(body)


def _is_whole(folder: Path) -> bool:
    """Whether the body is there, with the length that the server announced if it announced one."""
    kept, body = read_fingerprint(folder), folder / BODY
    return body.is_file() and kept is not None and kept.length in (None, body.stat().st_size)


def difference(file: RemoteFile, path: Path, most_bytes: int) -> str | None:
    """In what a file is not the one that the catalogue means, as a phrase; None where nothing speaks against it.

    A published sum decides; where that differs, the content of a .gz may still be the right one, packed anew. Where no
    sum is known, the size decides. most_bytes: more than the content has.
    """
    if not file.is_known:
        size = path.stat().st_size
        return None if file.size in (None, size) else f"it has {size:,} bytes instead of {file.size:,}"
    kind, wanted = ("SHA-256", file.sha256) if file.sha256 else ("MD5", file.md5)
    got = sha256_of(path) if file.sha256 else _md5_of(path)
    if got == wanted:
        return None
    if file.content_sha256 and content_sha256(path, most_bytes) == file.content_sha256:
        return None
    return f"its {kind} is {got[:12]}… instead of {wanted[:12]}…"


def _md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)  # what the publisher states, and all there is
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
