"""The trials of a search as a table that fits a terminal."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqgen_core.tuning.report import TrialReport

WIDTH = 80
"""Columns of a terminal that the table keeps to."""


def duration(seconds: float) -> str:
    """Seconds as the options take them: 90s, 5m, 1h30m."""
    whole = max(1, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return "".join(f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if n)


def trial_table(names: list[str], trials: "list[TrialReport]") -> tuple[list[str], list[list[str]]]:
    """Columns and rows within 80 columns: a column for each setting, or one for all where they are many."""
    from seqgen_core.tuning.report import shown

    columns = ["trial", ">bits", "ended", ">steps", ">time"]
    rows = [
        [
            str(trial.number),
            "" if trial.bits is None else f"{trial.bits:.4f}",
            trial.state,
            f"{trial.steps:,}",
            duration(trial.seconds),
        ]
        for trial in trials
    ]
    values = [[shown(trial.settings[name]) if name in trial.settings else "" for name in names] for trial in trials]
    short = [name.partition(".")[2] for name in names]
    wide = [
        [*columns, *(f">{name}" for name in short)],
        *(row + tried for row, tried in zip(rows, values, strict=True)),
    ]
    if _width(wide) <= WIDTH:
        return wide[0], wide[1:]
    left = max(20, WIDTH - _width([columns, *rows]) - 2)
    for row, tried in zip(rows, values, strict=True):
        said = ", ".join(f"{name} {value}" for name, value in zip(short, tried, strict=True) if value)
        row.append("\n".join(textwrap.wrap(said, left)))
    return [*columns, "settings"], rows


def _width(table: list[list[str]]) -> int:
    """Columns of a terminal that a table takes, two between columns."""
    widths = [max(len(cell.lstrip(">")) for cell in column) for column in zip(*table, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1)
