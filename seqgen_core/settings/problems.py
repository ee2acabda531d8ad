"""What is wrong with a setting, in a sentence that names the nearest thing that would be right."""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqgen_core.settings.base import Settings
from seqgen_core.settings.model import MODEL_KINDS

_MEANT = {"gpu": "cuda"}
"""What is written for something that it does not resemble."""


def nearest(name: str, known: Iterable[str]) -> str:
    """ ", did you mean …?" where a known name is close, else nothing."""
    names = list(known)
    meant = _MEANT.get(name.lower())
    close = [meant] if meant in names else difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def sentence(wanted: type[Settings], problem: Mapping[str, Any]) -> str:
    """One problem that pydantic found in settings of a class."""
    place = [str(part) for part in problem["loc"] if part not in MODEL_KINDS]
    name = ".".join(place) or "settings"
    if problem["type"] == "extra_forbidden":
        *parents, last = problem["loc"]
        return f"There is no setting {name!r}{nearest(str(last), _names_at(wanted, parents))}."
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{name} is missing."
    if problem["type"] == "literal_error":
        words = re.findall("'([^']*)'", problem["ctx"]["expected"])
        message += nearest(str(problem["input"]), words)
    if problem["type"] == "string_pattern_mismatch":  # the sentence of the setting says it in words
        words = re.findall("[a-z]{3,}", problem["ctx"]["pattern"])
        message = _description(wanted, problem["loc"]).rstrip(".") + nearest(problem["input"], words)
    if isinstance(problem["input"], dict):  # a rule about several settings of one table
        return f"{name} is not right: {message}."
    return f"{name} = {problem['input']!r} is not right: {message[0].lower() + message[1:]}."


def _description(wanted: type[Settings], place: Sequence[Any]) -> str:
    """The sentence under a setting."""
    *parents, last = place
    fields = [cls.model_fields for cls in _classes_at(wanted, parents)]
    return next((str(found[last].description) for found in fields if last in found), "")


def _names_at(wanted: Any, path: Sequence[Any]) -> list[str]:
    """Field names of the settings class found by walking `path` from `wanted`."""
    return [name for cls in _classes_at(wanted, path) for name in cls.model_fields]


def _classes_at(wanted: Any, path: Sequence[Any]) -> list[type[Settings]]:
    here = [wanted]
    for part in path:
        if part in MODEL_KINDS:
            here = [MODEL_KINDS[part]]
            continue
        here = [
            member
            for cls in here
            if part in cls.model_fields
            for member in classes_of(cls.model_fields[part].annotation)
        ]
    return here


def classes_of(annotation: Any) -> list[type[Settings]]:
    """The settings classes that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [cls for member in typing.get_args(annotation) for cls in classes_of(member)]
    return []
