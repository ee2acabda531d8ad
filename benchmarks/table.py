"""The figures of a benchmark of generation, and how they are shown."""

import os
import platform
from collections.abc import Sequence
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


def print_heading(told: dict[str, str], widest: int) -> None:
    """The machine, and the table's first lines."""
    print(", ".join(f"{name} {value}" for name, value in told.items()))
    print()
    _print_cells(_HEADINGS, widest)
    marks = ["-" * width if place in _LEFT else "-" * (width - 1) + ":" for place, width in enumerate(_widths(widest))]
    _print_cells(marks, widest)


def print_row(row: Row, widest: int) -> None:
    """One line of the table; widest: characters of the longest configuration's name."""

    def text(value: float | None, form: str = ",.0f") -> str:
        return "–" if value is None else format(value, form)

    speed = None if row.floor_bytes_per_second is None else row.floor_bytes_per_second / 1e9
    _print_cells(
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
        ],
        widest,
    )


def _widths(widest: int) -> list[int]:
    return [max(widest, len(_HEADINGS[0])), *(len(heading) for heading in _HEADINGS[1:])]


def _print_cells(cells: Sequence[str], widest: int) -> None:
    laid = [
        cell.ljust(width) if place in _LEFT else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, _widths(widest), strict=True))
    ]
    print("| " + " | ".join(laid) + " |", flush=True)
