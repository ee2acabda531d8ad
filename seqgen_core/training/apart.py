"""Work in a process of its own: its memory, its threads and its death are not those of the one that asks for it."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Literal, TypeVar

from seqgen_core.errors import SeqgenError

R = TypeVar("R")
Tell = Callable[[Any], None]


class ProcessDiedError(SeqgenError):
    """The process ended without a word, as one does that the system kills for its memory."""


def apart(
    function: Callable[..., R],
    *arguments: Any,
    told: Tell | None = None,
    method: Literal["spawn", "fork"] = "spawn",
) -> R:
    """What function(tell, *arguments) gives in a new process, which is gone afterwards, also after Ctrl-C.

    told: hears what the function says by `tell`. method: fork is quick, and safe only before torch has computed
    anything here. All that is handed over must be picklable. Raises what the function raises, and ProcessDiedError.
    """
    context = multiprocessing.get_context(method)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_begin, args=(there, function, arguments))  # ty: ignore[missing-attribute]
    process.start()
    there.close()
    try:
        while True:
            try:
                word, value = here.recv()
            except EOFError:
                process.join()
                raise ProcessDiedError(
                    f"A process of this program ended by itself (code {process.exitcode})."
                ) from None
            if word == "raised":
                raise value
            if word == "done":
                return value
            if told is not None:
                told(value)
    finally:
        process.kill()
        process.join()
        here.close()


def _begin(there: Connection, function: Callable[..., Any], arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to honour, which then ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    try:
        answer: tuple[str, Any] = "done", function(lambda value: there.send(("told", value)), *arguments)
    except BaseException as error:
        answer = "raised", error
    with contextlib.suppress(BrokenPipeError):
        there.send(answer)
