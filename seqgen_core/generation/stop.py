"""Ctrl-C while drawn clips are handed on: what is drawn is kept first, and nothing more is drawn."""

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType


class Stop:
    """asked: drawing is to end once what is drawn was handed on. twice: at once, as a second Ctrl-C wants it."""

    def __init__(self) -> None:
        self.asked, self.twice = False, False

    @contextlib.contextmanager
    def later(self) -> Generator[None]:
        """A block that the first Ctrl-C lets end well; the next raises KeyboardInterrupt inside it.

        Where Ctrl-C is somebody else's already, or outside the main thread, it does what it does there.
        """
        here = threading.current_thread() is threading.main_thread()
        if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.twice = True
            raise KeyboardInterrupt
        self.asked = True
