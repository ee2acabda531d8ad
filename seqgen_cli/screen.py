"""The only printer: results on stdout, everything else on stderr; bars on a terminal, plain lines in a pipe."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from seqgen_cli.memory import in_use
from seqgen_cli.meter import GAP, Meter
from seqgen_cli.tables import lay_out, wrap
from seqgen_cli.terminal import console, look, write_what_it_can
from seqgen_core.errors import SeqgenError

PLAIN_INTERVAL, LONGEST_INTERVAL = 10.0, 60.0
"""Seconds between progress lines where stderr is no terminal: at first, and once a task has taken ten minutes."""
REDRAWN = 4
"""How often a second the line of progress is drawn on a terminal."""


class Screen:
    """What a command shows. Also the Progress listener that stages report to.

    verbosity: -1 shows warnings and errors only, 0 progress and results, 1 adds details.
    json_output: results go to stdout as one JSON document; tables go nowhere.
    """

    def __init__(self, verbosity: int = 0, json_output: bool = False) -> None:
        self.verbosity = verbosity
        self.json_output = json_output
        for stream in (sys.stdout, sys.stderr):
            write_what_it_can(stream)
        self._out, self._err = console(sys.stdout, stderr=False), console(sys.stderr, stderr=True)
        self._bars = look(sys.stderr).unicode  # asked now: while a line is drawn, another object stands there
        self._live: Live | None = None
        self._meter: Meter | None = None
        self._next_line, self._told = 0.0, True
        self._before_work: list[str] = []

    @property
    def width(self) -> int | None:
        """Columns of stdout; None where there is no end to a line."""
        return look(sys.stdout).width

    @property
    def unicode(self) -> bool:
        """Whether stdout shows more than ASCII."""
        return look(sys.stdout).unicode

    # results

    def result(self, data: Any) -> None:
        """The machine-readable result, printed with --json only."""
        if self.json_output:
            sys.stdout.write(json.dumps(data, indent=2, default=_plain, ensure_ascii=False, allow_nan=False) + "\n")
            sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """One line of the result for people."""
        if not self.json_output and self.verbosity >= 0:
            _print(self._out, text)

    def sentence(self, text: str) -> None:
        """Words of the result for people, wrapped where stdout has a width; not for what is copied as it stands."""
        width = self.width
        for line in [text] if width is None else wrap(text, width):
            self.line(line)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, quiet_too: bool = False
    ) -> None:
        """A table of the result for people, as `tables.lay_out` has it: '>' numbers, '~' names, else prose.

        quiet_too: its rows are warnings, which -q shows as well.
        """
        if self.json_output or (self.verbosity < 0 and not quiet_too):
            return
        heading, lines = lay_out(columns, [[str(cell) for cell in row] for row in rows], self.width)
        if title:
            _print(self._out, title, "bold")
        for line in heading:
            _print(self._out, line, "bold")
        for line in lines:
            _print(self._out, line)

    # Progress listener

    def begin(self, task: str, total: float | None, unit: str) -> None:
        self.end()
        if self.verbosity < 0:
            return
        while self._before_work:
            self.say(self._before_work.pop(0))
        self._meter, self._told = Meter(task, total, unit), True
        self._next_line = time.monotonic() + PLAIN_INTERVAL
        if self._err.is_terminal:
            self._live = Live(
                get_renderable=self._drawn,
                console=self._err,
                transient=True,
                refresh_per_second=REDRAWN,
                redirect_stdout=False,  # results are not for stderr
                vertical_overflow="crop",
            )
            self._live.start()

    def update(self, done: float, **figures: float | str) -> None:
        if self._meter is None:
            return
        self._meter.update(done, figures)
        self._told = False
        now = time.monotonic()
        if self._live is None and now >= self._next_line:
            self._write_figures(self._meter.line(in_use()))
            self._told = True
            self._next_line = now + min(LONGEST_INTERVAL, max(PLAIN_INTERVAL, (now - self._meter.started) / 10))

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._meter is not None and not self._told:
            self._write_figures(self._meter.line(in_use(), over=True))
        self._live, self._meter = None, None

    def _drawn(self) -> Text:
        if self._meter is None:
            return Text()
        # room for ^C, which the terminal writes, and a column left free, as some wrap at the last one
        line = self._meter.fitted(self._err.width - 3, in_use(), unicode=self._bars)
        return Text(line, no_wrap=True, overflow="crop")

    def say(self, line: str) -> None:
        if self.verbosity >= 0:
            self._write(line)

    def say_once_begun(self, line: str) -> None:
        """A line that comes before the next task, and not at all where none begins because of an error."""
        self._before_work.append(line)

    def detail(self, line: str) -> None:
        """A line that only -v shows."""
        if self.verbosity >= 1:
            self._write(line)

    def warn(self, line: str) -> None:
        self._write(f"warning: {line}", style="yellow")

    # failure

    def error(self, error: SeqgenError) -> None:
        """Cause, what was wanted, and what to do, a line each (a line per problem where there are several)."""
        self.end()
        for line in error.got.splitlines():
            self._write(f"error: {line}", style="red")
        if error.wanted:
            self._write(f"wanted: {error.wanted}")
        if error.hint:
            self._write(f"hint: {error.hint}")

    def trace(self) -> None:
        """The stack of the exception being handled (--debug)."""
        self.end()
        self._err.print_exception(show_locals=False)

    def _write_figures(self, line: str) -> None:
        """Figures in as many lines as they need where there is a width: none is broken in its middle."""
        width, rows = look(sys.stderr).width, [""]
        for figure in line.split(GAP):
            longer = f"{rows[-1]}{GAP}{figure}" if rows[-1] else figure
            if width is None or not rows[-1] or len(longer) <= width:
                rows[-1] = longer
            else:
                rows.append(f"{GAP}{figure}")
        for row in rows:
            self._write(row)

    def _write(self, line: str, style: str | None = None) -> None:
        _print(self._err, line, style, whole=not self._err.is_terminal)


def _print(to: Console, text: str, style: str | None = None, *, whole: bool = True) -> None:
    """The very characters, without rich's marks and signs; whole: in one line, however long."""
    to.print(Text(text, style=style or ""), soft_wrap=whole)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
