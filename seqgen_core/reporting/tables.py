"""All runs side by side, in figures with units; and the settings in which they differ."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqgen_core.reporting.facts import RunFacts
from seqgen_core.reporting.reach import in_words
from seqgen_core.settings.base import Settings
from seqgen_core.settings.generate import GenerateSettings
from seqgen_core.settings.report import ReportSettings
from seqgen_core.settings.train import TrainSettings

NOTHING = "–"
_BY_THE_WAY = ("out", "device", "threads", "engine", "batch_size", "block")
_UNINTERESTING = ("data.content_hash", "data.path", "data.codec.vocabulary", "train.runs", "train.threads")


@dataclass(frozen=True)
class Cell:
    """What stands in a table; best: whether no other run in the row does better."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Section:
    """Rows under one heading: each a name and a cell for every run."""

    heading: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def overview(runs: Sequence[RunFacts]) -> list[Section]:
    """The table of all runs: what each is, how well it does, how fast and large it is."""
    one_kind = len({run.data.content for run in runs}) == 1
    unit = runs[0].data.codec.unit if len({run.data.codec.unit for run in runs}) == 1 else "token"

    def row(name: str, texts: list[str], low: list[float | None] | None = None, most: bool = False) -> Any:
        known = [value for value in low or [] if value is not None]
        top = (max if most else min)(known, default=None)
        marked = len(known) > 1 and one_kind
        cells = [Cell(text, marked and low is not None and low[k] == top) for k, text in enumerate(texts)]
        return name, tuple(cells)

    best = [None if run.best is None else run.best.bits for run in runs]
    last = [None if run.last is None else run.last.bits for run in runs]
    test = [run.test for run in runs]
    sections = [
        Section(
            "Model",
            (
                row("kind", [run.model for run in runs]),
                row("parameters", [_count(run.parameters) for run in runs]),
                row("receptive field", [_reach(run) for run in runs]),
            ),
        ),
        Section(
            "Data",
            (
                row("name", [run.data.name for run in runs]),
                row("tokens", [str(run.data.codec) for run in runs]),
                row("for training", [_amount(run, "train") for run in runs]),
            ),
        ),
        Section(
            f"Bits per {unit}",
            (
                row("held-out, best", [_at(run.best) for run in runs], best),
                row("held-out, last", [_at(run.last) for run in runs], last),
                *([row("test", [_bits(value) for value in test], test)] if any(test) else []),
                *(
                    row(f"{name} yardstick", [_bits(run.data.yardsticks.named().get(name)) for run in runs])
                    for name in ("uniform", "order-0", "order-1")
                ),
            ),
        ),
        Section(
            "Training",
            (
                row("state", [run.status for run in runs]),
                row("steps", [f"{run.step:,}" for run in runs]),
                row("time", [duration(run.seconds) for run in runs]),
                row("speed", [_speed(run.tokens_per_second, run) for run in runs]),
                *([row("memory", [size(run.memory) for run in runs])] if any(run.memory for run in runs) else []),
                row("weights", [size(run.parameters and 4 * run.parameters) for run in runs]),
            ),
        ),
    ]
    if any(run.drawing_speed for run in runs):
        rows = [row("speed", [_speed(run.drawing_speed, run) for run in runs])]
        if any(run.real_time for run in runs):
            rows.append(row("real-time factor", [_factor(run.real_time) for run in runs]))
        sections.append(Section("Drawing", tuple(rows)))
    return sections


