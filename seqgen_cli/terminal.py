"""What a stream can show: whether a person watches it, colours, how wide it is, which characters."""

import codecs
import os
import shutil
from dataclasses import dataclass
from typing import Any, TextIO

_PLAIN = str.maketrans("…·−–—×≤≥“”‘’", "~.---x<>\"\"''")
"""One column of ASCII for one column of what our own tables and sentences hold."""


@dataclass(frozen=True)
class Look:
    """interactive: lines can be drawn over. colour: colours and bold are wanted. unicode: more than ASCII is shown.

    width: columns, None where there is no end to a line, as in a pipe or a file.
    """

    interactive: bool
    colour: bool
    unicode: bool
    width: int | None


def look(stream: TextIO) -> Look:
    """How to write to a stream, by what it is and by NO_COLOR, FORCE_COLOR, TERM and COLUMNS.

    NO_COLOR has the last word about colour; FORCE_COLOR colours a pipe too, but draws nothing over there.
    """
    terminal = stream.isatty()
    interactive = terminal and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    colour = not os.environ.get("NO_COLOR") and (interactive or bool(os.environ.get("FORCE_COLOR")))
    unicode = (stream.encoding or "").lower().replace("-", "").replace("_", "").startswith("utf")
    named = os.environ.get("COLUMNS", "")
    width = int(named) if named.isdecimal() and int(named) else None
    if width is None and terminal:
        width = shutil.get_terminal_size().columns
    return Look(interactive, colour, unicode, width)


def write_what_it_can(stream: TextIO) -> None:
    """Characters that a stream's encoding lacks become ones of ASCII, where they would end the program."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and not look(stream).unicode:
        codecs.register_error("seqgen-plain", _plain)
        reconfigure(errors="seqgen-plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "replace").decode("ascii"), error.end


def console(stream: TextIO, *, stderr: bool) -> Any:
    """A rich console for stdout or stderr that keeps to `look`."""
    from rich.console import Console

    seen = look(stream)
    return Console(
        stderr=stderr,
        force_terminal=seen.interactive,
        color_system=("auto" if seen.interactive else "standard") if seen.colour else None,
        no_color=not seen.colour,
        width=None if seen.interactive else seen.width or _NO_END,
        highlight=False,
        soft_wrap=not seen.interactive,
    )


_NO_END = 10**6  # columns, of a line that is never wrapped
