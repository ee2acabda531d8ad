"""Write docs/cli.md, docs/models.md and docs/settings.md from the program itself: `python docs/generate.py`.

tests/test_docs.py fails while one of them says something else than the program.
"""

import os
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from seqgen_cli.choosing import preset_model
from seqgen_cli.main import app
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.presets import load_preset, preset_names
from seqgen_core.settings.project import SECTIONS, Project, load_project

WIDTH = "100"
NOTE = "<!-- Written by docs/generate.py; change the program, then run it again. -->\n"
RATE = 16000  # Hz


def cli_page() -> str:
    """Every command's own help."""
    parts = [NOTE, "# Commands\n"]
    for words in _commands(get_command(app), []):
        result = CliRunner().invoke(
            app, [*words, "--help"], prog_name="seqgen", env={"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH}
        )
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## {' '.join(['seqgen', *words])}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting of seqgen.toml: name, default, sentence."""
    parts = [
        NOTE,
        "# Settings\n",
        "Tables of `seqgen.toml`. Any of them can be given to a command as `table.name=value`; `none` unsets one.\n",
    ]
    for name, field in Project.model_fields.items():
        if name == "model":
            parts.append(
                "## [model]\n\nThe model that `seqgen train` builds; its settings are in [models.md](models.md).\n"
            )
            continue
        parts.append(f"## [{name}]\n\n{field.description}\n\n{_table(SECTIONS[name])}\n")
    return "\n".join(parts)


def models_page() -> str:
    """Every kind of model with its settings, and every preset with its size and reach."""
    parts = [NOTE, "# Models\n"]
    for kind, settings in MODEL_KINDS.items():
        module = __import__(f"seqgen_core.models.{kind}", fromlist=["__doc__"])
        parts.append(f"## {kind}\n\n{(module.__doc__ or '').strip()}\n\n{_table(settings)}\n")
    rows = [
        "| preset | model | parameters | multiply-adds per token | receptive field | at 16 kHz | what for |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name in preset_names():
        settings = load_project(base={}, preset=name).model
        chosen = preset_model(name, settings, RATE)
        model = chosen.build(shapes_only=True)
        reach, purpose = model.receptive_field, load_preset(name)["description"]
        time = "" if reach is None or chosen.rate is None else f"{1000 * reach / chosen.rate:,.1f} ms"
        rows.append(
            f"| `{name}` | {settings.kind} | {model.parameter_count:,} | {model.multiply_adds:,.0f}"
            f" | {'endless' if reach is None else f'{reach:,} {chosen.unit}s'} | {time} | {purpose} |"
        )
    parts.append("## Presets\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


PAGES = {"cli.md": cli_page, "settings.md": settings_page, "models.md": models_page}


def _commands(command: Any, words: list[str]) -> list[list[str]]:
    found = [words]
    for name in list(getattr(command, "commands", {})):
        found += _commands(command.get_command(None, name), [*words, name])
    return found


def _table(settings: Any) -> str:
    rows = ["| name | default | meaning |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "none" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
        if isinstance(default, tuple):
            shown = "[" + ", ".join(f'"{value}"' for value in default) + "]"
        sentence = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | `{shown}` | {sentence} |")
    return "\n".join(rows)


if __name__ == "__main__":
    os.environ["COLUMNS"] = WIDTH
    for file, page in PAGES.items():
        (Path(__file__).parent / file).write_text(page(), encoding="utf-8")
