"""Run folders: checkpoints are whole or not there, the right ones are kept, damage is named and got round."""

import hashlib
import json
import os
import shutil

import pytest
import torch
from tiny import make_run

from seqgen_core import checkpoint as one
from seqgen_core import checkpoints, models
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import remove_directory
from seqgen_core.progress import Silent
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
    [
        (0, (2,), [2, 4, 5]),
        (0, (5,), [4, 5]),
        (1, (5,), [4, 5]),
        (1, (), [1, 4, 5]),
        (2, (2,), [2, 3, 4, 5]),
        (9, (3,), [1, 2, 3, 4, 5]),
    ],
)
def test_best_last_and_so_many_older_are_kept_but_one_at_least(run, keep, best, kept):
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

    monkeypatch.setattr(one, "save_file", fail)
    with pytest.raises(KeyboardInterrupt):
        save(run, 2)
    assert run.steps() == [1]
    assert sorted(os.listdir(run.path / "checkpoints")) == ["step-1"]
    run.load("last")


def killed_at(monkeypatch, place, call):
    """The call-th use of a function of the checkpoints' module never returns."""
    calls, function = [], getattr(checkpoints, place)

    def killed(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(checkpoints, place, killed)


def test_a_checkpoint_counts_once_its_folder_is_there_and_says_itself_which_is_best(run, monkeypatch):
    save(run, 1, best=(1,))
    save(run, 2)
    killed_at(monkeypatch, "remove_directory", 1)  # right after the new one is in place
    with pytest.raises(KeyboardInterrupt):
        save(run, 3, best=(3,))
    assert run.steps() == [1, 2, 3]
    assert run.choose("last") == run.choose("best") == 3
    monkeypatch.undo()
    save(run, 4)
    assert run.steps() == [3, 4]
    assert run.choose("best") == 3


@pytest.mark.parametrize("call", [1, 2])
def test_a_checkpoint_rewritten_at_its_step_is_never_missing(run, monkeypatch, call):
    """Killed at each of the moments at which the new one takes the place of the old one."""
    save(run, 1, 2)
    if call == 1:
        killed_at(monkeypatch, "remove_directory", 1)
    else:

        def killed(folder):
            remove_directory(folder)
            raise KeyboardInterrupt

        monkeypatch.setattr(checkpoints, "remove_directory", killed)
    with pytest.raises(KeyboardInterrupt):
        run.save(checkpoint(run, 2, 7.0), best=True, keep=0)
    monkeypatch.undo()
    assert run.steps() == [1, 2]
    assert run.choose("best") == 2
    assert all((value == 7).all() for value in run.load("last").model.values())
    with run.locked():  # as the next training does
        assert sorted(os.listdir(run.path / "checkpoints")) == ["step-1", "step-2"]
    assert all((value == 7).all() for value in run.load("last").model.values())
    save(run, 2)
    assert sorted(os.listdir(run.path / "checkpoints")) == ["step-1", "step-2"]


def test_a_half_written_rewriting_leaves_the_old_one(run, monkeypatch):
    save(run, 1, 2)

    def fail(tensors, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(one, "save_file", fail)
    with pytest.raises(KeyboardInterrupt):
        save(run, 2)
    assert sorted(os.listdir(run.path / "checkpoints")) == ["step-1", "step-2"]
    assert run.load("last").account["step"] == 2


def test_other_folders_beside_the_checkpoints_do_not_disturb(run):
    save(run, 1)
    shutil.copytree(run.path / "checkpoints" / "step-1", run.path / "checkpoints" / "step-1-copy")
    (run.path / "checkpoints" / "step-9").mkdir()  # empty: no checkpoint
    assert run.steps() == [1]


class Told(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, line):
        self.warnings.append(line)


FILES = ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "account.json"]


def damage(file, how):
    content = bytearray(file.read_bytes())
    if how == "gone":
        file.unlink()
        return
    if how.startswith("bit"):  # of a byte at this share of the file
        content[int(float(how.split()[1]) * (len(content) - 1))] ^= 1
    file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "noise": b"\xff" * 200}.get(how, content))


def averaged(run, *steps, best=()):
    for step in steps:
        given = checkpoint(run, step, float(step))
        given.ema = {name: value + 0.5 for name, value in given.model.items()}
        run.save(given, best=step in best, keep=9)


@pytest.mark.parametrize("part", FILES)
@pytest.mark.parametrize("how", ["cut", "empty", "noise", "gone", "bit 0.0", "bit 0.4", "bit 0.99", "bit 1.0"])
def test_damage_is_named_and_the_whole_one_before_is_taken(run, part, how):
    averaged(run, 1, 2, 3)
    damage(run.path / "checkpoints" / "step-3" / part, how)
    told = Told()
    assert run.load("last", told).account == {"step": 2}
    (line,) = told.warnings
    assert "step-3 is damaged: " in line
    assert part in line
    assert "step-2, the whole one before it, is taken" in line
    with pytest.raises(SeqgenError, match="step-3 is damaged") as caught:  # named by a person
        run.load("3")
    assert "those there: 1, 2." in caught.value.hint
    assert run.steps() == [1, 2, 3]  # reading changes nothing
    before = {file: file.read_bytes() for file in run.path.glob("checkpoints/step-3/*")}
    told = Told()
    run.set_damaged_aside(told)
    assert len(told.warnings) == 1
    assert run.steps() == [1, 2]
    aside = run.path / "checkpoints" / "damaged-step-3"
    assert {file.name: file.read_bytes() for file in aside.iterdir()} == {f.name: c for f, c in before.items()}
    averaged(run, 3)
    run.set_damaged_aside(told)
    assert len(told.warnings) == 1
    assert run.steps() == [1, 2, 3]
    assert run.load("last", told).account == {"step": 3}


