"""What the Tab key offers for an option or an argument, told by its name alone, so that every command has it.

The shell starts the program for each Tab: nothing here imports torch, and a fault offers nothing instead of a trace.
"""

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Offer = tuple[str, str]
"""What to type, and what it is."""

MOST_WORDS = 60
"""Columns of what is said about an offer: shells take it on one line."""
SECTIONS = {
    "train": ("train", "model"),
    "tune": ("train", "model", "tune"),
    "generate": ("generate",),
    "evaluate": ("evaluate",),
    "preprocess": ("preprocess",),
    "download": ("download",),
    "model": ("model", "preprocess"),
    "receptive-field": ("model", "preprocess"),
    "data": ("preprocess",),
    "run": ("train",),
}
"""Command → tables of settings whose names may stand bare; of other commands the table of their own name."""
NAMING_NO_RUN = ("preprocess", "download", "init", "import", "demo", "data", "system", "presets")
"""Commands whose arguments are no runs."""


def completer(command: str, name: str) -> Callable[..., list[Offer]] | None:
    """What completes one parameter of a command; None where there is nothing but file names, which the shell knows."""
    from seqgen_core.settings.project import Project

    own = (command,) if command in Project.model_fields else ("train",)
    sections = SECTIONS.get(command, own)
    if name in ("arguments", "runs", "run", "settings"):
        with_runs = name != "settings" and command not in NAMING_NO_RUN
        return _calling(lambda params, text: _arguments(params, text, command, sections, with_runs=with_runs))
    if name in _BY_NAME:
        return _calling(_BY_NAME[name])
    field = next((s for s in sections if name in _fields(s)), None)
    if field is None or not _choices(_fields(field)[name].annotation, name):
        return None
    return _calling(lambda params, text: [(value, "") for value in _choices(_fields(field)[name].annotation, name)])


def _calling(offers: Callable[[Mapping[str, Any], str], Sequence[Offer]]) -> Callable[..., list[Offer]]:
    import typer

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        try:
            found = [offer for offer in offers(ctx.params, incomplete) if offer[0].startswith(incomplete)]
        except Exception:  # nothing that is wrong in a file may break the line that is being typed
            return []
        return [(text, textwrap.shorten(what, MOST_WORDS, placeholder=" …")) for text, what in found]

    return complete


# what stands where


def _arguments(
    params: Mapping[str, Any], text: str, command: str, sections: Sequence[str], *, with_runs: bool
) -> list[Offer]:
    if "=" in text:
        return _values(params, text.partition("=")[0], sections)
    offers = list[Offer]()
    named = [word for word in params.get("arguments") or () if "=" not in word]
    several = command in ("report", "doctor")
    if with_runs and (several or not named):
        folder = runs_folder(params)
        offers += [(str(folder / name) if "/" in text else name, "run") for name in run_names(folder)]
    if command in ("data", "doctor") and not named:
        offers += _prepared(params, text)
    if text:
        offers += _keys(params, text, sections)
    return offers


def _keys(params: Mapping[str, Any], text: str, sections: Sequence[str]) -> list[Offer]:
    from seqgen_core.settings.project import Project

    if "." in text:
        section = text.partition(".")[0]
        known = {f"{section}.{name}": field for name, field in _fields(section, _kind(params)).items()}
    else:
        known = {name: field for s in reversed(sections) for name, field in _fields(s, _kind(params)).items()}
    matching = [(f"{name}=", _sentence(field)) for name, field in known.items() if name.startswith(text)]
    if not matching and "." not in text:
        return [(f"{section}.", "settings") for section in Project.model_fields if section.startswith(text)]
    if len(matching) == 1:  # two that begin alike, so that no shell ends the word at "="
        return [*matching, *_values(params, matching[0][0][:-1], sections)]
    return matching


def _values(params: Mapping[str, Any], key: str, sections: Sequence[str]) -> list[Offer]:
    section, _, name = key.rpartition(".")
    for place in [section] if section else sections:
        field = _fields(place, _kind(params)).get(name)
        if field is None:
            continue
        values = _choices(field.annotation, name)
        default = field.get_default(call_default_factory=True)
        if not values and default is not None and not isinstance(default, list | tuple):
            return [(f"{key}={default}", "default")]
        return [(f"{key}={value}", "") for value in values]
    return []


