"""From run folders to facts: what training logged, what the data say, what was drawn."""

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgen_core.data.store import SPLITS, PreparedData
from seqgen_core.data.yardsticks import Yardsticks, yardsticks
from seqgen_core.errors import SeqgenError
from seqgen_core.library import Run
from seqgen_core.library.blueprint import blueprint
from seqgen_core.progress import Progress
from seqgen_core.reporting.collecting import Collected, collect
from seqgen_core.reporting.facts import DataFacts, Point, RunFacts
from seqgen_core.reporting.reach import real_stretch
from seqgen_core.settings.report import ReportSettings

GENERAL = ("data", "prepared", "dataset", "datasets", "out", "output", "tokens", "processed")
"""Names of folders that do not say what is in them."""


def gather(run: Run, name: str, settings: ReportSettings, spare: Path, progress: Progress) -> RunFacts:
    """All that the page says of one run. What is missing is said there, and stops nothing.

    spare: folder for clips where nothing can be written into the run.
    """
    missing: list[str] = []
    status, lines = _told(run)
    trained, valid = _points(lines, "train"), _points(lines, "valid")
    if not trained:
        missing.append("Training logged nothing, so there are no curves.")
    elif not valid:
        missing.append("It was never validated on held-out data.")
    data = _data(run, missing, progress)
    model = blueprint(run.settings)
    checkpoint = _checkpoint(run)
    if checkpoint is None and run.folder is not None:
        missing.append("There is no checkpoint yet, so nothing can be drawn or scored.")
    made = Collected()
    if checkpoint is not None:
        made = collect(run, data, settings, spare, progress)
    speeds = [line["tokens_per_second"] for line in lines if _is_number(line.get("tokens_per_second"))]
    memory = [line["memory"] for line in lines if _is_number(line.get("memory"))]
    reach = model.receptive_field
    return RunFacts(
        name=name,
        path=run.path,
        settings=run.settings,
        status=str(status["status"]),
        reason=str(status["reason"]),
        step=max([int(status["step"]), *(point.step for point in (*trained, *valid))]),
        seconds=max((point.seconds for point in (*trained, *valid) if point.seconds is not None), default=None),
        trained=trained,
        valid=valid,
        data=_data_facts(run, data),
        checkpoint=checkpoint,
        parameters=model.parameter_count,
        receptive_field=reach,
        endless=reach is None,
        tokens_per_second=statistics.median(speeds) if speeds else None,
        memory=max(memory, default=None),
        test=_test_bits(run, data, settings, missing, progress) if checkpoint is not None else None,
        drawing_speed=_number(made.speed.get("tokens_per_second")),
        real_time=_number(made.speed.get("real_time_factor")),
        engine=str(made.speed.get("engine", "")),
        groups=tuple(made.groups),
        excerpt=None if data is None else real_stretch(data, reach),
        missing=tuple(dict.fromkeys([*missing, *made.missing])),
    )


def run_names(runs: Sequence[Run]) -> list[str]:
    """A name for each run, unlike all others: the folder's, with as much of the path before it as is needed."""
    paths = [run.path.resolve() for run in runs]
    names = [path.name or str(path) for path in paths]
    for depth in range(2, 1 + max((len(path.parts) for path in paths), default=0)):
        often = Counter(names)
        names = [
            "/".join(path.parts[-depth:]) if often[name] > 1 else name for path, name in zip(paths, names, strict=True)
        ]
    return names


def _told(run: Run) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if run.folder is None:
        return {"status": "exported", "step": 0, "reason": ""}, []
    status = run.folder.status
    return {**status, "step": status["step"] if _is_number(status["step"]) else 0}, run.folder.metrics()


def _points(lines: list[dict[str, Any]], kind: str) -> tuple[Point, ...]:
    points = [
        Point(line["step"], _number(line.get("elapsed")), float(line["bits"]))
        for line in lines
        if line["kind"] == kind and _is_number(line.get("bits"))
    ]
    return tuple(sorted(points, key=lambda point: point.step))


def _data(run: Run, missing: list[str], progress: Progress) -> PreparedData | None:
    try:
        return run.data(progress)
    except SeqgenError as error:
        missing.append(f"The data are not here: {error.got}")
        return None


def _checkpoint(run: Run) -> int | None:
    if run.folder is None:
        return 0
    return run.folder.choose("best") if run.folder.steps() else None


def _data_facts(run: Run, data: PreparedData | None) -> DataFacts:
    account, typed = run.settings.data, run.settings.train.data
    name = "imported" if account.path is None else _telling(account.path) or str(typed)
    if data is None:
        known = Yardsticks(run.settings.tokens.uniform_bits, account.order0_bits, None)
        return DataFacts(name, account.codec, None, account.content_hash or name, known)
    manifest, amounts = data.manifest, dict[str, tuple[int, int]]()
    for split in SPLITS:
        items = data.items(split)
        if items:
            amounts[split] = (len(items), sum(item.length for item in items))
    made = manifest.settings
    changed = {
        key: value
        for key, value in made.model_dump(mode="json").items()
        if key not in ("inputs", "out") and value != type(made)().model_dump(mode="json")[key]
    }
    inputs = tuple(str(path) for path in made.inputs)
    found = yardsticks(data)
    return DataFacts(name, manifest.codec, data.path, data.content_hash(), found, amounts, inputs, changed)


def _telling(path: Path) -> str:
    """The last part of a path that says something, such as a project's folder above data/prepared; else the last."""
    parts = [part for part in path.absolute().parts[1:] if part.lower() not in GENERAL]
    return parts[-1] if parts else path.name


def _test_bits(
    run: Run, data: PreparedData | None, settings: ReportSettings, missing: list[str], progress: Progress
) -> float | None:
    if not settings.evaluate or data is None:
        return None
    try:
        result = run.evaluate(split="test", device=settings.device, threads=settings.threads, progress=progress)
    except SeqgenError as error:
        missing.append(f"The test split is not scored: {error.got}")
        return None
    return result.total.bits_per_token


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None
