"""A Dask cluster in place of processes of this machine: the same output, and its troubles in one line each."""

import ast
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_preprocess import RATE, fill, prepare

from seqgen_core.data import cluster as on_cluster
from seqgen_core.data import on_worker
from seqgen_core.data.cluster import Cluster, run_on_cluster
from seqgen_core.data.fit import Fitness, fitness_test
from seqgen_core.data.preprocess import LOCK
from seqgen_core.data.store import MANIFEST, Manifest, read_manifest
from seqgen_core.data.workers import Crashed, stop_wanted
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Silent

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.xdist_group("cluster"), pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a scheduler with two worker processes of one thread each."""
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.worker.preload": []}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=60
        ) as cluster,
    ):
        yield cluster.scheduler_address


class Heard(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"warning: {line}")


def square_or_die(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is used up
    return number * number


def square_slowly(number: int) -> int:
    time.sleep(0.02)
    return number * number


def fail(number: int) -> int:
    raise OSError(28, f"no space for {number}")


def wait_until_told(folder: str) -> None:
    Path(folder, f"begun-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while not stop_wanted() and time.monotonic() < deadline:
        time.sleep(0.02)
    Path(folder, f"ended-{os.getpid()}").touch()


def shards(manifest: Manifest) -> list[str]:
    """Names of the files of tokens and features, which are drawn anew for each run, in the order of the items."""
    return [*dict.fromkeys(item.shard for item in manifest.items), *filter(None, [manifest.features_file])]


def content(file: Path) -> bytes:
    return file.read_bytes()


def alike(manifest: Manifest) -> dict[str, Any]:
    """The manifest without its files' names, its folder and who did the work."""
    plain = manifest.model_dump(mode="json", exclude={"features_file": True, "settings": {"out", "jobs", "cluster"}})
    names = shards(manifest)
    return {**plain, "items": [{**item, "shard": names.index(item["shard"])} for item in plain["items"]]}


def on(address: str, work: Path, files: tuple[Path, ...] = ()) -> Cluster:
    return Cluster(address, work, files)


def test_shards_and_manifest_are_those_of_this_machines_processes(scheduler, tmp_path):
    raw = fill(tmp_path / "raw", 6)
    (raw / "broken.wav").write_bytes(b"RIFF no sound")
    for settings in ({}, {"normalise": "rms", "features": "mel"}):
        name = "-".join(map(str, settings))
        prepare(raw, tmp_path / f"here{name}", jobs=2, **settings)
        prepare(raw, tmp_path / f"there{name}", cluster=scheduler, **settings)
        here, there = tmp_path / f"here{name}", tmp_path / f"there{name}"
        ours, theirs = read_manifest(here), read_manifest(there)
        assert [content(here / shard) for shard in shards(ours)] == [content(there / shard) for shard in shards(theirs)]
        assert {*shards(theirs), MANIFEST, LOCK} == {file.name for file in there.iterdir()}  # nothing is left behind
        assert theirs.settings.cluster == scheduler
        assert alike(theirs) == alike(ours)
        assert not prepare(raw, there, **settings).fresh  # the same data, wherever they were made


def test_a_dying_worker_is_the_end_of_its_task_alone(scheduler, tmp_path):
    tasks = [1, 2, -1, 4, 5]
    results = {d.number: d.result for d in run_on_cluster(square_or_die, tasks, on(scheduler, tmp_path), Silent())}
    assert results == {0: 1, 1: 4, 2: Crashed(), 3: 16, 4: 25}


def test_a_cluster_may_grow_and_shrink_on_the_way(scheduler, tmp_path, monkeypatch):
    sizes = itertools.chain([0, 20, 1], itertools.repeat(2))
    monkeypatch.setattr(on_cluster, "_AHEAD", 1)
    monkeypatch.setattr(on_cluster, "_POLL", 0.01)
    monkeypatch.setattr(on_cluster._Work, "_threads_there", lambda work: next(sizes))
    results = run_on_cluster(square_slowly, list(range(30)), on(scheduler, tmp_path), Silent())
    assert {done.number: done.result for done in results} == {number: number**2 for number in range(30)}


