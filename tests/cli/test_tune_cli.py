"""seqgen tune, as typed: trials are runs, the table, the plot, best.toml; stops, kills and mistakes."""

import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest
from tiny import make_data

from seqgen_core.runs import RunFolder

pytest.importorskip("optuna")
SETTINGS = ["features=4", "levels=3", "batch_size=2", "window=32", "tensorboard=false", "threads=1", "device=cpu"]
SEARCH = ["--search", "learning_rate=1e-4..3e-2 log", "--search", "model.kernel_size=3,5"]
TUNE = ["tune", "lathe", "--model", "sequnet", *SEARCH, *SETTINGS]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """The current folder, with data/prepared."""
    monkeypatch.chdir(tmp_path)
    make_data(Path("data/prepared"))
    return tmp_path


def test_trials_are_runs_and_the_best_can_be_trained_for_longer(program):
    out = program(*TUNE, "--trials", "3", "--steps-per-trial", "8")
    assert out.code == 0, out.err
    table = out.out.splitlines()
    assert table[0] == "runs/lathe: 3 of 3 trials"
    assert table[1].split() == ["trial", "bits", "ended", "steps", "time", "learning_rate", "kernel_size"]
    assert max(len(line.rstrip()) for line in table[:5]) <= 80
    numbers = [line.split()[0] for line in table[2:5]]
    assert sorted(numbers) == ["0", "1", "2"]
    assert f"best: trial {numbers[0]}, " in out.out
    assert "train it for longer: seqgen train --config runs/lathe/best.toml --steps 80" in out.out
    assert "runs/lathe: 3 trials of 8 steps over train.learning_rate, model.kernel_size; Ctrl-C stops" in out.err
    assert Path("runs/lathe/search.png").read_bytes().startswith(b"\x89PNG")
    best = RunFolder.open(Path(f"runs/lathe/trial-00{numbers[0]}"))
    held = tomllib.loads(Path("runs/lathe/best.toml").read_text())
    assert held["train"]["learning_rate"] == best.settings.train.learning_rate
    assert "tune" not in held
    assert "steps" not in held["train"]
    longer = program("train", "longer", "--config", "runs/lathe/best.toml", "--steps", "12")
    assert longer.code == 0, longer.err
    assert RunFolder.open(Path("runs/longer")).settings.model == best.settings.model
    drawn = program("generate", f"lathe/trial-00{numbers[0]}", "--seconds", "0.1", "--engine", "torch")
    assert drawn.code == 0, drawn.err


def test_the_result_as_json_and_more_trials(program):
    out = program(*TUNE, "--trials", "2", "--steps-per-trial", "8", "--json").json
    assert (out["over"], out["wanted"], out["interrupted"]) == (2, 2, "")
    assert out["best"] == out["trials"][0]["number"]
    assert set(out["trials"][0]["settings"]) == {"train.learning_rate", "model.kernel_size"}
    refused = program("tune", "lathe", "--resume")
    assert refused.code == 2
    assert "runs/lathe has had 2 trials of 2." in refused.err
    assert "`--resume --trials 12`" in refused.err
    more = program("tune", "--resume", "--trials", "3", "--json")
    assert more.code == 0, more.err
    assert (more.json["over"], more.json["wanted"]) == (3, 3)
    assert {trial["number"]: trial["bits"] for trial in out["trials"]}.items() <= {
        trial["number"]: trial["bits"] for trial in more.json["trials"]
    }.items()


def test_the_table_of_many_settings_stays_within_80_columns(program):
    searches = ["learning_rate=1e-4..3e-2 log", "final_learning_rate=0.1,0.2", "weight_decay=0..0.1", "beta1=0.5..0.9"]
    named = [part for text in searches for part in ("--search", text)]
    out = program("tune", *named, *SETTINGS, "--trials", "1", "--steps-per-trial", "2", "runs=elsewhere")
    assert out.code == 0, out.err
    table = out.out[: out.out.index("best:")].splitlines()[1:]
    assert table[0].split()[-1] == "settings"
    assert max(len(line.rstrip()) for line in table) <= 80
    assert "final_learning_rate" in out.out
    (folder,) = Path("elsewhere").iterdir()
    assert folder.name.endswith("-tune-sequnet")


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "seqgen_cli.main", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def has_checkpoint(run: str) -> bool:
    return bool(list(Path(run).glob("checkpoints/step-*/account.json")))


def wait_for_checkpoint(run: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    while not has_checkpoint(run):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no checkpoint came in {run}"
        time.sleep(0.01)


def interrupt_at_a_checkpoint(run: str) -> None:
    while not has_checkpoint(run):
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGINT)


