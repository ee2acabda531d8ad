"""seqgen train with settings that are auto: found out before the run is made, kept by it, and told in one line each."""

import json
from pathlib import Path

import pytest
import torch
from tiny import make_data

from seqgen_core.runs import RunFolder
from seqgen_core.settings.presets import load_preset

TINY = [
    "--device", "cpu", "--window", "32", "features=4", "levels=3", "threads=1", "validate_every=3", "log_every=1",
    "tensorboard=false", "sample_count=0", "--max-time", "1h",
]  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with data/prepared in it."""
    monkeypatch.chdir(tmp_path)
    make_data(Path("data/prepared"))
    return tmp_path


@pytest.fixture
def found(monkeypatch):
    """Nothing is measured: batch size 5, and what a range test comes to is put into the list."""
    from seqgen_core.training import fitting, range_test

    calls = {"fit": [], "test": [], "judged": range_test.judge([(10.0**-n, 8.0 - (n < 3)) for n in range(6, -1, -1)])}

    def fit_batch(settings, devices, local, seconds, progress):
        calls["fit"].append((settings.train, devices, local, seconds))
        return 5

    def test(settings, devices, seconds, progress):
        calls["test"].append((settings.train, devices, seconds))
        return calls["judged"]

    monkeypatch.setattr(fitting, "fit_batch", fit_batch)
    monkeypatch.setattr(range_test, "range_test", test)
    return calls


def numbers(run):
    train = RunFolder.open(Path(run)).settings.train
    return train.batch_size, train.learning_rate


def test_both_for_real(project, program, monkeypatch):
    from seqgen_core.training import fitting

    monkeypatch.setattr(fitting, "seconds_for", lambda max_time: 2.0)
    out = program("train", "runs/one", "--steps", 4, *TINY, "--batch-size", "auto", "--lr", "auto", "--json")
    assert out.code == 0, out.err
    size, rate = numbers("runs/one")
    assert size >= 1
    assert 1e-6 <= rate <= 0.34
    assert f"batch size {size}: " in out.err
    assert f"learning rate {rate:g}: a third of " in out.err
    assert out.err.index("batch size") < out.err.index("learning rate") < out.err.index("runs/one: training")
    account = json.loads(Path("runs/one/range-test.json").read_text())
    assert account["used"] == account["chosen"] == rate
    assert len(account["rates"]) == len(account["bits"]) == len(account["smoothed"]) >= 30
    assert Path("runs/one/range-test.png").read_bytes().startswith(b"\x89PNG")
    assert "auto" not in Path("runs/one/settings.toml").read_text().replace('device = "auto"', "")
    plain = program("train", "runs/two", "--steps", 4, *TINY, "--batch-size", size, "--learning-rate", rate)
    assert plain.code == 0, plain.err
    one, two = (RunFolder.open(Path(f"runs/{name}")).load("last").model for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)  # the test left no trace in what was trained


def test_the_batch_size_comes_first_and_a_run_keeps_what_was_found(project, program, found):
    out = program("train", "runs/one", "--steps", 2, *TINY, "batch_size=auto", "learning_rate=auto")
    assert out.code == 0, out.err
    ((before, devices, local, seconds),) = found["fit"]
    ((tested, tested_devices, _),) = found["test"]
    assert (before.batch_size, tested.batch_size, devices, local, tested_devices, seconds) == (0, 5, 1, 1, 1, 60)
    assert numbers("runs/one") == (5, found["judged"].chosen)
    again = ["train", "runs/one", "--resume", "--steps", 3, "--batch-size", "auto", "--lr", "auto"]
    assert program(*again).code == 0
    assert numbers("runs/one") == (5, found["judged"].chosen)
    assert len(found["fit"]) == len(found["test"]) == 1
    refused = program("train", "runs/one", "--resume", "--steps", 4, "--batch-size", 6)
    assert refused.code == 2
    assert "train.batch_size of runs/one is 5 and cannot become 6" in refused.err


@pytest.mark.parametrize(
    ("preset", "rate", "whose"),
    [(["--preset", "sequnet-small"], load_preset("sequnet-small")["train"]["learning_rate"], "that of sequnet-small"),
     ([], 1e-3, "the default")],
)  # fmt: skip
def test_a_range_test_that_tells_nothing_leaves_the_presets_rate(project, program, found, preset, rate, whose):
    from seqgen_core.training.range_test import judge

    found["judged"] = judge([])
    out = program("train", "runs/one", *preset, "--steps", 2, *TINY, "--batch-size", 2, "--lr", "auto")
    assert out.code == 0, out.err
    said = f"warning: the loss diverged at once in the range test; learning rate {rate:g}, {whose}, is taken"
    assert said in " ".join(out.err.split())
    assert numbers("runs/one") == (2, rate)
    assert json.loads(Path("runs/one/range-test.json").read_text())["chosen"] is None
    assert Path("runs/one/range-test.png").exists()


def test_processes_of_torchrun_are_the_devices(project, found):
    from seqgen_cli.fitting import fit
    from seqgen_core.progress import Silent
    from seqgen_core.settings.run import RunSettings
    from seqgen_core.training.distributed import Place

    settings = RunFolder.open(_run(project)).settings
    assert isinstance(settings, RunSettings)
    asked = settings.model_copy(update={"train": settings.train.model_copy(update={"batch_size": 0})})
    fit(asked, Place(0, 8, 0, 4), None, Silent())
    fit(asked.model_copy(update={"train": asked.train.model_copy(update={"devices": 2})}), None, None, Silent())
    assert [call[1:3] for call in found["fit"]] == [(8, 4), (2, 2)]
    assert found["test"] == []


def _run(project):
    from tiny import make_run

    from seqgen_core.data.store import PreparedData

    return make_run(project / "made", PreparedData.open(Path("data/prepared"))).path


def test_nothing_is_measured_for_a_run_that_cannot_be_made(project, program, found):
    Path("full").mkdir()
    Path("full/mine.txt").write_text("x")
    out = program("train", "full", *TINY, "--batch-size", "auto")
    assert (out.code, found["fit"]) == (2, [])
    assert "full is no run and not an empty folder" in out.err
    out = program("train", *TINY, "--batch-size", "auto", "--devices", 2, "--device", "cuda:0")
    assert (out.code, found["fit"]) == (2, [])
    assert not Path("runs").exists()


def test_a_run_that_fails_before_it_begins_leaves_no_account_behind(project, program, found, monkeypatch):
    from seqgen_core.errors import SeqgenError
    from seqgen_core.training import loop

    def fail(*arguments, **options):
        raise SeqgenError("no memory")

    monkeypatch.setattr(loop, "train", fail)
    assert program("train", "runs/one", *TINY, "--lr", "auto").code == 1
    assert not Path("runs/one").exists()


def test_other_words_are_refused(project, program):
    out = program("train", "--batch-size", "many", "--lr", "fast")
    assert out.code == 2
    assert "train.batch_size = 'many' is not right" in out.err
    assert "train.learning_rate = 'fast' is not right" in out.err
