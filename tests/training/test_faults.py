"""Damaged checkpoints, full disks and data that change: nothing that was whole is lost, and the person is told."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_resume import StopAt, logged, same
from tiny import make_data, make_run

from seqgen_core import checkpoint, runs
from seqgen_core.data import store
from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError
from seqgen_core.progress import Silent
from seqgen_core.runs import RunFolder
from seqgen_core.training import loop, unchanged


class Told(Silent):
    """Keeps what it is told, and does something once so many steps are done."""

    def __init__(self, step=None, then=lambda: None):
        self.step, self.then, self.warnings, self.said = step, then, [], []

    def update(self, done, **figures):
        if done == self.step and "now" not in figures:
            self.then()

    def warn(self, line):
        self.warnings.append(line)

    def say(self, line):
        self.said.append(line)


def flip(file: Path, share: float = 0.9) -> None:
    """Flip one bit of a file, at this share of it."""
    content = bytearray(file.read_bytes())
    content[int(share * (len(content) - 1))] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("file", ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "account.json"])
def test_from_the_whole_checkpoint_before_a_damaged_one_it_goes_on_exactly(tmp_path, tiny_data, file):
    settings = {"steps": 14, "ema": 0.9, "schedule": "cosine"}
    whole = make_run(tmp_path / "whole", tiny_data, **settings)
    loop.train(whole, tiny_data)
    hurt = make_run(tmp_path / "hurt", tiny_data, **settings)
    loop.train(RunFolder.open(hurt.path), tiny_data, StopAt(11))
    assert hurt.steps()[-2:] == [8, 11]
    flip(hurt.path / "checkpoints" / "step-11" / file)
    told = Told()
    loop.train(RunFolder.open(hurt.path), tiny_data, told)
    (warning,) = told.warnings
    assert "step-11 is damaged" in warning
    assert file in warning
    assert "step-8, the whole one before it, is taken" in warning
    assert any("damaged-step-11" in line for line in told.said)
    same(whole, hurt)
    assert logged(whole) == logged(hurt)
    assert whole.steps() == hurt.steps()
    assert whole.choose("best") == hurt.choose("best")


def test_tensorboard_too_forgets_what_came_after_the_step_gone_back_to(tmp_path, tiny_data):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = make_run(tmp_path / "run", tiny_data, steps=12, tensorboard=True)
    loop.train(run, tiny_data, StopAt(10))
    flip(run.path / "checkpoints" / "step-10" / "model.safetensors")
    loop.train(RunFolder.open(run.path), tiny_data, Told())
    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("train/bits")] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in events.Scalars("valid/bits")] == [4, 8, 12]


def test_where_no_checkpoint_is_whole_training_does_not_begin_anew(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    loop.train(run, tiny_data)
    for file in run.path.glob("checkpoints/*/optimizer.safetensors"):
        flip(file)
    lines = logged(run)
    with pytest.raises(SeqgenError, match=r"No checkpoint of .* is whole"):
        loop.train(RunFolder.open(run.path), tiny_data)
    assert run.steps() == [4, 8]
    assert logged(run) == lines


@pytest.mark.parametrize(
    "command", ["evaluate sequnet", "generate sequnet --length 3 --engine torch", "train sequnet --resume --steps 9"]
)
def test_commands_take_the_whole_one_and_say_so(trained_project, program, command):
    for name in ("model", "ema"):
        flip(Path("runs/sequnet/checkpoints/step-8") / f"{name}.safetensors")
    best = Path("runs/sequnet/checkpoints/step-8/account.json").read_text()
    assert '"best_checkpoint": 8' in best
    out = program(*command.split())
    assert out.code == 0, out.err
    (warning,) = [line for line in out.err.splitlines() if line.startswith("warning: ")]
    assert "step-8 is damaged" in warning
    assert "step-4, the whole one before it, is taken" in warning
    if command.startswith("train"):
        assert "going on with runs/sequnet from step 4" in out.err


@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_a_damaged_step_that_was_named_is_an_error(trained_project, program, command):
    flip(Path("runs/sequnet/checkpoints/step-8/ema.safetensors"))
    out = program(command, "sequnet", "--checkpoint", "8")
    assert out.code == 1
    assert "error: runs/sequnet/checkpoints/step-8 is damaged: ema.safetensors" in out.err
    assert "hint: Choose another step; those there: 4." in out.err
    assert "Traceback" not in out.err


# full disks

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


def on_a_full_disk(file: Path):
    """From now on writing to the file finds the disk full."""

    def fill():
        file.rename(file.with_name("before"))
        file.symlink_to(FULL)

    return fill


def goes_on_after(run: RunFolder, data: PreparedData, tmp_path: Path, **settings) -> None:
    loop.train(RunFolder.open(run.path), data)
    whole = make_run(tmp_path / "whole", data, **settings)
    loop.train(whole, data)
    same(whole, run)
    assert logged(whole) == logged(run)


@needs_full
def test_metrics_on_a_full_disk(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    metrics = run.path / "metrics.jsonl"
    with pytest.raises(SeqgenError, match=r"metrics.jsonl: no space .* the checkpoint of step 4 is kept") as caught:
        loop.train(run, tiny_data, Told(5, on_a_full_disk(metrics)))
    assert f"`seqgen train --resume {run.path}` goes on from there" in caught.value.hint
    assert (run.status["status"], run.status["step"]) == ("failed", 6)
    (run.path / "before").replace(metrics)
    goes_on_after(run, tiny_data, tmp_path)


def test_a_line_that_does_not_fit_is_not_there_in_part(tmp_path, tiny_data, monkeypatch):
    """The disk takes some bytes of a line and no more."""
    run = make_run(tmp_path / "run", tiny_data)
    run.log({"step": 1})
    before = (run.path / "metrics.jsonl").read_bytes()
    opened = Path.open

    class Filling:
        def __init__(self, stream):
            self.stream, self.left = stream, 7

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stream.close()

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def write(self, text):
            if not self.left:
                raise OSError(28, os.strerror(28))
            written = self.stream.write(text[: self.left])
            self.left -= written
            return written

    monkeypatch.setattr(Path, "open", lambda *arguments, **options: Filling(opened(*arguments, **options)))
    with pytest.raises(SeqgenError, match="no space"):
        run.log({"step": 2, "what": "longer"})
    monkeypatch.undo()
    assert (run.path / "metrics.jsonl").read_bytes() == before


@needs_full
@pytest.mark.parametrize("step", [3, 8])  # in the middle; at the very end, with nothing more to come
def test_tensorboard_on_a_full_disk(tmp_path, tiny_data, capfd, step):
    run = make_run(tmp_path / "run", tiny_data, tensorboard=True, log_every=1)

    def fill():
        (events,) = (run.path / "tensorboard").iterdir()
        on_a_full_disk(events)()

    with pytest.raises(SeqgenError, match="tensorboard: no space is left on the disk"):
        loop.train(run, tiny_data, Told(step, fill))
    assert run.status["status"] == "failed"
    assert "Traceback" not in capfd.readouterr().err
    shutil.rmtree(run.path / "tensorboard")
    goes_on_after(run, tiny_data, tmp_path, log_every=1)


def no_space(*arguments):
    raise OSError(28, os.strerror(28))


@pytest.mark.parametrize("place", ["fsync", "account", "tensors"])
def test_a_checkpoint_on_a_full_disk(tmp_path, tiny_data, monkeypatch, place):
    run = make_run(tmp_path / "run", tiny_data)

    def fill():
        if place == "fsync":
            monkeypatch.setattr("seqgen_core.files.os.fsync", no_space)
        elif place == "account":
            monkeypatch.setattr(checkpoint, "_sealed", no_space)
        else:
            monkeypatch.setattr(checkpoint, "save_file", no_space)

    with pytest.raises(SeqgenError, match=r"step-8: no space .* the checkpoint of step 4 is kept"):
        loop.train(run, tiny_data, Told(7, fill))
    monkeypatch.undo()
    assert sorted(os.listdir(run.path / "checkpoints")) == ["step-4"]
    goes_on_after(run, tiny_data, tmp_path)


def test_a_status_on_a_full_disk_does_not_hide_what_went_wrong(tmp_path, tiny_data, monkeypatch):
    run = make_run(tmp_path / "run", tiny_data)
    monkeypatch.setattr(runs, "write_text_atomically", no_space)
    with pytest.raises(SeqgenError, match=r"status\.json: no space .* no checkpoint was written yet"):
        run.set_status("running", 0)
    run.set_status("failed", 3, "the reason that matters")


def test_the_command_says_it_in_one_line_and_exits_with_1(trained_project, program, monkeypatch):
    save = checkpoint.save_file

    def full(tensors, path):
        path.write_bytes(b"half")
        raise checkpoint.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    out = program("train", "sequnet", "--resume", "--steps", "12")
    assert out.code == 1
    assert [line for line in out.err.splitlines() if line.startswith(("error: ", "hint: "))] == [
        "error: runs/sequnet/checkpoints/step-12: no space is left on the disk; the checkpoint of step 8 is kept.",
        "hint: Free some space; `seqgen train --resume runs/sequnet` goes on from there.",
    ]
    assert sorted(os.listdir("runs/sequnet/checkpoints")) == ["step-4", "step-8"]
    monkeypatch.setattr(checkpoint, "save_file", save)
    assert program("train", "sequnet", "--resume").code == 0


# data that change


def shard(data: PreparedData) -> Path:
    (file,) = data.path.glob("tokens-*.bin")
    return file


@pytest.fixture(params=[store.VERIFIED_AT_ONCE, 0], ids=["little", "much"])
def amount(request, monkeypatch):
    """As where the data are little enough to be compared each time, and as where they are not."""
    monkeypatch.setattr(unchanged, "VERIFIED_AT_ONCE", request.param)
    return request.param


def test_tokens_that_changed_under_the_manifest_are_noticed_on_resume(tmp_path, tiny_data, amount):
    run = make_run(tmp_path / "run", tiny_data)
    loop.train(run, tiny_data, StopAt(5))
    flip(shard(tiny_data), 0.1)
    told = Told()
    with pytest.raises(SeqgenError, match=r"the tokens of train 0 in .* are not what was written there"):
        loop.train(RunFolder.open(run.path), PreparedData.open(tiny_data.path), told)
    assert run.steps() == [4, 5]
    assert bool(told.said) == (not amount)  # that it takes a while is said where it does
    flip(shard(tiny_data), 0.1)
    assert loop.train(RunFolder.open(run.path), PreparedData.open(tiny_data.path)).status == "finished"


def test_tokens_that_changed_before_a_run_begins_are_noticed(tmp_path, tiny_data):
    flip(shard(tiny_data), 0.1)
    with pytest.raises(SeqgenError, match="are not what was written"):
        loop.train(make_run(tmp_path / "run", tiny_data), tiny_data)


def test_a_copy_of_the_data_is_as_good(tmp_path, tiny_data, amount):
    run = make_run(tmp_path / "run", tiny_data)
    loop.train(run, tiny_data, StopAt(5))
    shutil.copytree(tiny_data.path, tmp_path / "copy", copy_function=shutil.copy)  # with times of its own
    os.utime(shard(PreparedData(tmp_path / "copy", tiny_data.manifest)), (1, 1))
    assert loop.train(RunFolder.open(run.path), PreparedData.open(tmp_path / "copy")).status == "finished"


def test_tokens_changed_while_it_trains_end_it_before_they_reach_a_checkpoint(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    with pytest.raises(SeqgenError, match=r"\.bin was changed while .* trains on it") as caught:
        loop.train(run, tiny_data, Told(6, lambda: flip(shard(tiny_data), 0.1)))
    assert "goes on from step 4" in caught.value.hint
    assert run.steps() == [4]
    flip(shard(tiny_data), 0.1)
    goes_on_after(run, PreparedData.open(tiny_data.path), tmp_path)


def test_data_prepared_anew_while_it_trains(tmp_path, tiny_data):
    """Training ends on the data it began with, tells it, and the new data are refused on resume by their hash."""
    whole = make_run(tmp_path / "whole", tiny_data, steps=12)
    loop.train(whole, tiny_data)
    run = make_run(tmp_path / "run", tiny_data, steps=12)
    told = Told(3, lambda: make_data(tiny_data.path, lengths={"train": (50,), "valid": (20,)}))
    loop.train(run, PreparedData.open(tiny_data.path), told)
    (warning,) = told.warnings
    assert "was prepared anew" in warning
    same(whole, run)
    assert PreparedData.open(tiny_data.path).content_hash() != run.settings.data.content_hash


def test_the_same_data_prepared_again_while_it_trains_are_no_matter(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    told = Told(3, lambda: make_data(tiny_data.path))
    loop.train(run, PreparedData.open(tiny_data.path), told)
    assert not told.warnings
    longer = run.settings.model_copy(update={"train": run.settings.train.model_copy(update={"steps": 10})})
    run.replace_settings(longer)
    assert loop.train(RunFolder.open(run.path), PreparedData.open(tiny_data.path)).step == 10


def test_commands_notice_changed_tokens(trained_project, program):
    settings = Path("runs/sequnet/settings.toml")  # names the data that all projects of these tests share
    settings.write_text(re.sub(r'(?m)^path = ".*"$', 'path = "data/prepared"', settings.read_text()))
    file = next(Path("data/prepared").glob("tokens-*.bin"))
    flip(file, 0.95)
    for command in (
        "evaluate sequnet --split test",
        "generate sequnet --conditional --split test --length 3 --engine torch",
    ):
        out = program(*command.split())
        assert out.code == 1
        assert "the tokens of test 1 in" in out.err
        assert "seqgen preprocess" in out.err
    assert program("evaluate", "sequnet", "--split", "valid").code == 0


def test_tokens_are_compared_in_blocks_of_memory_maps_not_copied(tiny_data):
    tiny_data.verify("valid")
    assert all(isinstance(tiny_data.tokens(item), np.memmap) for item in tiny_data.items("valid"))
    assert tiny_data.token_size() == sum(item.length for item in tiny_data.manifest.items)
    assert tiny_data.token_size("valid") == 302
