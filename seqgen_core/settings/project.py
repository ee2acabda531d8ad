"""The settings of a project, from seqgen.toml, presets, key=value overrides and flags to checked classes.

Later wins: defaults, then the file, then a preset (which replaces [model] whole), then overrides, then flags.
Every problem is reported at once, unknown names with the nearest known one. The word "none", in the file or in an
override, unsets a setting that can be unset.
"""

import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from seqgen_core.errors import UsageError
from seqgen_core.settings.base import Settings
from seqgen_core.settings.download import DownloadSettings
from seqgen_core.settings.evaluate import EvaluateSettings
from seqgen_core.settings.export import ExportSettings
from seqgen_core.settings.generate import GenerateSettings
from seqgen_core.settings.model import MODEL_KINDS, ModelSettings, SequnetSettings
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.problems import classes_of, nearest, sentence
from seqgen_core.settings.report import ReportSettings
from seqgen_core.settings.train import TrainSettings
from seqgen_core.settings.tune import TuneSettings

PROJECT_FILE = Path("seqgen.toml")
DEFAULT_MODEL = "sequnet"
S = TypeVar("S", bound=Settings)


class Project(Settings):
    """All settings of one project folder, one table of seqgen.toml each."""

    download: DownloadSettings = DownloadSettings()
    """What `seqgen download` fetches."""
    preprocess: PreprocessSettings = PreprocessSettings()
    """How `seqgen preprocess` turns files into tokens."""
    model: ModelSettings = SequnetSettings()
    """The model that `seqgen train` builds."""
    train: TrainSettings = TrainSettings()
    """How `seqgen train` trains it."""
    tune: TuneSettings = TuneSettings()
    """How `seqgen tune` searches settings of both."""
    generate: GenerateSettings = GenerateSettings()
    """How `seqgen generate` draws from it."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """How `seqgen evaluate` scores it."""
    export: ExportSettings = ExportSettings()
    """What `seqgen export` makes of it."""
    report: ReportSettings = ReportSettings()
    """What `seqgen report` puts on a page."""


SECTIONS: dict[str, type[Settings]] = {
    name: annotation
    for name, field in Project.model_fields.items()
    if isinstance(annotation := field.annotation, type) and issubclass(annotation, Settings)
}


def load_project(
    file: Path | None = None,
    *,
    sections: Sequence[str] = (),
    overrides: Iterable[str] = (),
    preset: str | None = None,
    flags: Mapping[str, object] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Project:
    """Settings resolved from all their sources.

    file: a TOML file; None reads ./seqgen.toml where there is one.
    sections: tables in which a bare `key=value` override is looked up, in this order.
    overrides: texts such as "train.steps=100" or "steps=100"; values are TOML, else plain text.
    preset: name of a preset whose [model] replaces the file's and whose [train] goes over the file's.
    flags: values by dotted name; those that are None are not given.
    base: tables to start from in place of a file, as those of a run that is resumed.
    Raises UsageError that lists every problem.
    """
    tables = _read(file) if base is None else {name: dict(table) for name, table in base.items()}
    for name, table in tables.items():
        if name in Project.model_fields and not isinstance(table, dict):
            raise UsageError(
                f"{name} = {table!r} in {file or PROJECT_FILE} is not right: {name} is a table.",
                hint=f"Write its settings below a line [{name}].",
            )
    given = load_preset(preset) if preset is not None else {}
    if preset is not None:
        tables["model"] = dict(given.get("model", {}))
        tables["train"] = {**tables.get("train", {}), **given.get("train", {})}
    dotted = [_split_override(text) for text in overrides]
    named = {name: value for name, value in (flags or {}).items() if value is not None}
    kind = _chosen_kind(tables, dotted, named)
    if kind != given.get("model", {}).get("kind", kind):
        raise UsageError(
            f"The preset {preset} is a {given['model']['kind']}, not a {kind}.",
            hint="Name a preset or a model, not both.",
        )
    if tables.get("model", {}).get("kind", DEFAULT_MODEL) != kind:
        tables["model"] = {}  # another model's settings say nothing about this one
    tables.setdefault("model", {})["kind"] = kind
    problems = []
    for name, value in dotted:
        path = name if "." in name else _place_bare(name, sections, kind, problems)
        if path is not None:
            _assign(tables, path, value)
    for name, value in named.items():
        _assign(tables, name, value)
    return check(Project, tables, file or PROJECT_FILE, problems)


def check(wanted: type[S], tables: Mapping[str, Any], source: Path | str, problems: Sequence[str] = ()) -> S:
    """Validate nested tables as one settings class. Raises UsageError with every problem, one line each."""
    lines = list(problems)
    checked = None
    try:
        checked = wanted.model_validate(_unset_nones(wanted, tables))
    except ValidationError as error:
        lines += [sentence(wanted, problem) for problem in error.errors()]
    if lines or checked is None:
        raise UsageError(
            "\n".join(lines),
            hint=f"`seqgen init` writes every setting with its meaning; these came from {source} and the command line.",
        )
    return checked


def field_names(annotation: Any, kind: str | None = None) -> list[str]:
    """Names of the settings in one table; for the model, those of one kind."""
    if kind is not None:
        return list(MODEL_KINDS[kind].model_fields)
    return list(annotation.model_fields)


def _read(file: Path | None) -> dict[str, Any]:
    path = file or PROJECT_FILE
    if not path.exists():
        if file is None:
            return {}
        raise UsageError(f"There is no settings file {path}.", hint="`seqgen init` writes a commented seqgen.toml.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}.",
            hint="Mend that line; `seqgen init` in another folder shows how it should look.",
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="--config takes a settings file.") from error


def _split_override(text: str) -> tuple[str, object]:
    name, separator, raw = text.partition("=")
    name = name.strip()
    if not separator or not name:
        raise UsageError(f"{text!r} is no setting.", hint="A setting is written key=value, such as train.steps=1000.")
    return name, parse_value(raw.strip())


def parse_value(raw: str) -> object:
    """A value as TOML reads it; text that is no TOML value, or a date (as folders are named), stands for itself."""
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
    return value if isinstance(value, bool | int | float | str | list | dict) else raw


def _chosen_kind(
    tables: Mapping[str, Any], overrides: Sequence[tuple[str, object]], flags: Mapping[str, object]
) -> str:
    kind = tables.get("model", {}).get("kind", DEFAULT_MODEL)
    for name, value in overrides:
        kind = value if name in ("model.kind", "kind") else kind
    kind = flags.get("model.kind", kind)
    if not isinstance(kind, str) or kind not in MODEL_KINDS:
        raise UsageError(
            f"There is no model {kind!r}{nearest(str(kind), MODEL_KINDS)}.",
            f"Models: {', '.join(MODEL_KINDS)}.",
            "Name one by --model NAME, model.kind=NAME or kind in [model].",
        )
    return kind


def _place_bare(name: str, sections: Sequence[str], kind: str, problems: list[str]) -> str | None:
    known = {}
    for section in sections:
        for field in field_names(SECTIONS.get(section), kind if section == "model" else None):
            known.setdefault(field, f"{section}.{field}")
    if name in known:
        return known[name]
    problems.append(f"There is no setting {name!r} here{nearest(name, known)}.")
    return None


def _assign(tables: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    table = tables
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UsageError(
                f"{path} cannot be set: {parent} is no table.",
                hint="A setting is named table.name, such as train.steps.",
            )
    table[last] = value


def _unset_nones(wanted: type[Settings], table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with None for the word "none", wherever the setting can be None."""
    plain = dict(table)
    for name, value in table.items():
        if name not in wanted.model_fields:
            continue
        annotation = wanted.model_fields[name].annotation
        if isinstance(value, str) and value.lower() == "none" and type(None) in typing.get_args(annotation):
            plain[name] = None
        if isinstance(value, Mapping):
            classes = classes_of(annotation)
            if len(classes) > 1:  # the union of models, told apart by kind
                classes = [cls for cls in classes if cls.model_fields["kind"].default == value.get("kind")]
            if classes:
                plain[name] = _unset_nones(classes[0], value)
    return plain
