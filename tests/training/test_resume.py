"""N steps, a stop and N more are 2N steps, to the bit; whatever ends a training in between, nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from tiny import STREAM_MODELS, make_data, make_images, make_run

from seqgen_core.errors import SeqgenError
from seqgen_core.previews import Preview
from seqgen_core.progress import Silent
from seqgen_core.runs import Checkpoint, RunFolder
from seqgen_core.training import learner, loop

TESTS = Path(__file__).resolve().parents[1]


def told(path: Path):
    """Recordings with labels and features."""
    return make_data(path, labels=2, bands=3)


class StopAt(Silent):
    """Sends this process a signal once so many steps are done."""

    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number = step, number

    def update(self, done, **figures):
        if done == self.step:
            self.step = None  # a step is told of more than once, and a second signal would mean something else
            os.kill(os.getpid(), self.number)


def same(first: RunFolder, second: RunFolder) -> None:
    """Weights, averages, optimiser, random state and account of the last checkpoints are equal, but for times."""
    one, other = first.load("last"), second.load("last")
    for part in ("model", "ema", "optimizer"):
        left, right = getattr(one, part), getattr(other, part)
        assert left.keys() == right.keys()
        for name in left:
            assert torch.equal(left[name], right[name]), f"{part} {name}"
    timeless(one.account), timeless(other.account)
    assert one.account == other.account


def timeless(value):
    """Remove what depends on the clock or on the machine's memory, in place."""
    if isinstance(value, dict):
        for name in ("elapsed", "seconds", "tokens_per_second", "time", "memory"):
            value.pop(name, None)
        for part in value.values():
            timeless(part)
    return value


def logged(run: RunFolder) -> list[dict]:
    return [timeless(line) for line in run.metrics()]


CASES = [
    *(pytest.param(model, make_data, {"ema": 0.9}, id=model) for model in STREAM_MODELS),
    pytest.param("sequnet", make_data, {"ema": 0.0}, id="no average"),
    pytest.param("sequnet", make_data, {"carry": True}, id="carried by a convolution with a clock"),
    pytest.param("wavenet", make_data, {"carry": True, "window": 7}, id="carried, recordings that end in a window"),
    pytest.param("wavenet", told, {}, id="labels and features"),
    pytest.param("wavenet", told, {"carry": True}, id="labels and features, carried"),
    pytest.param("pixelcnn", make_images, {}, id="images"),
]


@pytest.mark.parametrize(("model", "make", "options"), CASES)
def test_stop_and_resume_is_bit_identical(tmp_path, model, make, options):
    data = make(tmp_path / "prepared")
    settings = {"steps": 14, "validate_every": 5, "log_every": 4, "schedule": "cosine", **options}
    whole = make_run(tmp_path / "whole", data, model, **settings)
    loop.train(whole, data)
    cut = make_run(tmp_path / "cut", data, model, **settings)
    # 3: before the first checkpoint; 5: at a validation; 10: at another; 11: between two lines of the log
    for step in (3, 5, 10, 11):
        report = loop.train(RunFolder.open(cut.path), data, StopAt(step))
        assert (report.status, report.step) == ("interrupted", step)
        assert cut.status["status"] == "interrupted"
    assert loop.train(RunFolder.open(cut.path), data).status == "finished"
    same(whole, cut)
    assert logged(whole) == logged(cut)
    assert {line["step"] for line in whole.metrics() if line["kind"] == "valid"} == {5, 10, 14}
    assert whole.choose("best") == cut.choose("best")


def carried_parts(run: RunFolder) -> list[str]:
    return [name for name in run.load("last").optimizer if name.startswith(learner.CARRIED)]


@pytest.mark.parametrize(
    ("model", "carry", "kept"),
    [("samplernn", None, True), ("samplernn", False, False), ("sequnet", None, False), ("sequnet", True, True)],
)
def test_a_checkpoint_holds_the_state_that_is_carried(tmp_path, tiny_data, model, carry, kept):
    run = make_run(tmp_path / "run", tiny_data, model, steps=3, carry=carry)
    loop.train(run, tiny_data)
    wanted = learner.models.build(run.settings.model, run.settings.tokens).initial_state(3) if kept else []
    tensors = run.load("last").optimizer
    assert set(carried_parts(run)) == {f"{learner.CARRIED}{place}" for place in range(len(wanted))}
    for place, part in enumerate(wanted):
        held = tensors[f"{learner.CARRIED}{place}"]
        assert (held.shape, held.dtype) == (part.shape, part.dtype)


