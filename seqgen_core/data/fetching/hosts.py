"""What the jobs of one run tell each other about servers: wait for this one, that one cannot be reached."""

import threading
import time
from urllib.parse import urlsplit

from seqgen_core.data.fetching.reasons import Reason

SILENT_ITEMS = 3  # items that time out before a server that never answered is given up


def host_of(url: str) -> str:
    """The server of an address, with its port."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


class Hosts:
    """Shared by all jobs; every method may be called from any thread.

    A server that cannot be reached at all (no such name, no route, connection refused) is given up for the rest of the
    run, so that hundreds of items do not each wait through their attempts when the machine is offline.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held_until: dict[str, float] = {}
        self._lost: dict[str, Reason] = {}
        self._reached: set[str] = set()
        self._silent: dict[str, int] = {}

    def hold(self, host: str, seconds: float) -> None:
        """Nobody asks this server for so many seconds (it said 429 or 503)."""
        with self._lock:
            self._held_until[host] = max(self._held_until.get(host, 0.0), time.monotonic() + seconds)

    def pause(self, host: str) -> float:
        """Seconds still to wait before asking this server."""
        with self._lock:
            return max(0.0, self._held_until.get(host, 0.0) - time.monotonic())

    def reached(self, host: str) -> None:
        """The server answered."""
        with self._lock:
            self._reached.add(host)
            self._lost.pop(host, None)

    def lose(self, host: str, reason: Reason) -> None:
        """The server is given up for this run."""
        with self._lock:
            self._lost[host] = reason

    def silent(self, host: str, reason: Reason) -> None:
        """An item ended without a byte from the server; after some such items and no other it is given up as well."""
        with self._lock:
            self._silent[host] = self._silent.get(host, 0) + 1
            if self._silent[host] >= SILENT_ITEMS and host not in self._reached:
                self._lost[host] = reason

    def lost(self, host: str) -> Reason | None:
        """Why the server was given up, None where it was not."""
        with self._lock:
            return self._lost.get(host)

    @property
    def reached_any(self) -> bool:
        """Whether any server has answered in this run: if none has, the machine is most likely offline."""
        with self._lock:
            return bool(self._reached)
