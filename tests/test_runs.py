"""Run folders: checkpoints are whole or not there, the right ones are kept, damage is named."""

import json
import os
import shutil

import pytest
import torch
from tiny import make_run

from seqgen_core import models, runs
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.runs import Checkpoint, RunFolder


@pytest.fixture
def run(tmp_path, tiny_data):
    return make_run(tmp_path / "runs" / "one", tiny_data)


def checkpoint(run, step, fill=0.0):
    weights = models.build(run.settings.model, run.settings.tokens).state_dict()
    filled = {name: torch.full_like(value, fill) for name, value in weights.items()}
    return Checkpoint(filled, {}, {"step.x": torch.tensor(float(step))}, {"step": step})


def save(run, *steps, best=(), keep=0):
    for step in steps:
        run.save(checkpoint(run, step, float(step)), best=step in best, keep=keep)


def test_a_checkpoint_comes_back(run):
    save(run, 5)
    loaded = run.load()
    assert loaded.account["step"] == 5
    assert loaded.ema == {}
    assert loaded.optimizer["step.x"] == 5
    assert all((value == 5).all() for value in loaded.model.values())
    model, step = run.model("last")
    assert step == 5
    assert not model.training
    assert all((value == 5).all() for value in model.state_dict().values())


def test_settings_come_back(run):
    assert RunFolder.open(run.path).settings == run.settings


@pytest.mark.parametrize(
    ("keep", "best", "kept"),
    [(0, (2,), [2, 5]), (0, (5,), [5]), (0, (), [1, 5]), (2, (2,), [2, 3, 4, 5]), (9, (3,), [1, 2, 3, 4, 5])],
)
def test_best_last_and_so_many_older_are_kept(run, keep, best, kept):
    save(run, 1, 2, 3, 4, 5, best=best, keep=keep)
    assert run.steps() == kept
    assert run.choose("last") == 5
    assert run.choose("best") == (best[0] if best else 1)
    assert run.choose("5") == 5


def test_what_is_not_there_is_refused_with_what_is(run):
    with pytest.raises(UsageError, match="holds no checkpoint yet"):
        run.choose("best")
    save(run, 3, 7, keep=1)
    with pytest.raises(UsageError, match="no checkpoint of step 4") as caught:
        run.choose("4")
    assert "3, 7" in caught.value.wanted


def test_a_failed_save_leaves_what_was_there(run, monkeypatch):
    save(run, 1)

    def fail(tensors, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "save_file", fail)
    with pytest.raises(KeyboardInterrupt):
        save(run, 2)
    assert run.steps() == [1]
    assert sorted(os.listdir(run.path / "checkpoints")) == ["index.json", "step-1"]
    run.load("last")


def test_killed_between_folder_and_index(run, monkeypatch):
    """The folder is there, the index is of before: the run goes on from the step that the index names."""
    save(run, 1, best=(1,))
    before = (run.path / "checkpoints" / "index.json").read_text()
    save(run, 2, best=(2,), keep=1)
    (run.path / "checkpoints" / "index.json").write_text(before)
    assert run.choose("last") == run.choose("best") == 1
    save(run, 2, best=(2,))
    assert run.choose("last") == run.choose("best") == 2
    assert run.steps() == [2]


def test_without_an_index_the_newest_counts(run):
    save(run, 1, 2, keep=1)
    (run.path / "checkpoints" / "index.json").unlink()
    assert run.choose("last") == run.choose("best") == 2


def test_other_folders_beside_the_checkpoints_do_not_disturb(run):
    save(run, 1)
    shutil.copytree(run.path / "checkpoints" / "step-1", run.path / "checkpoints" / "step-1-copy")
    (run.path / "checkpoints" / "step-9").mkdir()  # empty: no checkpoint
    assert run.steps() == [1]


@pytest.mark.parametrize("part", ["model.safetensors", "optimizer.safetensors", "account.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "gone"])
def test_damage_is_named(run, part, damage):
    save(run, 1, 2, keep=1)
    file = run.path / "checkpoints" / "step-2" / part
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "noise": b"\xff" * 200}[damage])
    if part == "account.json" and damage == "gone":
        assert run.steps() == [1]  # it is not counted as a checkpoint
        assert run.load("last").account["step"] == 1
        return
    with pytest.raises(SeqgenError, match="step-2 is damaged") as caught:
        run.load("last")
    assert "the other steps there: 1." in caught.value.hint
    if part == "model.safetensors":
        with pytest.raises(SeqgenError, match="does not hold the weights"):
            run.model("last")
    shutil.rmtree(file.parent)
    assert run.load("last").account["step"] == 1