def test_without_the_carried_state_it_would_not_be_the_same(tmp_path, tiny_data):
    """So the state is what the next windows go on from, and the comparison can fail."""
    runs = [make_run(tmp_path / name, tiny_data, "wavenet", steps=6, carry=True) for name in ("kept", "lost")]
    for run in runs:
        loop.train(RunFolder.open(run.path), tiny_data, StopAt(3))
    lost = runs[1].load("last")
    assert carried_parts(runs[1])
    tensors = {name: part for name, part in lost.optimizer.items() if not name.startswith(learner.CARRIED)}
    runs[1].save(Checkpoint(lost.model, lost.ema, tensors, lost.account), best=False, keep=0)
    for run in runs:
        loop.train(RunFolder.open(run.path), tiny_data)
    with pytest.raises(AssertionError, match="model"):
        same(*runs)


def test_prolonging_is_training_longer_at_once(tmp_path, tiny_data):
    whole = make_run(tmp_path / "whole", tiny_data, steps=12)
    loop.train(whole, tiny_data)
    parts = make_run(tmp_path / "parts", tiny_data, steps=8)
    loop.train(parts, tiny_data)
    longer = parts.settings.model_copy(update={"train": parts.settings.train.model_copy(update={"steps": 12})})
    parts.replace_settings(longer)
    loop.train(RunFolder.open(parts.path), tiny_data)
    same(whole, parts)
    assert logged(whole) == logged(parts)


def test_another_step_count_is_not_the_same(tmp_path, tiny_data):
    """The comparison itself can fail."""
    runs = [make_run(tmp_path / str(steps), tiny_data, steps=steps) for steps in (8, 9)]
    for run in runs:
        loop.train(run, tiny_data)
    with pytest.raises(AssertionError):
        same(*runs)