def test_killed_and_interrupted_within_trials_it_goes_on_to_the_very_same_result(program):
    model = ["--model", "samplernn", "channels=6", "embedding=4", "frame_sizes=[4]", *SETTINGS[2:]]
    search = ["--search", "learning_rate=1e-4..3e-2 log", "--search", "cell=gru,lstm"]
    settings = [*model, *search, "--trials", "3", "--steps-per-trial", "40", "validate_every=10", "--pruning", "none"]
    whole = program("tune", "whole", *settings, "--json").json
    process = start("tune", "lathe", *settings)
    wait_for_checkpoint("runs/lathe/trial-000", process)
    process.kill()
    process.communicate()
    threading.Thread(target=interrupt_at_a_checkpoint, args=("runs/lathe/trial-001",), daemon=True).start()
    stopped = program("tune", "lathe", "--resume")
    assert stopped.code == 130, stopped.err
    assert "stopped by Ctrl-C; go on: seqgen tune runs/lathe --resume" in stopped.out
    assert "unfinished" in stopped.out
    resumed = program("tune", "lathe", "--resume", "--json")
    assert resumed.code == 0, resumed.err

    def came(result):
        return [(trial["number"], trial["bits"], trial["state"], trial["settings"]) for trial in result["trials"]]

    assert came(resumed.json) == came(whole)
    assert sorted(run.name for run in Path("runs/lathe").glob("trial-*")) == ["trial-000", "trial-001", "trial-002"]


def test_the_table_tune_of_the_settings_file(program):
    Path("seqgen.toml").write_text(
        '[tune]\nsearch = ["features=3,4"]\ntrials = 2\nsteps_per_trial = 2\n'
        "[model]\nlevels = 3\n[train]\nwindow = 32\nbatch_size = 2\ndevice = 'cpu'\nthreads = 1\ntensorboard = false\n"
        "[generate]\ncount = 3\n"
    )
    out = program("tune", "lathe", "--json")
    assert out.code == 0, out.err
    assert [set(trial["settings"]) for trial in out.json["trials"]] == [{"model.features"}] * 2
    best = tomllib.loads(Path("runs/lathe/best.toml").read_text())
    assert best["generate"] == {"count": 3}  # the rest of the project goes along


def test_trials_that_all_fail_are_a_failure(program):
    out = program("tune", "lathe", "--model", "wavenet", "--trials", "2", "--steps-per-trial", "2", "model.classes=3")
    assert out.code == 1
    assert "trial 1 failed: model.classes = 3, but data/prepared has no labels." in out.out
    assert "None of 2 trials succeeded: model.classes = 3" in out.err


SHORT = ("--steps-per-trial", "2")
MISTAKES = [
    ((), "Nothing says how long a trial is to train", "--max-time-per-trial 5m"),
    (("--search", "stacks=1..3", *SHORT), "there is no setting 'stacks' of training or of a sequnet", "--search"),
    (("--trials", "0", *SHORT), "tune.trials = 0 is not right", "hint"),
    (("--pruning", "mean", *SHORT), "tune.pruning = 'mean' is not right", "'median' or 'none'"),
    (("two", *SHORT), "One search at a time; got lathe two.", "seqgen tune [NAME]"),
    (("devices=2", *SHORT), "train.devices is 2, but trials train on one device each.", "devices=1"),
    (("--data", "nowhere", *SHORT), "nowhere", "hint"),
    (("--resume",), "There is no search at runs/lathe", "seqgen tune NAME"),
    (("--search", "embedding_dropout=0.1,0.2", "--model", "tcn", *SHORT), "embedding is 0", "--search"),
]


@pytest.mark.parametrize(("arguments", "cause", "hint"), MISTAKES)
def test_a_mistake_is_one_clear_error_and_leaves_nothing(program, arguments, cause, hint):
    out = program("tune", "lathe", *arguments)
    assert out.code in (1, 2)
    assert cause in out.err
    assert hint in out.err
    assert "Traceback" not in out.err
    assert not Path("runs").exists()


def test_a_name_that_is_taken_and_changes_on_the_way(program):
    assert program(*TUNE, "--trials", "1", "--steps-per-trial", "2").code == 0
    again = program(*TUNE, "--trials", "1", "--steps-per-trial", "2")
    assert (again.code, "holds a search already" in again.err, "--resume" in again.err) == (2, True, True)
    changed = program("tune", "lathe", "--resume", "--seed", "2", "features=9")
    assert changed.code == 2
    assert "A search that goes on cannot change: tune.seed, features." in changed.err
    Path("runs/other").mkdir()
    Path("runs/other/file").touch()
    assert "is no search and not an empty folder" in program("tune", "other", "--steps-per-trial", "2").err


def test_without_the_extra_it_names_it(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    out = program(*TUNE, "--steps-per-trial", "2")
    assert out.code == 2
    assert "pip install 'seqgen[tune]'" in out.err
