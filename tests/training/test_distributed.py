"""Two processes train as one does, and what one of them loses is kept; gloo on the CPU."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY_MODELS, make_data, make_images, make_run
from together import (
    WARM,
    as_typed,
    fail_in_one,
    say_places,
    start_warm,
    train_all,
    train_here,
    train_until_killed,
    wait_long,
)

from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.runs import RunFolder
from seqgen_core.training.distributed import (
    ALONE,
    Group,
    Place,
    check_devices,
    first_to_tell,
    launch,
    peer_lost,
    place_in_environment,
)

QUIET = {"dropout": 0.0, "embedding_dropout": 0.0}
"""Each process draws dropout of its own, so losses are compared without."""

CASES: dict[str, dict] = {
    "wavenet": {},
    "wavenet-labels": {"classes": True},
    "sequnet": {},
    "sequnet-uneven": {"batch_size": 3, "accumulate": 2},
    "sequnet-carried": {"carry": True, "accumulate": 2},
    "samplernn-single": {"batch_size": 1},
    "tcn": {},
    "sequnet_plain": {},
    "samplernn": {},
    "pixelcnn": {"batch_size": 4},
    "wavenet-sharded": {"shard": True},
    "sequnet-sharded": {"shard": True, "accumulate": 2},
    "tcn-sharded": {"shard": True},
    "samplernn-sharded": {"shard": True},
    "pixelcnn-sharded": {"batch_size": 4, "shard": True},
}


def make_case(folder: Path, name: str, **changes) -> RunFolder:
    """The run of one case, its data beside it."""
    model, settings = name.partition("-")[0], {"batch_size": 4, "steps": 8, **CASES.get(name, {}), **changes}
    labels = 2 if settings.pop("classes", False) else 0
    prepared = folder / ("images" if model == "pixelcnn" else f"tones-{labels}")
    if prepared.exists():
        data = PreparedData.open(prepared)
    else:
        data = make_images(prepared) if model == "pixelcnn" else make_data(prepared, labels=labels)
    run = make_run(folder / name, data, model, **settings)
    kind = run.settings.model
    quiet = {key: value for key, value in QUIET.items() if hasattr(kind, key)}
    run.replace_settings(run.settings.model_copy(update={"model": kind.model_copy(update=quiet)}))
    return run


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    """Every case trained by one process, and by two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for name in CASES:
        alone = make_case(one, name, shard=False)
        (alone.path / "losses.json").write_text(json.dumps(train_here(alone.path)))
    launch(2, train_all, [make_case(two, name).path for name in CASES])
    return one, two