@pytest.mark.parametrize("ema", [True, False])
def test_weights_to_generate_from_are_verified_and_no_more_is_read(run, ema):
    averaged(run, 1, 2, best=(2,))
    folder = run.path / "checkpoints" / "step-2"
    for name in ("optimizer.safetensors", "model.safetensors" if ema else "ema.safetensors"):
        damage(folder / name, "bit 0.7")
    told = Told()
    assert run.model("best", ema=ema, progress=told)[1] == 2
    assert not told.warnings
    damage(folder / ("ema.safetensors" if ema else "model.safetensors"), "bit 0.99")
    model, step = run.model("best", ema=ema, progress=told)
    assert step == 1
    assert all((value == 1 + ema / 2).all() for value in model.state_dict().values())
    assert "step-2 is damaged" in told.warnings[0]
    assert "step-1, the whole one before it" in told.warnings[0]
    with pytest.raises(SeqgenError, match="step-2 is damaged"):
        run.model("2", ema=ema)


def test_the_best_gives_way_to_one_after_it_where_none_is_before(run):
    averaged(run, 1, 2, best=(1,))
    damage(run.path / "checkpoints" / "step-1" / "ema.safetensors", "bit 0.9")
    told = Told()
    assert run.model("best", progress=told)[1] == 2
    assert "step-2, the whole one after it" in told.warnings[0]


def test_where_none_is_whole_that_is_said_and_nothing_is_touched(run):
    averaged(run, 1, 2, best=(2,))
    for step in (1, 2):
        damage(run.path / "checkpoints" / f"step-{step}" / "model.safetensors", "bit 0.9")
    for attempt in (run.load, run.set_damaged_aside, lambda: run.model(ema=False)):
        with pytest.raises(SeqgenError, match=r"No checkpoint of .* is whole; .*step-2 is damaged") as caught:
            attempt()
        assert "train a new run" in caught.value.hint
    assert run.steps() == [1, 2]


def test_every_flipped_bit_of_an_account_is_found(run):
    save(run, 1)
    file = run.path / "checkpoints" / "step-1" / "account.json"
    content = file.read_bytes()
    for place in range(len(content)):
        for bit in (1, 32):
            file.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            with pytest.raises(SeqgenError, match="is damaged"):
                one.read_account(file.parent)
    file.write_bytes(content)
    assert one.read_account(file.parent)["step"] == 1


def test_sums_are_those_of_the_files(run):
    averaged(run, 4)
    folder = run.path / "checkpoints" / "step-4"
    sums = run.account("last")["files"]
    assert sums == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES[:3]}


def without_sums(run, step, best=None):
    """Make a checkpoint look as version 0.2 wrote it."""
    file = run.path / "checkpoints" / f"step-{step}" / "account.json"
    account = json.loads(file.read_text())
    parts = [name.removesuffix(".safetensors") for name in account.pop("files")]
    del account["sha256"], account["best_checkpoint"]
    file.write_text(json.dumps({**account, "parts": parts}, indent=2))
    (run.path / "checkpoints" / "index.json").write_text(json.dumps({"last": step, "best": best or step}))


def test_checkpoints_without_sums_load_as_before(run):
    averaged(run, 1, 2)
    without_sums(run, 1)
    without_sums(run, 2, best=1)
    assert (run.choose("last"), run.choose("best")) == (2, 1)
    assert run.load("last").account == {"step": 2}
    assert run.load("last").ema.keys() == run.load("last").model.keys()
    assert all((value == 1.5).all() for value in run.model()[0].state_dict().values())
    damage(run.path / "checkpoints" / "step-2" / "model.safetensors", "cut")
    told = Told()
    assert run.load("last", told).account["step"] == 1
    assert "cannot be read" in told.warnings[0]
    averaged(run, 3)  # goes on knowing the best
    assert not (run.path / "checkpoints" / "index.json").exists()
    assert (run.choose("last"), run.choose("best")) == (3, 1)
    without_sums(run, 3)
    for text in ("", "[]", "{", '{"best": 77}'):
        (run.path / "checkpoints" / "index.json").write_text(text)
        assert run.choose("best") == 3


def test_a_status_that_cannot_be_read(run):
    save(run, 4)
    for text in ("", "{", "[]", '{"step": 1}'):
        (run.path / "status.json").write_text(text)
        assert (run.status["status"], run.status["step"]) == ("unknown", 4)


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


def test_metrics_leave_out_damaged_lines(run):
    good = b'{"step": 7, "kind": "train"}\n'
    for damaged in (b'{"st\xf5p": 1, "kind": "train"}', b"\xff\xfe\x00", b"[1]", b"3", b'{"step": null}'):
        (run.path / "metrics.jsonl").write_bytes(good + damaged + b"\n" + good)
        assert [line["step"] for line in run.metrics()] == [7, 7]
    run.forget_metrics_after(7)
    assert (run.path / "metrics.jsonl").read_bytes() == 2 * good


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
