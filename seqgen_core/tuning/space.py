"""What a search is about: settings with the values that they may take, from texts as people write them.

NAME=LOW..HIGH, where " log" spreads the values evenly over orders of magnitude and " step S" keeps to a grid;
NAME=VALUE,VALUE,… for a choice. Names are those of [train] and [model], with or without the table.
"""

import math
import re
import tomllib
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seqgen_core.errors import UsageError
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import Project, load_project, nearest, parse_value
from seqgen_core.settings.train import TrainSettings

if TYPE_CHECKING:
    from optuna import Trial

Value = Any
"""Of one setting, as TOML has it; "none" unsets it."""

FOR_ANY_MODEL = ("train.learning_rate=1e-4..1e-2 log", "train.clip_norm=0.1,0.3,1,none")
"""Searched where nothing is named, beside what the model's settings name: what Seq-U-Net's reference code searches."""
TRAINING = (
    *("batch_size", "window", "context", "carry", "learning_rate", "warmup_steps", "schedule", "final_learning_rate"),
    *("beta1", "beta2", "epsilon", "weight_decay", "clip_norm", "ema", "precision", "seed"),
)
"""Settings of [train] that decide how well a model gets within its limits, and not what is measured."""
_GIVEN_BY_DATA = ("kind", "classes", "local_features")
_RANGE = re.compile(r"^(?P<low>\S+?)\s*\.\.\s*(?P<high>\S+)(?P<log>\s+log)?(?:\s+step\s+(?P<step>\S+))?(?P<more>.*)$")


@dataclass(frozen=True)
class Range:
    """All numbers from low to high, both included; whole ones where the setting is an int."""

    name: str
    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values between which all others lie."""
        return (self.low, self.high)

    @property
    def size(self) -> float:
        """How many values there are."""
        step = self.step or (1 if self.whole else 0)
        return 1 + (self.high - self.low) // step if step else math.inf

    def suggest(self, trial: "Trial") -> Value:
        """The value that a trial is to try."""
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log, step=step)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log, step=self.step)

    def value_of(self, category: Value) -> Value:
        """The value that the search library keeps under this name: itself."""
        return category

    def stands(self, project: Project) -> Value | None:
        """What the search library calls the value that a project has now; None where the range does not hold it."""
        now = _value(project, self.name)
        if isinstance(now, bool) or not isinstance(now, int | float) or not self.low <= now <= self.high:
            return None
        steps = (now - self.low) / self.step if self.step else 0.0
        return now if abs(steps - round(steps)) < 1e-9 else None


@dataclass(frozen=True)
class Choice:
    """A few values, none of them nearer to one than to another."""

    name: str
    values: tuple[Value, ...]

    @property
    def extremes(self) -> tuple[Value, ...]:
        """All values."""
        return self.values

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def suggest(self, trial: "Trial") -> Value:
        """The value that a trial is to try."""
        return self.value_of(trial.suggest_categorical(self.name, [_category(value) for value in self.values]))

    def value_of(self, category: Value) -> Value:
        """The value that the search library keeps under this name."""
        return next(value for value in self.values if _category(value) == category)

    def stands(self, project: Project) -> Value | None:
        """What the search library calls the value that a project has now; None where it is none of the choice."""
        same = [value for value in self.values if assigned(project, {self.name: value}) == project]
        return _category(same[0]) if same else None


Dimension = Range | Choice


def assigned(project: Project, values: dict[str, Value]) -> Project:
    """The project with some settings changed, by dotted name. Raises UsageError where they cannot be so."""
    return load_project(base=project.model_dump(), flags=values)


def dimensions(project: Project) -> list[Dimension]:
    """What a project's search is about. Raises UsageError that lists every problem."""
    model = project.model.kind
    texts = project.tune.search or (*FOR_ANY_MODEL, *MODEL_KINDS[model].search)  # ty: ignore[missing-attribute]
    found, problems = list[Dimension](), list[str]()
    for text in texts:
        try:
            dimension = _parse(text, project)
            if dimension.name in {other.name for other in found}:
                raise ValueError("it is searched twice")
            found.append(dimension)
        except ValueError as problem:
            problems.append(f"search {text!r}: {problem}.")
    for dimension in found:
        for value in dimension.extremes:
            try:
                assigned(project, {dimension.name: value})
            except UsageError as problem:
                problems += problem.got.splitlines()
    if problems:
        raise UsageError(
            "\n".join(dict.fromkeys(problems)),
            hint='The form is --search "learning_rate=1e-4..1e-2 log", "levels=6..10" or "features=32,64,96".',
        )
    return found


def _parse(text: str, project: Project) -> Dimension:
    name, separator, what = (part.strip() for part in text.partition("="))
    if not separator or not name or not what:
        raise ValueError("it is no NAME=LOW..HIGH and no NAME=VALUE,VALUE")
    name = _full_name(name, project)
    match = _RANGE.match(what)
    if match:
        return _range(name, match, project)
    values = _list(what)
    if len(values) < 2 or len({_category(value) for value in values}) < len(values):
        raise ValueError("a choice has two or more values, all different")
    return Choice(name, tuple(values))


def _full_name(name: str, project: Project) -> str:
    searched = {f"train.{one}" for one in TRAINING}
    searched |= {f"model.{one}" for one in type(project.model).model_fields if one not in _GIVEN_BY_DATA}
    names = [name] if "." in name else [f"train.{name}", f"model.{name}"]
    for one in names:
        if one in searched:
            return one
    known = {f"train.{one}" for one in TrainSettings.model_fields} | {f"model.{one}" for one in _GIVEN_BY_DATA}
    if known & set(names):
        raise ValueError(f"{name} can be set, but not searched")
    bare = {one.partition(".")[2] for one in searched} if "." not in name else searched
    raise ValueError(f"there is no setting {name!r} of training or of a {project.model.kind}{nearest(name, bare)}")


def _range(name: str, match: re.Match[str], project: Project) -> Range:
    if match["more"].strip():
        raise ValueError(f"after a range there is log, step S or nothing, not {match['more'].strip()!r}")
    low, high = _number(match["low"]), _number(match["high"])
    step = None if match["step"] is None else _number(match["step"])
    whole, log = _is_whole(project, name), match["log"] is not None
    if whole and any(isinstance(number, float) for number in (low, high, step)):
        raise ValueError(f"{name} is a whole number, so the ends and the step are")
    if low >= high:
        raise ValueError(f"{low:g} is not below {high:g}")
    if log and low <= 0:
        raise ValueError("a range by orders of magnitude begins above 0")
    if step is not None and (log or not 0 < step <= high - low):
        raise ValueError("a step is above 0 and no wider than the range, and goes without log")
    return Range(name, low, high, whole, log, step)


def _number(text: str) -> int | float:
    value = parse_value(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{text!r} is no number")
    return value


def _is_whole(project: Project, name: str) -> bool:
    section, _, last = name.partition(".")
    annotation = type(getattr(project, section)).model_fields[last].annotation
    kinds = set(typing.get_args(annotation)) or {annotation}
    if not kinds & {int, float}:
        raise ValueError(f"{name} is no number: name values, with commas between them")
    return float not in kinds


def _list(text: str) -> list[Value]:
    """Values with commas between them, lists among them: TOML where it is, else words."""
    try:
        return tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        return [parse_value(part.strip()) for part in text.split(",")]


def _category(value: Value) -> bool | int | float | str:
    """A value as the search library can keep it."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _value(project: Project, name: str) -> Value:
    section, _, last = name.partition(".")
    return getattr(getattr(project, section), last)
