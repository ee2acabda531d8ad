"""What a sheet of clips says, and a run's metrics: whatever is no such thing, as in a damaged file, is left out."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import CodecSettings

SHEET = "sheet.json"
FIGURES = ("bits_per_token", "keys_per_frame", "contrast")
"""Of an entry, that are looked at."""


def finite(value: object) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # digits without end
        return None


def logged(lines: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The lines of metrics of a kind whose bits are a finite number."""
    return [line for line in lines if line["kind"] == kind and finite(line.get("bits")) is not None]


@dataclass(frozen=True)
class Drawn:
    """How clips were drawn, as far as it is known."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    rank: int = 0
    continued: bool = False
    """Whether they go on with real sound."""
    dither: bool | None = None
    """Whether trapped ones were to be freed; None where that is not known."""

    @property
    def cut_off(self) -> str:
        """The options that kept the less likely tokens out; empty where none did."""
        told = [f"--top-k {self.top_k}"] if self.top_k else []
        return " and ".join([*told, *([f"--top-p {self.top_p:g}"] if self.top_p < 1 else [])])


@dataclass(frozen=True)
class Sheet:
    """A sheet. entries: of its clips, `files` a table of names in each, each of FIGURES a finite number or missing."""

    there: bool = False
    run: str = ""
    codec: CodecSettings | None = None
    drawn: Drawn = field(default_factory=Drawn)
    entries: tuple[dict[str, Any], ...] = ()


def read_sheet(folder: Path) -> Sheet:
    """The sheet of a folder; an empty one where there is none, or none that can be read."""
    try:
        told = json.loads((folder / SHEET).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Sheet()
    if not isinstance(told, dict):
        return Sheet()
    clips = told.get("clips")
    entries = tuple(_entry(one) for one in (clips if isinstance(clips, list) else ()) if isinstance(one, dict))
    run = told.get("run")
    return Sheet(
        True, run if isinstance(run, str) else "", _codec(told), _drawn(told.get("settings"), entries), entries
    )


def _entry(told: dict[str, Any]) -> dict[str, Any]:
    files = told.get("files")
    named = files.items() if isinstance(files, dict) else ()
    names = {part: name for part, name in named if part.strip() and isinstance(name, str)}
    figures = {name: number for name in FIGURES if (number := finite(told.get(name))) is not None}
    rest = {name: value for name, value in told.items() if name not in FIGURES}
    return {**rest, **figures, "files": names}


def _drawn(settings: object, entries: Iterable[dict[str, Any]]) -> Drawn:
    told = settings if isinstance(settings, dict) else {}
    given = {name: finite(told.get(name)) for name in ("temperature", "top_k", "top_p", "rank")}
    continued = any(part.split()[0] == "continuation" for entry in entries for part in entry["files"])
    return Drawn(
        _or(given["temperature"], 1.0),
        int(_or(given["top_k"], 0)),
        _or(given["top_p"], 1.0),
        int(_or(given["rank"], 0)),
        continued or told.get("conditional") is True or bool(told.get("prime")),
        told["dither"] if isinstance(told.get("dither"), bool) else None,
    )


def _or(number: float | None, usual: float) -> float:
    return usual if number is None else number


def _codec(told: dict[str, Any]) -> CodecSettings | None:
    try:
        return TypeAdapter(CodecSettings).validate_python(told["codec"])
    except (KeyError, ValidationError):
        return None


def run_of_clips(folder: Path) -> Path | None:
    """The run that a folder of clips was drawn from: the one that it lies in, else the one that its sheet names, from
    here or from one of the folders that it lies in."""
    inside = folder.resolve().parent.parent
    named = Path(read_sheet(folder).run)
    places = [inside, *([named, *(above / named for above in folder.resolve().parents)] if named.name else [])]
    return next((place for place in places if _is_run(place)), None)


def _is_run(place: Path) -> bool:
    try:
        return (place / "settings.toml").is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def newest_samples(run: RunFolder) -> Path | None:
    """The folder of clips of a run that was written last; None where there is none."""
    sheets = list(run.path.glob(f"samples/*/{SHEET}"))
    return max(sheets, key=lambda sheet: (sheet.stat().st_mtime, str(sheet))).parent if sheets else None
