"""Presets: named settings shipped with the package, one TOML file each: [model], and perhaps [train] and [tokens]."""

import difflib
import tomllib
from importlib.resources import files
from typing import Any

from seqgen_core.errors import UsageError


def preset_names() -> list[str]:
    """Every preset, sorted."""
    folder = files("seqgen_core.settings") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_preset(name: str) -> dict[str, Any]:
    """A preset's `description`, its table `model`, perhaps `train`, and `tokens` where it is not for 8-bit sound.

    Raises UsageError for an unknown name.
    """
    names = preset_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]}?" if close else "`seqgen info presets` describes them."
        raise UsageError(f"There is no preset {name!r}.", f"Presets: {', '.join(names)}.", hint)
    return tomllib.loads((files("seqgen_core.settings") / "presets" / f"{name}.toml").read_text(encoding="utf-8"))
