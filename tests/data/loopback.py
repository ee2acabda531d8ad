"""A web server on the loopback that misbehaves on request: drops, stalls, truncates, lies, and says 429.

A behaviour is a function (request, number of earlier requests) that answers; `serve` makes the usual ones.
"""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 4096  # bytes written at a time


class Loopback(ThreadingHTTPServer):
    """Paths are given behaviours with `route`; `asked` counts requests, `ranges` keeps their Range headers."""

    daemon_threads = False  # so that closing waits for every connection to end

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: dict[str, Callable[[Any, int], None]] = {}
        self.asked: dict[str, int] = defaultdict(int)
        self.ranges: dict[str, list[str | None]] = defaultdict(list)
        self.headers_seen: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.finish = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.finish.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def route(self, path: str, behaviour: Callable[[Any, int], None]) -> str:
        """Give a path a behaviour, called with the request and the number of requests before; returns its address."""
        self.routes[path] = behaviour
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    server: Loopback  # ty: ignore[incompatible-mutable-override]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path
        count = self.server.asked[path]
        self.server.asked[path] += 1
        self.server.ranges[path].append(self.headers.get("Range"))
        self.server.headers_seen[path].append(dict(self.headers))
        self.close_connection = True
        behaviour = self.server.routes.get(path)
        if behaviour is None:
            answer(self, 404, b"nothing here")
        else:
            behaviour(self, count)

    def log_message(self, format: str, *args: Any) -> None: ...


def answer(
    request: Any, status: int, body: bytes = b"", kind: str = "text/plain", length: int | None = -1, **headers: str
) -> None:
    """One answer. length: -1 announces the true length, None none at all, else that number. _ in names stands for -."""
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Connection", "close")
    if length is not None:
        request.send_header("Content-Length", str(len(body) if length == -1 else length))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def serve(
    body: bytes,
    kind: str = "audio/wav",
    *,
    ranges: bool = True,
    etag: str | None = '"one"',
    honest: bool = True,
    pause: float = 0.0,
    drop_after: Callable[[int], int | None] = lambda count: None,
    stall_after: Callable[[int], int | None] = lambda count: None,
) -> Callable[[Any, int], None]:
    """A file server. honest: an If-Range that does not match gets the whole file. pause: seconds between pieces.

    drop_after, stall_after: by number of the request, bytes sent before hanging up or falling silent.
    """

    def behave(request: Any, count: int) -> None:
        asked, condition = request.headers.get("Range"), request.headers.get("If-Range")
        start = 0
        if asked and ranges and (condition is None or condition == etag or not honest):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        partial = bool(asked and ranges and (start or condition is None))
        if partial and start >= len(body):
            answer(request, 416, Content_Range=f"bytes */{len(body)}")
            return
        request.send_response(206 if partial else 200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("Connection", "close")
        if partial:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if etag:
            request.send_header("ETag", etag)
        request.end_headers()
        drop, stall = drop_after(count), stall_after(count)
        end = min([len(body), *(start + limit for limit in (drop, stall) if limit is not None)])
        for place in range(start, end, PIECE):
            request.wfile.write(body[place : min(place + PIECE, end)])
            request.wfile.flush()
            if pause:
                time.sleep(pause)
        if stall is not None and start + stall < len(body):
            request.server.finish.wait(20)

    return behave


def status(*codes: int, then: Callable[[Any, int], None], **headers: str) -> Callable[[Any, int], None]:
    """So many failures first, then as `then`."""

    def behave(request: Any, count: int) -> None:
        if count < len(codes):
            answer(request, codes[count], b"not now", "text/plain", -1, **headers)
        else:
            then(request, count - len(codes))

    return behave


@contextlib.contextmanager
def running() -> Generator[Loopback]:
    """A server for the time of a block."""
    server = Loopback()
    server.start()
    try:
        yield server
    finally:
        server.stop()
