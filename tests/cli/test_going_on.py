"""What follows a training: the command to go on, what a new limit does, and the run that is meant without a name."""

import os
import shlex
from pathlib import Path

import pytest
import typer.testing

from seqgen_cli.main import app
from seqgen_cli.options import Shared
from seqgen_cli.resuming import stretched
from seqgen_cli.tables import without_common_folder
from seqgen_cli.training_words import prolonging, show_report
from seqgen_core.data.store import PreparedData
from seqgen_core.runs import RunFolder
from seqgen_core.training.loop import TrainReport


def changed(run, **training):
    """The run, its settings of training changed."""
    settings = run.settings.train.model_copy(update=training)
    run.replace_settings(run.settings.model_copy(update={"train": settings}))
    return run


def test_the_command_that_goes_on_can_be_pasted(trained_project, program):
    words = shlex.split(prolonging(changed(RunFolder.open(Path("runs/sequnet")), steps=5, schedule="cosine")))
    assert words == ["seqgen", "train", "--resume", "runs/sequnet", "--steps", "16"]
    out = program(*words[1:-1], 9)
    assert out.code == 0, out.err
    assert "seqgen train --resume runs/sequnet --steps 18" in out.out
    assert "the cosine schedule now spans the new limit, so the learning rate goes up again" in out.err


def test_a_time_is_doubled_in_minutes(trained_project):
    run = changed(RunFolder.open(Path("runs/sequnet")), steps=None, max_time=540.0)
    assert prolonging(run) == "seqgen train --resume runs/sequnet --max-time 18m"
    assert prolonging(changed(run, max_time=45.0)).endswith("--max-time 2m")


def test_nothing_is_said_of_a_schedule_that_stays(trained_project):
    run = changed(RunFolder.open(Path("runs/sequnet")), schedule="linear")
    assert stretched(run, run.settings.train) == ""
    assert "linear" in stretched(run, run.settings.train.model_copy(update={"steps": 99}))


@pytest.mark.parametrize(("order0", "warned"), [(0.5, True), (7.9, False)])
def test_a_model_that_knows_no_more_than_the_histogram_is_warned_of(trained_project, order0, warned):
    run = RunFolder.open(Path("runs/sequnet"))
    account = run.settings.data.model_copy(update={"order0_bits": order0})
    run.settings = run.settings.model_copy(update={"data": account})
    told = []

    class Shown:
        warn = staticmethod(told.append)
        table = result = staticmethod(lambda *arguments, **others: None)

    report = TrainReport("finished", "its limit is reached", 8, 1.0, 100, 3.0, 3.0, 8)
    show_report(Shared(Shown()), run, PreparedData.open(Path("data/prepared")), report)
    assert bool(told) is warned
    assert not warned or "knows no more than the histogram" in told[0]


def test_without_a_name_the_newest_run_that_has_a_checkpoint_is_taken(trained_project, program):
    younger = RunFolder.create(Path("runs/younger"), RunFolder.open(Path("runs/sequnet")).settings)
    os.utime(younger.path / "settings.toml", (2**31, 2**31))
    out = program("generate", "--length", 3)
    assert out.code == 0, out.err
    assert "runs/younger holds no checkpoint yet; runs/" in out.err
    assert "`seqgen train --resume runs/younger` goes on" in program("generate", "younger").err
    with younger.locked():
        assert younger.in_training()
        assert "It is being trained: wait for its first checkpoint" in program("evaluate", "younger").err
    assert not younger.in_training()


def test_folders_that_all_paths_share_are_left_out():
    assert without_common_folder(["data/raw/a/x.wav", "data/raw/y.wav"]) == ["a/x.wav", "y.wav"]
    assert without_common_folder(["data/raw/y.wav"]) == ["y.wav"]
    for others in (["valid 0", "valid 1"], ["a/x", "/a/x"], []):
        assert without_common_folder(others) == others


@pytest.mark.parametrize(("command", "usage"), [("train", "[RUN] [KEY=VALUE]..."), ("demo", "[KEY=VALUE]...")])
def test_usage_has_no_brackets_within_brackets(command, usage):
    shown = typer.testing.CliRunner().invoke(app, [command, "--help"]).output
    assert f"[OPTIONS] {usage}\n" in shown
