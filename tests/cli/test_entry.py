"""How the program begins and how its errors name the command; what a file of `seqgen export` is to each command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqgen_cli.screen import Screen


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["generate", "--bitrate"], "seqgen generate"),
        (["export", "--to"], "seqgen export"),
        (["info", "run", "--config"], "seqgen info run"),
        (["--nonsense"], "seqgen"),
    ],
)
def test_the_hint_names_the_command_that_was_meant(program, arguments, command):
    out = program(*arguments)
    assert (out.code, f"hint: `{command} --help` lists" in out.err) == (2, True), out.err


def test_completion_is_for_the_shell_that_is_named(program, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "")  # which the program sets
    assert program("--show-completion", "zsh").out.startswith("#compdef seqgen")
    out = program("--show-completion", "tcsh")
    assert (out.code, "'tcsh' is not one of 'bash', 'zsh', 'fish'" in out.err) == (2, True), out.err


def test_a_stop_while_the_program_is_read_is_quiet():
    script = """
import builtins, sys
plain = builtins.__import__
def pressed(name, *rest):
    if name.startswith("seqgen_cli.options"):
        raise KeyboardInterrupt
    return plain(name, *rest)
builtins.__import__ = pressed
from seqgen_cli.main import main
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_plain_lines_are_broken_between_figures(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    shown = Screen()
    shown._write_figures("training:    10/1,000 steps  4.500 bits  1 steps/s  16:30 left  memory 90 MiB")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training:    10/1,000 steps  4.500 bits", "  1 steps/s  16:30 left  memory 90 MiB"]


def test_the_line_of_progress_leaves_room_for_what_ctrl_c_writes(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")  # no line is drawn over while this looks at it
    shown = Screen()
    shown.begin("drawing", 10**9, "tokens")
    shown.update(10**8, **{"tokens/s": "123,456", "real-time factor": "1.234"})
    line = shown._drawn().plain
    assert "drawing" in line
    assert len(line) <= 60 - len("^C") - 1
    shown.end()


@pytest.fixture
def exported(trained_project, program):
    assert program("export", "sequnet").code == 0
    return Path("sequnet.safetensors")


def test_commands_that_need_a_folder_know_an_exported_file(exported, program):
    for arguments in (["doctor"], ["info", "run"], ["train", "--resume"]):
        out = program(*arguments, exported)
        assert (out.code, "sequnet.safetensors is an exported file" in out.err) == (2, True), out.err
        assert "generate, evaluate, report" in out.err


def test_a_model_is_read_from_an_exported_file(exported, program):
    for command in ("model", "receptive-field"):
        of_file, of_run = (program("info", command, place, "--json") for place in (exported, "sequnet"))
        assert of_file.code == 0, of_file.err
        assert {**of_file.json, "origin": ""} == {**of_run.json, "origin": ""}


def test_an_exported_file_under_another_name_is_one_too(exported, program):
    shutil.copy(exported, "copy")
    out = program("generate", "copy", "--length", 9, "--engine", "torch", "--out", "clips")
    assert (out.code, Path("clips/clip-000.wav").exists()) == (0, True), out.err
    out = program("export", "copy", "--out", "other.safetensors")
    assert "is an exported file already" in out.err
    out = program("generate", "clips/clip-000.wav")
    assert "clip-000.wav is a file; a run with all that belongs to it is a folder" in out.err


def test_a_folder_of_no_use_is_refused_before_the_model_is_read(trained_project, program, monkeypatch):
    Path("file").write_text("")
    for out, said in (("file", "file is a file; clips go into"), ("file/clips", "file is a file; clips go into")):
        found = program("generate", "tcn", "--out", out)
        assert (found.code, said in found.err, "engine" in found.err) == (2, True, False), found.err
    assert program("generate", "tcn", "--length", 9, "--out", "clips").code == 0
    found = program("generate", "tcn", "--out", "clips")
    assert (found.code, "clips holds clips already" in found.err, "engine" in found.err) == (2, True, False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = program("generate", "tcn")
    assert (found.code, "samples: nothing may be" in found.err or "tcn: nothing may be" in found.err) == (1, True)
    assert "engine" not in found.err


def test_a_bit_rate_that_the_encoder_lacks_is_told(trained_project, program):
    out = program("generate", "tcn", "--length", 30, "--format", "mp3", "--bitrate", 15, "--out", "clips")
    assert (out.code, "mp3 knows no 15 kbit/s: written at 16 kbit/s" in out.err) == (0, True), out.err
