"""The only printer: results on stdout, everything else on stderr; bars on a terminal, plain lines in a pipe."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from seqgen_core.errors import SeqgenError

PLAIN_INTERVAL = 10.0
"""Seconds between progress lines when stderr is no terminal."""
PLAIN_WIDTH = 100
WIDE = 110
"""Columns from which a bar has room beside the figures."""


class Screen:
    """What a command shows. Also the Progress listener that stages report to.

    verbosity: -1 shows warnings and errors only, 0 progress and results, 1 adds details.
    json_output: results go to stdout as one JSON document; tables go nowhere.
    """

    def __init__(self, verbosity: int = 0, json_output: bool = False) -> None:
        self.verbosity = verbosity
        self.json_output = json_output
        self._out = Console(highlight=False, soft_wrap=True) if sys.stdout.isatty() else _plain_console(sys.stdout)
        self._err = Console(stderr=True, highlight=False) if sys.stderr.isatty() else _plain_console(sys.stderr)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name, self._unit, self._total = "", "", None
        self._next_line = 0.0
        self._last: tuple[float, Mapping[str, float | str]] | None = None

    # results

    def result(self, data: Any) -> None:
        """The machine-readable result, printed with --json only."""
        if self.json_output:
            sys.stdout.write(json.dumps(data, indent=2, default=_plain, ensure_ascii=False, allow_nan=False) + "\n")
            sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """One line of the result for people."""
        if not self.json_output and self.verbosity >= 0:
            self._out.print(escape(text), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table of the result for people; columns that start with '>' are right-aligned."""
        if self.json_output or self.verbosity < 0:
            return
        table = Table(title=escape(title) or None, title_justify="left", title_style="bold", pad_edge=False, box=None)
        for name in columns:
            right = name.startswith(">")
            table.add_column(
                escape(name.lstrip(">")), justify="right" if right else "left", overflow="fold", no_wrap=right
            )
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        self._out.print(table)

    # Progress listener

    def begin(self, task: str, total: float | None, unit: str) -> None:
        self.end()
        self._name, self._unit, self._total = task, unit, total
        if self.verbosity < 0:
            return
        if self._err.is_terminal:
            cut = Column(no_wrap=True, overflow="ellipsis")  # the figures give way, not the clock
            bar = [BarColumn(bar_width=24)] if self._err.width >= WIDE else []
            self._bar = Progress(
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                *bar,
                TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[figures]}", table_column=cut),
                console=self._err,
                transient=True,
            )
            self._task = self._bar.add_task(escape(task), total=total, figures="")
            self._bar.start()
        else:
            self._next_line = time.monotonic() + PLAIN_INTERVAL

    def update(self, done: float, **figures: float | str) -> None:
        if self.verbosity < 0:
            return
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, figures=escape(self._figures(done, figures)))
            return
        self._last = (done, figures)
        if time.monotonic() >= self._next_line:
            self._write(f"{self._name}: {self._figures(done, figures)}")
            self._last = None
            self._next_line = time.monotonic() + PLAIN_INTERVAL

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._last is not None:
            self._write(f"{self._name}: {self._figures(*self._last)}")
        self._bar, self._task, self._last = None, None, None

    def say(self, line: str) -> None:
        if self.verbosity >= 0:
            self._write(line)

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

    def _figures(self, done: float, figures: Mapping[str, float | str]) -> str:
        amount = f"{done:,.0f}" + (f"/{self._total:,.0f}" if self._total else "") + f" {self._unit}"
        parts = [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
        ]
        return "  ".join([amount, *parts])

    def _write(self, line: str, style: str | None = None) -> None:
        self._err.print(escape(line), style=style, soft_wrap=not self._err.is_terminal)


def _plain_console(stream: Any) -> Console:
    return Console(file=stream, width=PLAIN_WIDTH, highlight=False, no_color=True, soft_wrap=True)


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