def test_an_exception_ends_the_whole(scheduler, tmp_path):
    with pytest.raises(OSError, match="no space for"):
        list(run_on_cluster(fail, [1, 2, 3], on(scheduler, tmp_path), Silent()))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_the_tasks_under_way(scheduler, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    results = run_on_cluster(wait_until_told, [str(notes)] * 4, on(scheduler, tmp_path), Silent())
    threading.Thread(target=interrupt_once, args=(notes,), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    begun = {file.name.partition("-")[2] for file in notes.glob("begun-*")}
    ended = {file.name.partition("-")[2] for file in notes.glob("ended-*")}
    assert begun
    assert begun == ended
    assert [file.name for file in tmp_path.iterdir()] == ["notes"]


def interrupt_once(notes: Path) -> None:
    while not list(notes.iterdir()):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_workers_that_do_not_see_the_files_are_named_before_work_begins(scheduler, tmp_path, monkeypatch):
    seen = tmp_path / "a.wav"
    seen.write_bytes(b"four")
    monkeypatch.setattr(on_cluster, "_ticket", ticket_with({str(tmp_path / "elsewhere.wav"): 4}))
    with pytest.raises(SeqgenError) as caught:
        list(run_on_cluster(square_or_die, [1], on(scheduler, tmp_path), Silent()))
    assert "2 of 2 workers of tcp://" in caught.value.got
    assert f"cannot use {tmp_path / 'elsewhere.wav'}: No such file or directory" in caught.value.got
    assert "at the same paths" in caught.value.wanted
    monkeypatch.setattr(on_cluster, "_ticket", ticket_with({str(seen): 5}))
    with pytest.raises(SeqgenError, match=r"sees another file at .*a\.wav"):
        list(run_on_cluster(square_or_die, [1], on(scheduler, tmp_path), Silent()))


def ticket_with(files):
    original = on_cluster._ticket

    @contextlib.contextmanager
    def ticket(cluster):
        with original(cluster) as honest:
            yield honest._replace(files=files)

    return ticket


def with_here(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let this process look otherwise than it is."""
    work = on_cluster._Work

    def make(client, address, function, ticket, here):
        return work(client, address, function, ticket, replace(here, **changes))

    monkeypatch.setattr(on_cluster, "_Work", make)


def test_another_seqgen_on_the_workers_is_refused(scheduler, tmp_path, monkeypatch):
    with_here(monkeypatch, seqgen="0.1.0 (code 12345678)")
    with pytest.raises(SeqgenError, match=r"it has seqgen \d.*, and here is 0\.1\.0 \(code 12345678\)"):
        list(run_on_cluster(square_or_die, [1], on(scheduler, tmp_path), Silent()))


def test_another_decoder_on_the_workers_is_told(scheduler, tmp_path, monkeypatch):
    versions = Fitness(**fitness_test()("", "", {})).versions
    with_here(monkeypatch, versions={**versions, "soxr": "0.0.1"})
    heard = Heard()
    assert [d.result for d in run_on_cluster(square_or_die, [3], on(scheduler, tmp_path), heard)] == [9]
    told = (
        f"warning: results may differ in the last bit: soxr {versions['soxr']} on {socket.gethostname()} (0.0.1 here)"
    )
    assert heard.lines == [told, f"2 workers with 2 threads at {scheduler}"]


def test_a_worker_that_comes_later_is_tested_before_its_first_task(tmp_path):
    here = Fitness(**fitness_test()("run", str(tmp_path / "token"), {}))
    ticket = on_worker.Ticket("late", str(tmp_path / "token"), {})
    with pytest.raises(SeqgenError, match=r"one that came later: on .* it cannot use .*token: No such file"):
        on_worker.do_task(square_or_die, 3, ticket, here, "tcp://there:1")
    (tmp_path / "token").write_text("late")
    assert on_worker.do_task(square_or_die, 3, ticket, here, "tcp://there:1") == 9


def test_the_test_of_fitness_runs_where_seqgen_is_not_installed(tmp_path):
    import cloudpickle

    (tmp_path / "token").write_text("run")
    (tmp_path / "test").write_bytes(cloudpickle.dumps(fitness_test()))
    (tmp_path / "cloudpickle").symlink_to(Path(cloudpickle.__file__).parent)
    script = "import pickle; print(pickle.load(open('test', 'rb'))('run', 'token', {}))"
    ended = subprocess.run([sys.executable, "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    found = Fitness(**ast.literal_eval(ended.stdout))
    assert (found.seqgen, found.versions["numpy"], found.trouble) == ("none", "none", "")
    assert (tmp_path / f"token-{found.mark}").read_text() == "run"


def test_no_scheduler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(on_cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(SeqgenError) as caught:
        prepare(fill(tmp_path / "raw", 2), tmp_path / "out", cluster="tcp://127.0.0.1:9")
    assert caught.value.got == "No Dask scheduler answers at tcp://127.0.0.1:9 within 0.5 s."
    assert "dask scheduler" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_is_killed_is_one_line(tmp_path, capfd):
    file, begun = tmp_path / "scheduler.json", tmp_path / "begun"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    local = ("--host", "127.0.0.1", "--scheduler-file", str(file), "--dashboard-address", ":0")
    for words in (("scheduler", "--port", "0"), ("worker", "--no-nanny", "--nthreads", "1")):
        command = [sys.executable, "-m", "dask", *words, *local]
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if words[0] == "scheduler":
            scheduler = process
    try:
        address = address_in(file)
        threading.Thread(target=lambda: (wait_for(begun), scheduler.kill()), daemon=True).start()
        with pytest.raises(SeqgenError) as caught:
            list(run_on_cluster(touch_and_wait, [str(begun)] * 3, on(address, tmp_path), Silent()))
    finally:
        for running in (scheduler, process):
            running.kill()
            running.wait()
    assert caught.value.got == f"The connection to the Dask scheduler at {address} was lost."
    assert "What is finished is kept" in caught.value.hint
    assert capfd.readouterr().err == ""


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 100
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def address_in(file: Path) -> str:
    """The scheduler's: it opens its file before it writes what stands in it."""
    deadline = time.monotonic() + 100
    while True:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(file.read_text())["address"]
        assert time.monotonic() < deadline, f"no address came in {file}"
        time.sleep(0.02)


def touch_and_wait(file: str) -> None:
    Path(file).touch()
    time.sleep(2)


def test_without_any_worker_it_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(on_cluster, "WORKER_SECONDS", 0.1)
    monkeypatch.setattr(on_cluster, "_POLL", 0.1)
    heard = Heard()
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0", silence_logs=60) as cluster,
        pytest.raises(SeqgenError, match=r"has had no worker for 0\.1 s"),
    ):
        list(run_on_cluster(square_or_die, [1], on(cluster.scheduler_address, tmp_path), heard))
    assert "has no workers yet" in heard.lines[0]


def test_without_the_extra_it_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as caught:
        prepare(fill(tmp_path / "raw", 2), tmp_path / "out", cluster="tcp://127.0.0.1:9")
    assert "pip install 'seqgen[cluster]'" in caught.value.hint


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "http://host:1", "tcp://host", "tcp://:8786:"])
def test_an_address_is_checked_before_anything_else(tmp_path, program, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    out = program("preprocess", "--cluster", address)
    assert out.code == 2
    assert f"preprocess.cluster = '{address}' is not right: a scheduler's address is written tcp://host:port" in out.err


def test_other_kinds_say_that_they_do_not_use_it(tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("to be or not to be\n" * 40)
    out = program("preprocess", "words.txt", "--cluster", "tcp://127.0.0.1:9")
    assert out.code == 0, out.err
    assert "preprocess.cluster means nothing for text: it is not used" in out.err


def test_the_program_hands_its_work_over(scheduler, tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "data" / "raw", 4)
    out = program("preprocess", "--cluster", scheduler, "--rate", RATE)
    assert out.code == 0, out.err
    assert f"2 workers with 2 threads at {scheduler}" in out.err
    assert read_manifest(tmp_path / "data" / "prepared").settings.cluster == scheduler
