"""Settings classes to TOML and back; None is written as nothing, or as "none" where that is not the default."""

import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.base import Settings
from seqgen_core.settings.project import check

S = TypeVar("S", bound=Settings)


def to_toml(settings: Settings) -> str:
    """The settings as a TOML document."""
    return "\n".join(_lines(_tables(settings), ())) + "\n"


def _lines(table: dict[str, Any], place: tuple[str, ...]) -> list[str]:
    inner = {name: value for name, value in table.items() if isinstance(value, dict)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in table.items() if name not in inner]
    if place and (lines or not inner):
        lines = ["", f"[{'.'.join(map(_key, place))}]", *lines]
    for name, value in inner.items():
        lines += _lines(value, (*place, name))
    return lines


def _key(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else _value(name)


def _value(value: Any) -> str:
    # By hand, since tomlkit takes minutes over a vocabulary of tens of thousands of words.
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):  # JSON's escapes are TOML's, but TOML escapes DEL too
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _tables(settings: Settings) -> dict[str, Any]:
    plain = settings.model_dump(mode="json")
    tables: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings):
            tables[name] = _tables(value)
        elif value is not None:
            tables[name] = plain[name]
        elif field.default is not None:
            tables[name] = "none"
    return tables


def read_toml(wanted: type[S], path: Path) -> S:
    """Settings from a file that `to_toml` wrote. Raises SeqgenError when it is no such file."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SeqgenError(
            f"{path} is damaged: {error}.", hint="Bring it back from a copy, or use another run."
        ) from error
    return check(wanted, tables, path)