def test_full_disk_is_an_os_error_with_its_number(run, monkeypatch):
    import errno

    def full(tensors, path):
        raise runs.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(runs, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save(run, 1)
    assert caught.value.errno == errno.ENOSPC


def test_averaged_weights_are_preferred_where_there_are_any(run):
    given = checkpoint(run, 1, 1.0)
    given.ema = {name: torch.full_like(value, 2.0) for name, value in given.model.items()}
    run.save(given, best=True, keep=0)
    for ema, value in ((True, 2), (False, 1)):
        assert all((weight == value).all() for weight in run.model(ema=ema)[0].state_dict().values())


def test_creating_where_something_is(run, tmp_path, tiny_data):
    with pytest.raises(UsageError, match="holds a run already"):
        RunFolder.create(run.path, run.settings)
    with pytest.raises(UsageError, match="is no run and not an empty folder"):
        RunFolder.create(tiny_data.path, run.settings)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is no run and not an empty folder"):
        RunFolder.create(tmp_path / "file", run.settings)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)  # as a killed creation leaves it
    RunFolder.create(tmp_path / "empty", run.settings)


def test_opening_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"There is no run at .* \(no settings\.toml in it\)"):
        RunFolder.open(tmp_path)


def test_newest_is_the_one_made_last(run, tiny_data):
    runs_folder = run.path.parent
    later = make_run(runs_folder / "a-later-one", tiny_data)
    os.utime(run.path / "settings.toml", (1000, 1000))
    os.utime(later.path / "settings.toml", (2000, 2000))
    (runs_folder / "z-no-run").mkdir()
    assert RunFolder.newest(runs_folder).path == later.path
    with pytest.raises(UsageError, match="no run in"):
        RunFolder.newest(runs_folder / "z-no-run")
    with pytest.raises(UsageError, match="no run in"):
        RunFolder.newest(runs_folder / "missing")


def test_locked_out_while_another_holds_it(run):
    with (
        run.locked(),
        pytest.raises(SeqgenError, match="being trained by another process"),
        RunFolder(run.path, run.settings).locked(),
    ):
        pass
    with run.locked():  # free again; the lock file that is left locks nothing
        pass


def test_locking_sweeps_what_a_kill_left(run):
    (run.path / "checkpoints" / ".tmp-123-step-4").mkdir()
    (run.path / "checkpoints" / ".tmp-123-step-4" / "model.safetensors").write_bytes(b"half")
    (run.path / ".tmp-99-status.json").write_text("{")
    with run.locked():
        assert not list(run.path.rglob(".tmp-*"))


def test_status_begins_new_and_is_replaced(run):
    assert run.status["status"] == "new"
    run.set_status("failed", 3, "why")
    assert (run.status["status"], run.status["step"], run.status["reason"]) == ("failed", 3, "why")


def test_metrics_leave_out_a_half_written_last_line(run):
    for step in (1, 2, 3):
        run.log({"step": step, "kind": "train"})
    whole = (run.path / "metrics.jsonl").read_text()
    (run.path / "metrics.jsonl").write_text(whole + '{"step": 4, "ki')
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]
    run.forget_metrics_after(2)
    run.log({"step": 3, "kind": "train"})
    assert [json.loads(line)["step"] for line in (run.path / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_a_run_that_never_began_is_removed_and_no_other(run, tmp_path, tiny_data):
    run.remove_unless_begun()
    assert not run.path.exists()
    begun = make_run(tmp_path / "begun", tiny_data)
    begun.set_status("running", 0)
    begun.remove_unless_begun()
    assert begun.path.exists()
    used = make_run(tmp_path / "used", tiny_data)
    (used.path / "notes.txt").write_text("mine")
    used.remove_unless_begun()
    assert (used.path / "notes.txt").read_text() == "mine"
