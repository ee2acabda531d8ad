"""The table that `seqgen --help` reads, against the commands themselves."""

import pytest
import typer.core
from typer.main import get_command

from seqgen_cli.commands import COMMANDS
from seqgen_cli.main import app


@pytest.mark.parametrize("name", COMMANDS)
def test_each_name_leads_to_a_command_with_help(name):
    command = get_command(app).get_command(None, name)  # ty: ignore[unresolved-attribute]
    assert command.name == name
    assert command.help


def test_the_table_fits_a_terminal():
    assert all(len(sentence) <= 64 for _, sentence in COMMANDS.values())
    assert all(sentence.endswith(".") for _, sentence in COMMANDS.values())


def test_an_unknown_command_is_none():
    assert get_command(app).get_command(None, "trian") is None  # ty: ignore[unresolved-attribute]


def test_a_near_miss_names_the_command(program):
    out = program("trian")
    assert out.code == 2
    assert "Did you mean 'train'?" in out.err


def test_only_the_called_command_is_imported():
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert list(group.commands) == list(COMMANDS)
