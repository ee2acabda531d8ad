"""The figures of a benchmark of generation, how they are shown, and on which machine they were measured."""

import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass
class Row:
    """One side's figures; None where there is no such thing.

    samples_per_second, floor_samples_per_second, compared_samples_per_second: of all clips together.
    real_time_factor: seconds of sound, of all clips together, per second. floor_ratio: share of the floor that is
    reached. compared_with: `reference`, the code of the paper, or `eager`. multiply_adds_per_sample: averaged over the
    clock. bytes_per_sample: of weights that are read; one reading serves all clips.
    """

    configuration: str
    engine: str
    weights: str
    batch: int
    threads: int
    samples_per_second: float
    real_time_factor: float | None = None
    floor_samples_per_second: float | None = None
    floor_ratio: float | None = None
    floor_bytes_per_second: float | None = None
    compared_with: str | None = None
    compared_samples_per_second: float | None = None
    compared_ratio: float | None = None
    multiply_adds_per_sample: float = 0.0
    bytes_per_sample: float = 0.0

    def set_floor(self, rate: float) -> None:
        """Put the figures beside the products alone."""
        self.floor_samples_per_second, self.floor_ratio = rate, self.samples_per_second / rate
        self.floor_bytes_per_second = rate * self.bytes_per_sample

    def set_compared(self, name: str, rate: float) -> None:
        """Put the figures beside another side's."""
        self.compared_with, self.compared_samples_per_second = name, rate
        self.compared_ratio = self.samples_per_second / rate


class Table:
    """A table whose lines are printed as they come. headings: as wide as their columns; left: those set to the left."""

    def __init__(self, headings: Sequence[str], left: Collection[int]) -> None:
        self._headings, self._left = headings, left

    def print_heading(self) -> None:
        """The first two lines."""
        self.print_row(self._headings)
        rules = ["-" * len(heading) for heading in self._headings]
        self.print_row([rule if place in self._left else rule[1:] + ":" for place, rule in enumerate(rules)])

    def print_row(self, cells: Sequence[str]) -> None:
        """One line."""
        widths = [len(heading) for heading in self._headings]
        laid = [
            cell.ljust(width) if place in self._left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        print("| " + " | ".join(laid) + " |", flush=True)


_HEADINGS = (
    "configuration", "engine   ", "weights", "batch", "threads", "samples/s", "× real time", "floor/s", "of floor",
    "floor GB/s", "compared with", "its samples/s", "ratio", "M multiply-adds", "MB/sample",
)  # fmt: skip
_LEFT = {0, 1, 2, 10}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    processor = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        names = [
            line.partition(":")[2].strip() for line in listed.read_text().splitlines() if line[:10] == "model name"
        ]
        processor = names[0] if names else processor
    versions = {name: version(name) for name in ("torch", "numba")}
    return {"processor": processor, "cores": str(os.cpu_count()), "python": platform.python_version(), **versions}


def print_machine(told: dict[str, str]) -> None:
    """What the figures were measured on, above the tables."""
    print(", ".join(f"{name} {value}" for name, value in told.items()))
    print()


def print_heading(told: dict[str, str], widest: int) -> None:
    """The machine, and the table's first lines."""
    print_machine(told)
    _table(widest).print_heading()


def print_row(row: Row, widest: int) -> None:
    """One line of the table; widest: characters of the longest configuration's name."""

    def text(value: float | None, form: str = ",.0f") -> str:
        return "–" if value is None else format(value, form)

    speed = None if row.floor_bytes_per_second is None else row.floor_bytes_per_second / 1e9
    _table(widest).print_row(
        [
            row.configuration,
            row.engine,
            row.weights,
            str(row.batch),
            str(row.threads),
            text(row.samples_per_second, ",.0f" if row.samples_per_second >= 100 else ".1f"),
            text(row.real_time_factor, ".3f"),
            text(row.floor_samples_per_second),
            text(row.floor_ratio, ".1%"),
            text(speed, ".1f"),
            row.compared_with or "–",
            text(row.compared_samples_per_second),
            text(row.compared_ratio, ".1f"),
            text(row.multiply_adds_per_sample / 1e6, ".3f"),
            text(row.bytes_per_sample / 1e6, ".3f"),
        ]
    )


def _table(widest: int) -> Table:
    return Table((_HEADINGS[0].ljust(widest), *_HEADINGS[1:]), _LEFT)
