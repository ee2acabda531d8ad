"""The seqgen program: its subcommands, and usage errors in one line."""

import difflib
import itertools
import os
import re
import sys
from typing import Annotated

try:
    import typer
    from typer.exceptions import TyperException

    from seqgen_cli.commands import COMMANDS, LazyCommands
    from seqgen_cli.options import COMPLETING
    from seqgen_core.errors import UsageError
except KeyboardInterrupt:  # `main` is not there yet to hear it
    sys.exit(130)

app = typer.Typer(
    name="seqgen",
    cls=LazyCommands,
    help="Fetch a data set, prepare it, train an autoregressive sequence model on it, and generate from it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata  # slow, and wanted here alone

        typer.echo(f"seqgen {importlib.metadata.version('seqgen')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the program and exit with 0, with 1 after a failure, with 2 after a usage error."""
    if COMPLETING in os.environ:
        from seqgen_cli.bash_words import as_one_word

        with as_one_word():
            app(prog_name="seqgen")
    if _names_a_shell():
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # typer then takes the shell that is named
    try:
        code = app(standalone_mode=False, prog_name="seqgen")
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help
            typer.echo(getattr(error, "format_message", lambda: "")())
            sys.exit(0)
        if "--debug" in sys.argv:
            raise
        from seqgen_cli.screen import Screen

        Screen().error(UsageError(_one_line(error), hint=f"`{_command_path(error)} --help` lists what it takes."))
        code = UsageError.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _one_line(error: TyperException) -> str:
    format_message = getattr(error, "format_message", None)
    line = " ".join((format_message() if format_message else str(error)).split())
    meant = list(getattr(error, "possibilities", None) or [])
    if "Possible options:" in line and meant:  # which are all that resemble it, in no order
        near = difflib.get_close_matches(getattr(error, "option_name", ""), meant, n=1, cutoff=0.0)[0]
        line = f"{line.partition(' (Possible')[0]} (did you mean '{near}'?)."
    option = re.match(r"Invalid value for '(--?[\w-]+)", line)
    given = _given(option[1]) if option else None
    return line if given is None or given in line else f"{line.rstrip('.')} (got {given!r})."


def _given(option: str) -> str | None:
    """What stands after an option on the command line."""
    for place, argument in enumerate(sys.argv):
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
        if argument == option and place + 1 < len(sys.argv):
            return sys.argv[place + 1]
    return None


def _names_a_shell() -> bool:
    """Whether a shell stands after the option that shows or installs completion."""
    wanted = [place for place, word in enumerate(sys.argv) if word in ("--show-completion", "--install-completion")]
    return any(not word.startswith("-") for place in wanted[:1] for word in sys.argv[place + 1 : place + 2])


def _command_path(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    if context is not None:
        return context.command_path
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), sys.argv[1:]))
    if not words or words[0] not in COMMANDS:
        return "seqgen"
    return " ".join(["seqgen", *words[: 2 if words[0] == "info" else 1]])


if __name__ == "__main__":
    main()