@pytest.fixture(scope="module")
def server() -> Any:
    """A process that has all imported; those forked from it begin at once. It ends with this process."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the server does not hear of sys.path otherwise
        forkserver.ensure_running()
    return context


@pytest.fixture
def warm(server, monkeypatch) -> None:
    """What `launch` starts has all imported; the other tests spawn, as the program does."""
    monkeypatch.setattr(torch.multiprocessing, "start_processes", start_warm)


@pytest.fixture
def typed(server, tmp_path) -> Callable[..., AbstractContextManager[tuple[BaseProcess, Path]]]:
    """Start the program: its process, which leads a session, and the file of what it says; killed at the end."""

    @contextmanager
    def start(*words: str, forked: bool) -> Iterator[tuple[BaseProcess, Path]]:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        process = server.Process(target=as_typed, args=(words, tmp_path / "told", scratch, forked))
        process.start()
        try:
            yield process, tmp_path / "told"
        finally:
            process.kill()
            process.join()

    return start


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(both, name):
    one, two = (json.loads((folder / name / "losses.json").read_text()) for folder in both)
    assert len(one) == 8
    assert two == pytest.approx(one, rel=1e-6)
    left, right = (RunFolder.open(folder / name) for folder in both)
    assert left.steps() == right.steps()
    alone, group = left.load("last"), right.load("last")
    assert group.account["tokens"] == alone.account["tokens"]
    assert group.account["valid_bits"] == pytest.approx(alone.account["valid_bits"], rel=1e-5)
    for part in ("model", "ema", "optimizer"):
        ours, theirs = getattr(alone, part), getattr(group, part)
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert theirs[key].shape == value.shape, key
            if key != "rng.cpu":
                assert torch.allclose(theirs[key].double(), value.double(), rtol=1e-3, atol=1e-4), f"{part} {key}"


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("name", ["sequnet-carried", "sequnet-sharded", "samplernn", "samplernn-single"])
def test_a_run_of_two_processes_goes_on_in_one(both, name):
    """The course of the loss is that of a single process all along."""
    runs = [RunFolder.open(folder / name) for folder in both]
    for run in runs:
        train = run.settings.train.model_copy(update={"steps": 12, "shard": False})
        run.replace_settings(run.settings.model_copy(update={"train": train}))
    one, two = (train_here(run.path) for run in runs)
    assert len(one) == 4
    assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("victim", [0, 1])
def test_one_process_killed_loses_nothing(warm, tmp_path, victim):
    name = "sequnet" if victim else "wavenet"
    (tmp_path / "whole").mkdir()
    whole = make_case(tmp_path / "whole", name, steps=9, validate_every=100)
    losses = train_here(whole.path)
    run = make_case(tmp_path, name, steps=9, validate_every=100)
    with pytest.raises(SeqgenError, match=rf"Process {victim} of 2 was killed \(SIGKILL\)") as caught:
        launch(2, train_until_killed, run.path, victim, 5)
    assert "--resume" in caught.value.hint
    assert run.steps() == [5]
    assert run.status["step"] == 5
    assert train_here(run.path) == pytest.approx(losses[5:], rel=1e-5)


@pytest.mark.xdist_group("together")
def test_a_state_that_died_with_its_process_is_not_made_up(warm, tmp_path):
    """Where windows hand a state on, the last checkpoint stands."""
    run = make_case(tmp_path, "samplernn", steps=9, validate_every=3)
    with pytest.raises(SeqgenError, match="was killed"):
        launch(2, train_until_killed, run.path, 1, 5)
    assert run.choose("last") == 3
    assert len(train_here(run.path)) == 6


@pytest.mark.xdist_group("together")
def test_what_processes_tell_each_other(warm, tmp_path):
    launch(2, say_places, tmp_path)
    for rank in range(2):
        figures, everyone, to_main, from_main, rows = json.loads((tmp_path / f"{rank}.json").read_text())
        assert figures == [[0, 0], [1, 10]]
        assert everyone == ["I am 0", "I am 1"]
        assert to_main == ([0, 1] if rank == 0 else [])
        assert from_main == "go"
        assert rows == ([0, 2] if rank == 0 else [2, 5])


@pytest.mark.xdist_group("together")
def test_an_end_of_the_main_process_is_that_of_all(warm):
    with pytest.raises(SystemExit) as ended:
        launch(2, fail_in_one)
    assert ended.value.code == 7


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_reaches_all_processes_and_keeps_the_work(typed, tmp_path, number):
    run = make_case(tmp_path, "sequnet", steps=None, max_time="1h", validate_every=10**6)
    words = ["train", "--resume", str(run.path), "--devices", "2"]
    with typed(*words, forked=number == signal.SIGTERM) as (process, told):
        _wait_for(lambda: len(run.metrics()) >= 2, process, told)
        if number == signal.SIGINT:  # as a terminal sends it: to all processes at once
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        process.join(120)
    assert process.exitcode == 130, told.read_text()
    assert run.status["status"] == "interrupted"
    assert run.steps() == [run.status["step"]]
    assert "Traceback" not in told.read_text()


@pytest.mark.xdist_group("together")
def test_processes_whose_starter_is_killed_stop_and_leave_nothing(typed, tmp_path):
    run = make_case(tmp_path, "sequnet", steps=None, max_time="1h", validate_every=10**6)
    scratch = tmp_path / "scratch"
    with typed("train", "--resume", str(run.path), "--devices", "2", "-q", forked=False) as (process, told):
        _wait_for(lambda: len(run.metrics()) >= 2, process, told)
        assert list(scratch.glob("seqgen-*"))
        process.kill()
        _wait_for(lambda: run.status["status"] == "interrupted" and not list(scratch.glob("seqgen-*")))
    assert run.steps() == [run.status["step"]]


@pytest.mark.xdist_group("together")
def test_a_stop_before_it_can_be_honoured_is_no_failure():
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(KeyboardInterrupt):
        launch(2, wait_long)


@pytest.mark.xdist_group("together")
def test_torchrun_starts_it_too(tmp_path):
    one = make_case(tmp_path, "sequnet")
    losses = train_here(one.path)
    again = tmp_path / "again"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["seqgen_cli", "train", str(again), "--data", str(one.settings.data.path), "--model", "sequnet"]
    model = [f"model.{name}={value}" for name, value in TINY_MODELS["sequnet"] if isinstance(value, int)]
    names = ("steps", "batch_size", "window", "learning_rate", "warmup_steps", "validate_every", "log_every", "threads")
    training = [f"train.{name}={getattr(one.settings.train, name)}" for name in names]
    more = ["train.sample_count=0", "train.tensorboard=false", "train.device=cpu", "-q"]
    done = subprocess.run([*command, *model, *training, *more], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    first = [line["bits"] for line in RunFolder.open(again).metrics() if line["kind"] == "train"]
    pairs = [sum(losses[place : place + 2]) / 2 for place in range(0, 8, 2)]
    assert first == pytest.approx(pairs, rel=2e-6)


def _wait_for(wanted, process=None, told=None, seconds=120.0):
    until = time.monotonic() + seconds
    while not wanted():
        assert process is None or process.is_alive(), told.read_text()
        assert time.monotonic() < until
        time.sleep(0.1)


def test_rows_of_a_batch_are_shared_without_overlap_or_loss():
    for size in (1, 2, 3, 8):
        for count in (1, 4, 7, 16):
            rows = [Group(Place(rank, size, rank, size)).rows(count) for rank in range(size)]
            assert [row for part in rows for row in range(part.start, part.stop)] == list(range(count))
            lengths = [part.stop - part.start for part in rows]
            assert max(lengths) - min(lengths) <= 1


def test_a_place_is_read_from_what_torchrun_says():
    told = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    assert place_in_environment(told) == Place(3, 4, 1, 2)
    assert place_in_environment({"RANK": "3"}) is None
    assert ALONE.main
    assert ALONE.everyone("x") == ["x"]


def test_errors_of_a_lost_process_are_known():
    assert peer_lost(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"))
    assert peer_lost(torch.distributed.DistBackendError("NCCL error"))
    assert not peer_lost(RuntimeError("shapes differ"))
    assert not peer_lost(ValueError("gloo"))


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_devices(2, "auto")
    check_devices(8, "cpu")
    for device in ("auto", "cuda"):
        with pytest.raises(UsageError, match="2 GPUs"):
            check_devices(3, device)
    for device in ("cuda:1", "mps"):
        with pytest.raises(UsageError, match="single one"):
            check_devices(2, device)


@pytest.mark.xdist_group("together")
def test_what_all_processes_fail_for_is_told_once(typed, tmp_path):
    run = make_case(tmp_path, "sequnet", shard=True, stats=True)
    with typed("train", "--resume", str(run.path), "--devices", "2", forked=True) as (process, file):
        process.join(120)
    told = file.read_text()
    assert process.exitcode == 2, told
    assert told.count("error: ") == told.count("hint: ") == 1, told


def test_the_first_to_tell(tmp_path):
    place = Place(1, 2, 1, 2, (tmp_path / "store").as_uri())
    assert [first_to_tell(place, what) for what in ("this", "this", "that")] == [True, False, True]
    gone = Place(1, 2, 1, 2, (tmp_path / "gone" / "store").as_uri())
    for nowhere in (gone, Place(1, 2, 1, 2)):
        assert first_to_tell(nowhere, "this")
        assert first_to_tell(nowhere, "this")


def test_sharding_alone_is_refused(tmp_path):
    run = make_case(tmp_path, "wavenet", shard=True)
    with pytest.raises(UsageError, match="cuts a model over devices"):
        train_here(run.path)
    run = make_case(tmp_path, "sequnet", shard=True, stats=True)
    with pytest.raises(UsageError, match=r"shard|stats"):
        train_here(run.path)
