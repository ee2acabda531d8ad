"""Processes that die take down their own task and nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqgen_core.data.workers import Crashed, run_all


def square_or_die(number: int) -> int:
    if number < 0:
        os._exit(11)  # as a decoder's segmentation fault would
    return number * number


def fail(number: int) -> int:
    raise OSError(28, f"no space for {number}")


def test_results_come_with_their_numbers_in_this_process():
    assert [(done.number, done.result) for done in run_all(square_or_die, [3, 4], 1)] == [(0, 9), (1, 16)]


def test_a_dying_process_is_the_end_of_its_task_alone():
    tasks = [1, 2, -1, 4, 5]
    results = {done.number: done.result for done in run_all(square_or_die, tasks, 2)}
    assert results == {0: 1, 1: 4, 2: Crashed(), 3: 16, 4: 25}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_ends_the_whole(jobs):
    with pytest.raises(OSError, match="no space for"):
        list(run_all(fail, [1, 2], jobs))


def test_no_worker_outlives_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from seqgen_core.data.workers import run_all\n"
        "def wait(folder):\n"
        "    (Path(folder) / str(os.getpid())).touch()\n"
        "    time.sleep(120)\n"
        "if __name__ == '__main__':\n"
        "    list(run_all(wait, [sys.argv[1]] * 2, 2))\n"
    )
    folder = tmp_path / "pids"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, str(script), str(folder)], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(folder.iterdir())) == 2)
    workers = [int(file.name) for file in folder.iterdir()]
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(alive(worker) for worker in workers))


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    if Path("/proc").is_dir():
        try:
            return "State:\tZ" not in status.read_text()  # a zombie has ended, whoever should reap it
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