def _fields(section: str, kind: str | None = None) -> dict[str, Any]:
    from seqgen_core.settings.model import MODEL_KINDS
    from seqgen_core.settings.project import DEFAULT_MODEL, SECTIONS

    if section == "model":
        return dict(MODEL_KINDS.get(kind or DEFAULT_MODEL, MODEL_KINDS[DEFAULT_MODEL]).model_fields)
    return dict(SECTIONS[section].model_fields) if section in SECTIONS else {}


def _kind(params: Mapping[str, Any]) -> str | None:
    """The kind of model that a line speaks of, as far as it has been typed."""
    from seqgen_core.settings.presets import load_preset

    if params.get("model"):
        return params["model"]
    if params.get("preset"):
        return load_preset(params["preset"])["model"]["kind"]
    return _table(params, "model").get("kind")


def _choices(annotation: Any, name: str) -> list[str]:
    """All values that a setting can have; empty where they are no few words."""
    import typing

    from seqgen_core.settings.model import MODEL_KINDS

    if name in ("kind", "model"):
        return list(MODEL_KINDS)
    if name == "device":
        return ["auto", "cpu", "cuda", "mps"]
    if annotation is bool:
        return ["true", "false"]
    if typing.get_origin(annotation) is typing.Literal:
        return [str(value) for value in typing.get_args(annotation)]
    return [value for member in typing.get_args(annotation) for value in _choices(member, "")]


def _sentence(field: Any) -> str:
    return " ".join((field.description or "").split())


# what is there


def runs_folder(params: Mapping[str, Any]) -> Path:
    """The folder of runs that the project file names."""
    return Path(_table(params, "train").get("runs", "runs"))


def run_names(folder: Path) -> list[str]:
    """Names of the runs in a folder, the newest first."""
    found = [(file.stat().st_mtime, file.parent.name) for file in folder.glob("*/settings.toml")]
    return [name for _, name in sorted(found, reverse=True)]


def _run(params: Mapping[str, Any]) -> Path | None:
    """The run that a line names, else the newest."""
    folder = runs_folder(params)
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    # an option that waits for its value keeps the parser from telling the arguments before it
    for path in [place for word in line.split()[1:] for place in (Path(word), folder / word)]:
        if (path / "settings.toml").exists():
            return path
    return next((folder / name for name in run_names(folder)), None)


def _checkpoints(params: Mapping[str, Any], text: str) -> list[Offer]:
    run = _run(params)
    steps = [path.name.removeprefix("step-") for path in (run / "checkpoints").glob("step-*")] if run else []
    newest = sorted((int(step) for step in steps if step.isdecimal()), reverse=True)
    return [("best", "best held-out bits"), ("last", "newest"), *((str(step), "step") for step in newest)]


def _labels(params: Mapping[str, Any], text: str) -> list[Offer]:
    run = _run(params)
    if run is None:
        return []
    return [(name, "label") for name in _read(run / "settings.toml").get("data", {}).get("label_names", [])]


def _presets(params: Mapping[str, Any], text: str) -> list[Offer]:
    from seqgen_core.settings.presets import load_preset, preset_names

    return [(name, load_preset(name)["description"]) for name in preset_names() if name.startswith(text)]


def _models(params: Mapping[str, Any], text: str) -> list[Offer]:
    return [(kind, "") for kind in _choices(None, "kind")]


def _data_sets(params: Mapping[str, Any], text: str) -> list[Offer]:
    from seqgen_core.data.catalog import CATALOG

    return [(dataset.name, dataset.description) for dataset in CATALOG.values()]


def _prepared(params: Mapping[str, Any], text: str) -> list[Offer]:
    usual = Path(_table(params, "preprocess").get("out", "data/prepared")).parent
    begun = Path(text).parent if "/" in text else usual
    folders = {path.parent for place in (usual, begun) for path in place.glob("*/manifest.json")}
    return [(str(folder), "prepared data") for folder in sorted(folders)]


_BY_NAME: dict[str, Callable[[Mapping[str, Any], str], Sequence[Offer]]] = {
    "preset": _presets,
    "model": _models,
    "checkpoint": _checkpoints,
    "label": _labels,
    "dataset": _data_sets,
    "data": _prepared,
}


def _table(params: Mapping[str, Any], section: str) -> dict[str, Any]:
    """A table of the settings file, as it stands there."""
    table = _read(Path(params.get("config") or "seqgen.toml")).get(section, {})
    return table if isinstance(table, dict) else {}


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
