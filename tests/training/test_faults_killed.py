"""Killed at thirty random moments, most of them while a checkpoint is written, a run goes on to the very same end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_resume import logged, same
from tiny import make_data, make_run

from seqgen_core.training import loop

TESTS = Path(__file__).resolve().parents[1]
KILLS = 30
SCRIPT = '''
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from seqgen_core.checkpoint import verify_checkpoint
from seqgen_core.data.store import PreparedData
from seqgen_core.progress import Silent
from seqgen_core.runs import RunFolder
from seqgen_core.training import loop

class Warned(Silent):
    def warn(self, line):
        print("warned", line)

path, data, wanted = Path(sys.argv[2]), PreparedData.open(Path(sys.argv[3])), int(sys.argv[4])
loop.train(RunFolder.open(Path(sys.argv[5])), data)  # what is imported and compiled late, the children need not each
rng, folder, kills = random.Random(11), path / "checkpoints", []

def slowed(function):
    """Takes two milliseconds before and after, so that a kill can fall between it and its neighbours."""
    def slow(*arguments, **options):
        time.sleep(0.002)
        given = function(*arguments, **options)
        time.sleep(0.002)
        return given
    return slow

def child():
    run = RunFolder.open(path)
    if len(kills) >= wanted:
        calm = run.settings.train.model_copy(update={"save_every": 3600.0})
        run.replace_settings(run.settings.model_copy(update={"train": calm}))
    else:
        os.fsync, Path.rename, Path.replace = slowed(os.fsync), slowed(Path.rename), slowed(Path.replace)
    try:
        loop.train(run, data, Warned())
    except BaseException as error:
        print("failed", repr(error), flush=True)
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)

def seen(begins, ends=""):
    return any(entry.name.startswith(begins) and entry.name.endswith(ends) for entry in os.scandir(folder))

def awaited(condition, number):
    """Waits until it has been true, after it was not, so many times, or the child ended."""
    before = condition()
    while number:
        now = condition()
        if now and not before:
            number -= 1
        before = now
        if ended() or time.monotonic() > latest:
            return

def ended():
    global over
    over = over or os.waitpid(pid, os.WNOHANG)[0] != 0
    return over

while True:
    pid, over, latest = os.fork(), False, time.monotonic() + 20  # no thread is left that forking could break
    if pid == 0:
        child()
    if len(kills) >= wanted:
        _, status = os.waitpid(pid, 0)
        assert status == 0
        break
    kind = ("any time", "written", "written", "renamed", "replaced", "dropped")[len(kills) % 6]
    if kind == "written":  # the files of a checkpoint
        awaited(lambda: seen(".tmp-", "-step-" + "0123456789"[len(kills) % 10]) or seen(".tmp-"), rng.randint(1, 3))
        time.sleep(rng.uniform(0, 0.02))
    elif kind == "renamed":  # right before and after a checkpoint is there
        latest_step = max(RunFolder.open(path).steps(), default=0)
        awaited(lambda: seen(f"step-{latest_step + rng.randint(1, 3)}"), 1)
        time.sleep(rng.uniform(0, 0.004))
    elif kind == "replaced":  # one of the same step takes the place of another
        awaited(lambda: seen("step-", ".new"), 1)
        time.sleep(rng.uniform(0, 0.008))
    elif kind == "dropped":  # old ones go
        awaited(lambda: sum(entry.name.startswith("step-") for entry in os.scandir(folder)) > 2, rng.randint(1, 2))
        time.sleep(rng.uniform(0, 0.006))
    else:
        time.sleep(rng.uniform(0, 0.3))
    assert not ended(), f"ended before kill {len(kills)}"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    inside = seen(".tmp-") or seen("step-", ".new")
    run = RunFolder.open(path)
    for step in run.steps():
        verify_checkpoint(run._folder(step))  # every checkpoint that is there is whole
    kills.append((kind, max(run.steps(), default=0), inside))
print(sum(inside for *_, inside in kills), len(kills), kills)
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_thirty_times_it_ends_with_the_same_weights(tmp_path):
    data = make_data(tmp_path / "prepared")
    settings = {
        "steps": 120,
        "validate_every": 2,
        "log_every": 3,
        "ema": 0.9,
        "validate_tokens": 50,
    }
    # A checkpoint after every step, and another of the same step where that is validated.
    killed = make_run(tmp_path / "killed", data, save_every=1e-9, **settings)
    warm = make_run(tmp_path / "warm", data, **{**settings, "steps": 2})
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, (TESTS.parent, killed.path, data.path, KILLS, warm.path))],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "warned" not in result.stdout
    inside, kills = map(int, result.stdout.split()[:2])
    assert kills == KILLS
    assert inside >= KILLS // 3, result.stdout
    whole = make_run(tmp_path / "whole", data, **settings)
    loop.train(whole, data)
    same(whole, killed)
    assert logged(whole) == logged(killed)
    assert whole.choose("best") == killed.choose("best")
    assert not [*killed.path.rglob(".tmp-*"), *killed.path.rglob("*.new")]
    assert killed.status["status"] == "finished"
