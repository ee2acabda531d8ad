"""A commented seqgen.toml: every setting with its sentence and its default, a few of them in force."""

import textwrap
from collections.abc import Mapping
from typing import Any

import tomlkit

from seqgen_core.settings.base import Settings
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import SECTIONS, Project

WIDTH = 80
HEAD = """\
# Settings of this project. Lines that begin with "# name =" show a default:
# take the "# " away to change it. One command can differ:
# `seqgen train train.batch_size=4`, or `seqgen train --batch-size 4`.
"""


def project_template(kind: str, in_force: Mapping[str, Any] | None = None) -> str:
    """The text of a seqgen.toml for one kind of model.

    in_force: values by dotted name that are written as settings; all others are shown as defaults in comments.
    """
    chosen = dict(in_force or {})
    chosen["model.kind"] = kind
    lines = [HEAD]
    for name, field in Project.model_fields.items():
        wanted = MODEL_KINDS[kind] if name == "model" else SECTIONS[name]
        lines += [*_comment(field.description or ""), f"[{name}]", *_table(name, wanted, chosen), ""]
    return "\n".join(lines)


def changed_settings(project: Project) -> dict[str, Any]:
    """Values that differ from the defaults, by dotted name, as they stand in TOML."""
    changed = {}
    for section in Project.model_fields:
        now, before = getattr(project, section), type(getattr(project, section))()
        values = {name: "none" if value is None else value for name, value in now.model_dump(mode="json").items()}
        changed |= {
            f"{section}.{name}": value for name, value in values.items() if getattr(now, name) != getattr(before, name)
        }
    return changed


def _table(section: str, settings: type[Settings], chosen: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, field in settings.model_fields.items():
        lines += _comment(field.description or "")
        dotted = f"{section}.{name}"
        if dotted in chosen:
            lines.append(f"{name} = {_value(chosen[dotted])}")
            continue
        default = field.get_default(call_default_factory=True)
        lines.append(f'# {name} = "none"' if default is None else f"# {name} = {_value(default)}")
    return lines


def _comment(text: str) -> list[str]:
    wrapped = [textwrap.wrap(line, WIDTH - 2, break_on_hyphens=False) for line in text.splitlines()]
    return [f"# {part}" for parts in wrapped for part in parts]


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return tomlkit.item(value if isinstance(value, bool | int | float) else str(value)).as_string()
