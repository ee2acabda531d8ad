"""What every command takes: --config, --set, --json, -q, -v, --debug; and the sentences of settings as help."""

import functools
import inspect
import os
import time
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from seqgen_cli.errors import INTERRUPTED, explain, tell_torchrun
from seqgen_core.settings.base import Settings
from seqgen_core.settings.project import PROJECT_FILE, Project, load_project

if TYPE_CHECKING:
    from seqgen_cli.screen import Screen

COMPLETING = "_SEQGEN_COMPLETE"
"""The environment variable by which a shell asks what could follow."""
OVERRIDES = "[KEY=VALUE]"
_COMMON = {
    "config": (
        Path | None,
        typer.Option("--config", help="Settings file; without it seqgen.toml in this folder, if there is one."),
        None,
    ),
    "settings": (
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; plain KEY=VALUE arguments do the same."),
        None,
    ),
    "json_output": (bool, typer.Option("--json", help="Machine-readable result on stdout."), False),
    "quiet": (bool, typer.Option("--quiet", "-q", help="Warnings and errors only."), False),
    "verbose": (bool, typer.Option("--verbose", "-v", help="More about what is done."), False),
    "debug": (bool, typer.Option("--debug", help="Show the whole trace of an error."), False),
}


@dataclass
class Shared:
    """What the common options came to, handed to every command as its first argument."""

    screen: "Screen"
    config: Path | None = None
    overrides: list[str] = field(default_factory=list)

    def project(
        self,
        sections: Sequence[str],
        flags: Mapping[str, object] | None = None,
        *,
        overrides: Sequence[str] = (),
        preset: str | None = None,
    ) -> Project:
        """All settings, with bare overrides looked up in `sections`. Raises UsageError."""
        file = self.config or (PROJECT_FILE if PROJECT_FILE.exists() else None)
        self.screen.detail(f"settings: {file or 'defaults'}" + "".join(f", {text}" for text in overrides))
        return load_project(
            self.config, sections=sections, overrides=[*self.overrides, *overrides], preset=preset, flags=flags
        )


def command(
    app: typer.Typer, name: str | None = None, **options: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function `(shared, own arguments…)` as a command that also takes the common options.

    An exception becomes one clear error and an exit code: 2 for usage, 1 for failure, 130 after Ctrl-C.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            from seqgen_cli.screen import Screen  # rich is slow to import, and --help shows nothing by it

            common = {key: arguments.pop(key) for key in _COMMON}
            verbosity = -1 if common["quiet"] else int(common["verbose"])
            screen = Screen(verbosity, common["json_output"])
            shared = Shared(screen, common["config"], list(common["settings"] or []))
            started = time.monotonic()
            try:
                function(shared, **arguments)
                screen.end()
                screen.detail(f"done in {time.monotonic() - started:.1f} s")
            except (typer.Exit, typer.Abort):
                raise
            except KeyboardInterrupt:
                screen.end()
                screen.warn("stopped by Ctrl-C")
                raise typer.Exit(INTERRUPTED) from None
            except Exception as error:
                if common["debug"]:
                    screen.trace()
                explained = explain(error)
                screen.error(explained)
                tell_torchrun(explained)
                raise typer.Exit(explained.exit_code) from None
            finally:
                screen.end()

        own = list(inspect.signature(function).parameters.values())[1:]
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
        parameters += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])
            for key, (kind, option, default) in _COMMON.items()
        ]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        _complete(name or getattr(function, "__name__", ""), parameters)
        run.__signature__ = inspect.Signature(parameters)  # ty: ignore[missing-attribute]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__  # type: ignore[attr-defined]
        app.command(name, cls=_Command, **options)(run)
        return run

    return register


class _Command(TyperCommand):
    """A command whose usage says `[RUN] [KEY=VALUE]...` where typer would have `[[RUN]]...`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after the command's name in its usage."""
        pieces = []
        for piece in super().collect_usage_pieces(ctx):
            if piece.startswith("[[") and piece.endswith("]..."):
                own = piece.removeprefix("[").removesuffix("]...")
                pieces += [own] * (not own.startswith(OVERRIDES)) + [f"{OVERRIDES}..."]
            else:
                pieces.append(piece)
        return pieces


def _complete(command: str, parameters: Sequence[inspect.Parameter]) -> None:
    """Let the Tab key offer what each parameter takes, where the shell asks for that."""
    if COMPLETING not in os.environ:
        return
    from seqgen_cli.completion import completer

    for parameter in parameters:
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if hasattr(info, "autocompletion") and info.autocompletion is None:
                info.autocompletion = completer(command, parameter.name)


def help_of(settings: type[Settings], name: str) -> str:
    """The sentence under a settings field, as help text, with its default."""
    info = settings.model_fields[name]
    default = info.get_default(call_default_factory=True)
    shown = "" if default is None or default is False or default == "" or default == () else f" [default: {default}]"
    return (info.description or "") + shown


def flag(settings: type[Settings], name: str, *declarations: str, **options: Any) -> Any:
    """A typer option for one settings field, with the field's own sentence as its help."""
    names = declarations or (f"--{name.replace('_', '-')}",)
    return typer.Option(*names, help=help_of(settings, name), show_default=False, **options)