def test_a_stop_during_validation_repeats_it_on_resume(tmp_path, tiny_data, monkeypatch):
    run = make_run(tmp_path / "run", tiny_data, steps=8, validate_every=4, ema=0.9)
    whole = make_run(tmp_path / "whole", tiny_data, steps=8, validate_every=4, ema=0.9)
    loop.train(whole, tiny_data)
    score, calls = loop.score_streams, []

    def stopped_in_the_middle(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:  # the first call is the rehearsal
            os.kill(os.getpid(), signal.SIGTERM)
        return score(*arguments, **options)

    monkeypatch.setattr(loop, "score_streams", stopped_in_the_middle)
    report = loop.train(run, tiny_data)
    assert (report.status, report.reason, report.step) == ("interrupted", "stopped by SIGTERM", 4)
    assert not [line for line in run.metrics() if line["kind"] == "valid"]
    loop.train(RunFolder.open(run.path), tiny_data)
    same(whole, run)
    assert logged(whole) == logged(run)


def test_a_stop_during_the_last_validation_does_not_skip_it(tmp_path, tiny_data, monkeypatch):
    run = make_run(tmp_path / "run", tiny_data, steps=5, validate_every=100)
    score, calls = loop.score_streams, []

    def stopped(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return score(*arguments, **options)

    monkeypatch.setattr(loop, "score_streams", stopped)
    assert loop.train(run, tiny_data).status == "interrupted"
    report = loop.train(RunFolder.open(run.path), tiny_data)
    assert report.status == "finished"
    assert report.best_step == 5


def test_drawing_samples_ends_at_once_and_keeps_the_weights(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, steps=8, sample_every=3, sample_count=1, ema=0.9)

    def endless(model, step):
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            yield Preview("never", "sound", model.state_dict()[next(iter(model.state_dict()))].numpy(), 1000)

    assert loop.train(run, tiny_data, draw_samples=endless).step == 3
    loop.train(RunFolder.open(run.path), tiny_data)
    whole = make_run(tmp_path / "whole", tiny_data, steps=8, ema=0.9)
    loop.train(whole, tiny_data)
    same(whole, run)


def test_a_second_ctrl_c_interrupts_and_the_run_goes_on(tmp_path, tiny_data):
    class TwiceAt6(Silent):
        def update(self, done, **figures):
            if done == 6:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    run = make_run(tmp_path / "run", tiny_data, steps=8)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.train(run, tiny_data, TwiceAt6())
    assert signal.getsignal(signal.SIGINT) is before
    assert run.status["status"] == "interrupted"
    assert run.steps() == [4]
    assert loop.train(RunFolder.open(run.path), tiny_data).step == 8
    whole = make_run(tmp_path / "whole", tiny_data, steps=8)
    loop.train(whole, tiny_data)
    same(whole, run)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
warm = torch.zeros(1, requires_grad=True)
warm.sum().backward()
torch.optim.AdamW([warm]).step()  # what the optimiser imports late, the children need not import each
from seqgen_core.data.store import PreparedData
from seqgen_core.runs import RunFolder
from seqgen_core.training import learner, loop

path, data, rng, kills = Path(sys.argv[2]), PreparedData.open(Path(sys.argv[3])), random.Random(5), 0
while True:
    child = os.fork()  # nothing ran here yet that forking could break, and torch is imported once only
    if child == 0:
        loop.train(RunFolder.open(path), data)
        os._exit(0)
    deadline, ended = time.monotonic() + rng.uniform(0.02, 0.3) * (1 + kills / 4), False
    while time.monotonic() < deadline and not ended:
        ended = os.waitpid(child, os.WNOHANG)[0] != 0
        time.sleep(0.002)
    if ended:
        break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kills += 1
    for checkpoint in RunFolder.open(path).steps():
        RunFolder.open(path).load(str(checkpoint))  # every checkpoint that is there is whole
    RunFolder.open(path).metrics()
print(kills)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_at_random_moments_ends_with_the_same_weights(tmp_path):
    data = make_data(tmp_path / "prepared")
    settings = {"steps": 24, "validate_every": 3, "log_every": 2, "keep": 1}
    killed = make_run(tmp_path / "killed", data, **settings)
    script = textwrap.dedent(KILLED)
    result = subprocess.run(
        [sys.executable, "-c", script, str(TESTS.parent), str(killed.path), str(data.path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 1
    whole = make_run(tmp_path / "whole", data, **settings)
    loop.train(whole, data)
    same(whole, killed)
    assert logged(whole) == logged(killed)
    assert not list(killed.path.rglob(".tmp-*"))
    assert killed.status["status"] == "finished"


STOPPED = """
import sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from seqgen_core.data.store import PreparedData
from seqgen_core.progress import Silent
from seqgen_core.runs import RunFolder
from seqgen_core.training import learner, loop

class Tell(Silent):
    def update(self, done, **figures):
        print(done, flush=True)

report = loop.train(RunFolder.open(Path(sys.argv[2])), PreparedData.open(Path(sys.argv[3])), Tell())
print(report.status, report.reason, report.step)
"""


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_signal_from_outside_writes_a_checkpoint(tmp_path, tiny_data, number, name):
    run = make_run(tmp_path / "run", tiny_data, steps=100_000, validate_every=100_000)
    arguments = [sys.executable, "-c", STOPPED, str(TESTS.parent), str(run.path), str(tiny_data.path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "3":
            assert process.poll() is None
        process.send_signal(number)
        ending = process.stdout.read().splitlines()[-1]
    assert process.returncode == 0
    step = run.choose("last")
    assert ending == f"interrupted stopped by {name} {step}"
    assert step >= 3
    assert run.load("last").account["step"] == step
    assert run.status == {**run.status, "status": "interrupted", "step": step}


def test_one_process_trains_a_run_at_a_time(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    with run.locked(), pytest.raises(SeqgenError, match="being trained by another process"):
        loop.train(RunFolder.open(run.path), tiny_data)
    assert (run.path / ".lock").exists()  # a lock file that a killed process left behind locks nothing
    loop.train(run, tiny_data)


def test_imported_weights_can_be_trained_on(tmp_path, tiny_data):
    from seqgen_core import models
    from seqgen_core.runs import Checkpoint

    run = make_run(tmp_path / "run", tiny_data, steps=4, ema=0.9)
    weights = models.build(run.settings.model, run.settings.tokens).state_dict()
    run.save(Checkpoint(weights, {}, {}, {"step": 0}), best=True, keep=0)
    run.set_status("imported", 0)
    report = loop.train(run, tiny_data)
    assert (report.status, report.step) == ("finished", 4)
    assert json.loads((run.path / "checkpoints" / "step-4" / "account.json").read_text())["tokens"] > 0
