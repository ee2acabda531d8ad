"""Telling key=value overrides from ordinary arguments on a command line."""

import re
from collections.abc import Iterable
from pathlib import Path

_OVERRIDE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*=")


def split_arguments(arguments: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """(ordinary arguments, overrides). A file that exists and looks like key=value is an argument."""
    ordinary, overrides = [], []
    for argument in arguments or []:
        is_override = bool(_OVERRIDE.match(argument)) and not Path(argument).exists()
        (overrides if is_override else ordinary).append(argument)
    return ordinary, overrides
