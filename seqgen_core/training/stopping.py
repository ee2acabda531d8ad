"""Ctrl-C and SIGTERM as a request that the loop honours between two steps, so that a checkpoint comes first."""

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType, TracebackType
from typing import Any


class StopAsked(Exception):  # noqa: N818 - a request, not an error
    """A stop was asked for inside `StopSignals.at_once`."""


class StopSignals:
    """While entered, the first SIGINT or SIGTERM sets `requested`; a second Ctrl-C interrupts at once.

    Inside `at_once`, a block that can be left anywhere without loss, the first signal also raises StopAsked.

    patient: a second one changes nothing, as for one of several processes, which may hear each from several sides.
    Outside the main thread, where Python allows no handlers, nothing is ever requested.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.requested = ""
        self._patient = patient
        self._raising = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            if number == signal.SIGINT and not self._patient:
                raise KeyboardInterrupt
            return
        self.requested = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        if self._raising:
            raise StopAsked

    @contextlib.contextmanager
    def at_once(self) -> Generator[None]:
        """Raise StopAsked when a stop is asked for inside the block, or was before it."""
        self._raising = True
        try:
            if self.requested:
                raise StopAsked
            yield
        finally:
            self._raising = False
