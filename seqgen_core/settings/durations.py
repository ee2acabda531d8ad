"""Durations as people write them: 90, "90s", "10m", "1h30m"."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_duration(value: object) -> object:
    """Seconds of a text such as "10m" or "1h30m"; anything else is handed on for pydantic to judge."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower().replace(" ", "")
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{value!r} is no duration; write seconds or, for example, 90s, 10m, 1h30m") from None


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds, also written as "90s", "10m" or "1h30m"."""