def differing(runs: Sequence[RunFacts]) -> list[tuple[str, tuple[str, ...]]]:
    """Settings that several runs have, and not the same; with their value in each, those of one section together."""
    if len(runs) < 2:
        return []
    tables = [flat_settings(run) for run in runs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    sections = list(dict.fromkeys(name.partition(".")[0] for name in names))
    names.sort(key=lambda name: sections.index(name.partition(".")[0]))
    found = [(name, tuple(table.get(name, NOTHING) for table in tables)) for name in names]
    return [(name, values) for name, values in found if len(set(values) - {NOTHING}) > 1]


def flat_settings(run: RunFacts) -> dict[str, str]:
    """All settings of a run by dotted name, as text; without those that say nothing to a reader."""
    flat: dict[str, str] = {}

    def lay(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                lay(f"{prefix}.{name}" if prefix else name, inner)
        elif prefix not in (*_UNINTERESTING, "version"):
            value = ", ".join(map(str, value)) if isinstance(value, list) else value
            flat[prefix] = value if isinstance(value, str) else _value(value)

    lay("", run.settings.model_dump(mode="json"))
    return flat


def commands(run: RunFacts) -> list[str]:
    """The commands that make a run again: preparing its data, training, drawing; clips of one class each are left to
    the report, which draws them alike."""
    made, train = [], run.settings.train
    words = ["seqgen", "preprocess", *run.data.inputs, "--out", str(train.data)]
    if run.data.inputs:
        made.append(_line([*words, *(f"preprocess.{n}={_value(v)}" for n, v in run.data.preprocessing.items())]))
    if run.settings.data.path is not None:
        model = run.settings.model
        words = ["seqgen", "train", str(train.runs / run.path.name), "--model", model.kind, "--data", str(train.data)]
        words += [f"model.{name}={value}" for name, value in _changed(model, type(model)(), ("kind",))]
        words += [f"train.{name}={value}" for name, value in _changed(train, TrainSettings(), ("data", "runs"))]
        made.append(_line(words))
    for group in run.groups:
        asked = {name: value for name, value in group.settings.items() if name not in _BY_THE_WAY}
        plain = GenerateSettings().model_dump(mode="json")
        told = [f"generate.{name}={_value(value)}" for name, value in asked.items() if value != plain.get(name)]
        if told and asked.get("label") is None:
            made.append(_line(["seqgen", "generate", str(train.runs / run.path.name), *told]))
    return made


def report_command(runs: Sequence[RunFacts], settings: ReportSettings) -> str:
    """The command that makes the page."""
    words = ["seqgen", "report", *(str(run.settings.train.runs / run.path.name) for run in runs)]
    told = _changed(settings, ReportSettings(), ("out", "device", "threads"))
    return _line([*words, *(f"report.{name}={value}" for name, value in told)])


def size(value: float | None) -> str:
    """Bytes in the unit that suits them."""
    if not value:
        return NOTHING
    scale, unit = next(((s, u) for s, u in ((1e9, "GB"), (1e6, "MB")) if value >= s / 10), (1e3, "kB"))
    return f"{value / scale:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """A time in the two units that matter, such as 12 min 5 s."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60}\u00a0s"
    return f"{whole // 3600:,}\u00a0h {whole % 3600 // 60}\u00a0min"


def _changed(settings: Settings, plain: Settings, but: tuple[str, ...]) -> list[tuple[str, str]]:
    now, before = settings.model_dump(mode="json"), plain.model_dump(mode="json")
    return [(name, _value(value)) for name, value in now.items() if name not in but and value != before.get(name)]


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in value) + "]"
    return str(value)


def _line(words: Sequence[str]) -> str:
    return shlex.join(words)


def _bits(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _at(point: Any) -> str:
    return NOTHING if point is None else f"{point.bits:.3f} (step {point.step:,})"


def _count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _reach(run: RunFacts) -> str:
    if run.receptive_field is None and not run.endless:
        return NOTHING
    tokens, time = in_words(run.receptive_field, run.data.codec)
    return f"{time} ({tokens})" if time and not run.endless else "endless" if run.endless else tokens


def _amount(run: RunFacts, split: str) -> str:
    if split not in run.data.amounts:
        return NOTHING
    items, tokens = run.data.amounts[split]
    codec, several = run.data.codec, "" if items == 1 else "s"
    if codec.kind == "pixels":
        return f"{items:,} image{several}"
    if codec.tokens_per_second is None:
        return f"{tokens:,} {codec.unit}s"
    return f"{duration(tokens / codec.tokens_per_second)} ({items:,} recording{several})"


def _speed(value: float | None, run: RunFacts) -> str:
    return NOTHING if value is None else f"{value:,.0f} {run.data.codec.unit}s/s"


def _factor(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}×"
