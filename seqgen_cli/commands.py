"""The table of subcommands, each imported only when it is called: `seqgen --help` reads this table alone."""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS = {
    "demo": ("demo", "Show the whole road in a few minutes, with sound of its own."),
    "init": ("init", "Write a commented seqgen.toml and the folder data/raw."),
    "download": ("download", "Fetch sound from addresses and lists, or data sets by name."),
    "preprocess": ("preprocess", "Turn sound, text, notes or images into tokens on disk."),
    "train": ("train", "Train a model on prepared data, or go on with a run."),
    "tune": ("tune", "Search a few settings, trial by trial."),
    "generate": ("generate", "Draw clips from a run, or continue what is real."),
    "evaluate": ("evaluate", "Score a run in bits per token."),
    "report": ("report", "One page about runs, to hear, to see and to send around."),
    "doctor": ("doctor", "Say why it sounds like that: faults of data, runs and clips."),
    "export": ("export", "Write a run as one file: weights and settings, or ONNX."),
    "import": ("import_", "Take weights of the Seq-U-Net reference code into a run."),
    "info": ("info", "Look at models, prepared data, runs and the machine."),
}
"""Name → (module under seqgen_cli, one line of help)."""


class LazyCommands(TyperGroup):
    """The group of all subcommands."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.commands = dict.fromkeys(COMMANDS)  # the names are known, for listing and for near misses

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and build one command; None for a name that is not there."""
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _build(cmd_name)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])


def _build(name: str) -> Any:
    module = importlib.import_module(f"seqgen_cli.{COMMANDS[name][0]}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        module.register(app)
    command = get_command(app)
    command.name = name
    return command
