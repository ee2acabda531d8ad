"""Settings classes to TOML and back; None is written as nothing, or as "none" where that is not the default."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from seqgen_core.errors import SeqgenError
from seqgen_core.settings.base import Settings
from seqgen_core.settings.project import check

S = TypeVar("S", bound=Settings)


def to_toml(settings: Settings) -> str:
    """The settings as a TOML document."""
    return tomli_w.dumps(_tables(settings))  # tomlkit takes minutes over a vocabulary of tens of thousands of words


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
