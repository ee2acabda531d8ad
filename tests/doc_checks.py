"""What can be said of a documented command without running it: its files, extras, options and settings are there."""

import argparse
import itertools
import re
import runpy
import sys
import tomllib
from typing import Any

import pytest
from doc_pages import ROOT, Command
from typer.main import get_command

from seqgen_cli.main import app
from seqgen_cli.overrides import split_arguments
from seqgen_core.settings.model import MODEL_KINDS
from seqgen_core.settings.project import SECTIONS, load_project


def check_extras(command: Command) -> None:
    """pip install: what it names is what pyproject.toml offers."""
    assert command.words[1] == "install"
    held = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in command.words[2:]:
        named = re.fullmatch(r"(?:\.|seqgen)(?:\[([\w,]+)\])?", word)
        assert word == "-e" or named, f"{command.where}: what is {word}?"
        if named and named[1]:
            assert {*named[1].split(",")} <= {*held["optional-dependencies"]}, command.where


def check_tests(command: Command) -> None:
    """pytest: its files are there. What it would run is run anyway."""
    for word in command.words[1:]:
        assert not word.startswith("tests") or (ROOT / word).exists(), f"{command.where}: there is no {word}"


def check_script(command: Command) -> None:
    """python SCRIPT …: the script takes these words (benchmarks are run by tests/test_benchmarks.py)."""
    script, words = ROOT / command.words[1], [*command.words[2:]]

    class ParsedError(Exception):
        pass

    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, arguments: Any = None, namespace: Any = None) -> Any:
        raise ParsedError(parse(parser, arguments, namespace))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        patch.setattr(sys, "argv", [str(script), *words])
        patch.syspath_prepend(str(script.parent))
        with pytest.raises(ParsedError):
            runpy.run_path(str(script), run_name="__main__")


def check_told(words: tuple[str, ...]) -> None:
    """Of a command that is not run: what seqgen is told in it."""
    if "seqgen_cli" in words:
        check_words(words[words.index("seqgen_cli") + 1 :])


def check_words(words: tuple[str, ...]) -> None:
    """A command of seqgen whose values may be placeholders: its options and settings are there."""
    command, path = get_command(app), [*words]
    while path and hasattr(command, "commands"):
        found = command.get_command(None, path[0])
        assert found is not None, f"there is no command {path[0]}"
        command = found
        del path[0]
    options = {option: one for one in command.params for option in (*one.opts, *one.secondary_opts)}
    options["--help"] = None
    for word in path:
        if re.match(r"--?[a-z]", word):
            assert word.partition("=")[0] in options, f"{words[0]} has no option {word}"
    told = dict(itertools.pairwise(path))
    if "--preset" in told and told["--preset"].islower():
        load_project(base={}, preset=told["--preset"])
    known = {name for one in (*SECTIONS.values(), *MODEL_KINDS.values()) for name in one.model_fields}
    for setting in split_arguments(path)[1]:
        assert setting.partition("=")[0].rpartition(".")[2] in known, f"there is no setting {setting}"
