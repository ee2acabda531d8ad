"""The search itself, with a training that takes no time: what is proposed, ended early, counted, and gone on with."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import TINY_MODELS, make_data

from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Silent
from seqgen_core.runs import RunFolder
from seqgen_core.settings.project import Project
from seqgen_core.settings.run import DataAccount, RunSettings
from seqgen_core.settings.train import TrainSettings
from seqgen_core.settings.tune import TuneSettings
from seqgen_core.training import loop
from seqgen_core.training.loop import TrainReport
from seqgen_core.tuning import search as searching
from seqgen_core.tuning.folder import SearchFolder
from seqgen_core.tuning.report import SearchReport
from seqgen_core.tuning.search import limits, search, standing

pytest.importorskip("optuna")
SEARCH = ("learning_rate=1e-4..1e-1 log", "schedule=constant,cosine")
Course = Callable[[TrainSettings, float], float]
"""(settings, share of the trial that is done) → held-out bits."""


def valley(train: TrainSettings, share: float) -> float:
    """Best at a learning rate of 1e-2 with a cosine, and better the longer it takes."""
    away = abs(math.log10(train.learning_rate) + 2)
    return 2 + away + (train.schedule == "constant") + 1 - share


class Training:
    """Stands for the training loop. trial: how many there were. fails, stops: at which of them."""

    def __init__(self, course: Course, fails: tuple[int, ...] = (), stops: tuple[int, ...] = ()) -> None:
        self.course, self.fails, self.stops, self.trial = course, fails, stops, -1
        self.seen: list[tuple[Path, TrainSettings]] = []

    def __call__(self, run: RunFolder, data: PreparedData, progress, *, on_validation) -> TrainReport:
        self.trial += 1
        train = run.settings.train
        self.seen.append((run.path, train))
        if self.trial in self.fails:
            raise SeqgenError("The loss is no number any more at step 3.")
        best, steps = math.inf, train.steps
        for step in range(train.validate_every, steps + 1, train.validate_every):
            if self.trial in self.stops and step > train.validate_every:
                return TrainReport("interrupted", "stopped by Ctrl-C", step, 1.0, step, None, None, None)
            bits = self.course(train, step / steps)
            best = min(best, bits)
            if not on_validation(step, bits):
                break
        return TrainReport("finished", "", step, 1.0, step, bits, best, step)


class Told(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(f"warning: {line}")


def make_run(path: Path, project: Project) -> RunFolder:
    data = PreparedData.open(project.train.data)
    account = DataAccount(path=data.path, codec=data.manifest.codec)
    return RunFolder.create(
        path, RunSettings(model=project.model, tokens=data.manifest.tokens, data=account, train=project.train)
    )


@pytest.fixture
def begin(tiny_data, tmp_path, monkeypatch):
    """begin(name, training, …) makes a search and runs it; begin.go_on(name, training) resumes it."""

    class Begin:
        told = Told()

        def __call__(self, name: str, training: Training, **tune) -> SearchReport:
            settings = {"search": SEARCH, "trials": 8, "steps_per_trial": 100, **tune}
            train = TrainSettings(data=tiny_data.path, validate_every=10)
            project = Project(model=TINY_MODELS["sequnet"], train=train, tune=TuneSettings(**settings))
            SearchFolder.create(tmp_path / name, project)
            return self.go_on(name, training)

        def go_on(self, name: str, training: Training) -> SearchReport:
            monkeypatch.setattr(loop, "train", training)
            return search(SearchFolder.open(tmp_path / name), tiny_data, make_run, self.told)

    return Begin()


def tried(report: SearchReport) -> list[dict]:
    return [trial.settings for trial in sorted(report.trials, key=lambda trial: trial.number)]


def test_the_first_trial_is_what_stands_and_the_best_comes_first(begin, tmp_path):
    training = Training(valley)
    report = begin("a", training, trials=16, pruning="none")
    assert tried(report)[0] == {"train.learning_rate": 1e-3, "train.schedule": "constant"}
    assert [trial.number for trial in report.trials] != list(range(16))
    assert [trial.bits for trial in report.trials] == sorted(trial.bits for trial in report.trials)
    assert {trial.state for trial in report.trials} == {"finished"}
    assert report.best is report.trials[0]
    assert report.best.bits < 2.5 < valley(TrainSettings(), 1.0)  # near the bottom, on the right side
    assert [path for path, _ in training.seen] == [tmp_path / "a" / f"trial-{number:03}" for number in range(16)]
    for (path, train), values in zip(training.seen, tried(report), strict=True):
        assert (train.steps, train.max_time, train.epochs, train.sample_count) == (100, None, None, 0)
        assert (train.learning_rate, train.schedule) == tuple(values.values())
        assert RunFolder.open(path).settings.train == train


def test_the_seed_decides_what_is_tried(begin):
    one, same, other = (
        tried(begin(name, Training(valley), seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same
    assert one[0] == other[0]
    assert one[1:] != other[1:]


def test_nothing_is_tried_twice_while_something_is_left(begin):
    few = ("schedule=constant,cosine,linear", "batch_size=2..4 step 2", "model.levels=3,4")
    values = tried(begin("a", Training(valley), search=few, trials=14))
    assert len({str(value) for value in values[:12]}) == 12
    assert len(values) == 14


def test_stopped_and_gone_on_with_it_tries_what_it_would_have_tried(begin, tmp_path):
    whole = begin("whole", Training(valley), trials=12)
    cut = begin("cut", Training(valley, stops=(3,)), trials=12)
    assert cut.interrupted == "stopped by Ctrl-C"
    assert [trial.state for trial in sorted(cut.trials, key=lambda t: t.number)] == ["finished"] * 3 + ["unfinished"]
    assert (tmp_path / "cut" / "best.toml").exists()
    training = Training(valley, stops=(4,))
    cut = begin.go_on("cut", training)
    assert [path.name for path, _ in training.seen] == [f"trial-{number:03}" for number in range(3, 8)]
    report = begin.go_on("cut", Training(valley))
    assert not report.interrupted
    assert tried(report) == tried(whole)
    assert [(t.number, t.state, t.bits) for t in report.trials] == [(t.number, t.state, t.bits) for t in whole.trials]


def test_a_failed_trial_counts_and_the_next_goes_on(begin):
    report = begin("a", Training(valley, fails=(0, 2)), trials=5)
    assert [(t.number, t.state, t.bits, t.reason) for t in report.trials[-2:]] == [
        (0, "failed", None, "The loss is no number any more at step 3."),
        (2, "failed", None, "The loss is no number any more at step 3."),
    ]
    assert len(report.trials) == 5
    assert report.best is not None


def test_hopeless_trials_end_early_and_no_others(begin):
    report = begin("a", Training(valley), trials=20)
    early = [trial for trial in report.trials if trial.state == "stopped early"]
    assert early
    assert min(trial.number for trial in early) >= 4
    assert all(20 <= trial.steps < 100 for trial in early)
    assert all(trial.bits > report.best.bits for trial in early)
    assert all(trial.steps == 100 for trial in report.trials if trial.state == "finished")
    assert len(early) < 16
    assert {trial.state for trial in begin("b", Training(valley), trials=20, pruning="none").trials} == {"finished"}


def test_one_that_was_to_end_early_when_it_was_killed_is_not_trained_again(begin):
    class Dying(Training):
        def __call__(self, run, data, progress, *, on_validation):
            report = super().__call__(run, data, progress, on_validation=on_validation)
            if report.step < run.settings.train.steps:
                raise InterruptedError
            return report

    training = Dying(valley)
    with pytest.raises(InterruptedError):
        begin("a", training, trials=20)
    number, after = len(training.seen) - 1, Training(valley)
    report = begin.go_on("a", after)
    assert all(path.name != f"trial-{number:03}" for path, _ in after.seen)
    (early,) = (trial for trial in report.trials if trial.number == number)
    assert (early.state, 20 <= early.steps < 100) == ("stopped early", True)
    assert tried(report) == tried(begin("b", Training(valley), trials=20))


def test_trials_by_the_clock_are_compared_at_equal_times(begin, monkeypatch):
    """Two speeds: at equal steps the slow one is better, at equal times the worse, and it is ended for that."""
    clock = [0.0]
    monkeypatch.setattr(searching.time, "monotonic", lambda: clock[0])

    def train(run, data, progress, *, on_validation):
        settings = run.settings.train
        slow = settings.schedule == "cosine"
        step, elapsed = 0, 0.0
        while elapsed < settings.max_time:
            step += 1
            elapsed += 10.0 if slow else 2.0
            clock[0] += 10.0 if slow else 2.0
            bits = (10 if slow else 10.5) - 0.1 * step
            if not on_validation(step, bits):
                break
        return TrainReport("finished", "", step, elapsed, step, bits, bits, step)

    report = begin(
        "a", train, trials=12, search=("schedule=constant,cosine",), steps_per_trial=None, max_time_per_trial=100
    )
    slow = [t for t in report.trials if t.settings["train.schedule"] == "cosine" and t.number >= 4]
    fast = [t for t in report.trials if t.settings["train.schedule"] == "constant"]
    assert {trial.state for trial in fast} == {"finished"}
    assert {trial.state for trial in slow} <= {"stopped early"}


def test_validations_that_are_too_seldom_are_told_once(begin):
    def train(run, data, progress, *, on_validation):
        on_validation(100, 2.0)
        return TrainReport("finished", "", 100, 1.0, 100, 2.0, 2.0, 100)

    begin("a", train)
    warnings = [line for line in begin.told.lines if line.startswith("warning")]
    assert len(warnings) == 1
    assert "was validated once, too seldom to end bad trials early: lower train.validate_every" in warnings[0]
    assert [line for line in begin.told.lines if line.startswith("trial 3 finished: 2.0000 bits; learning_rate")]


def test_steps_are_validated_often_enough_to_compare(begin):
    training = Training(valley)
    begin("a", training, trials=1, steps_per_trial=44)
    assert training.seen[0][1].validate_every == 6  # 44 / 8, rounded up


def test_a_journal_that_a_kill_left_half_written_is_mended(begin, tmp_path):
    begin("a", Training(valley, stops=(2,)), trials=4)
    journal = tmp_path / "a" / "study.journal"
    whole = journal.read_bytes()
    (tmp_path / "a" / "study.journal.lock").touch()
    journal.write_bytes(whole + b'{"op_code": 6, "trial_i')
    report = begin.go_on("a", Training(valley))
    assert len(report.trials) == 4
    assert journal.read_bytes().startswith(whole)
    assert [t.state for t in standing(SearchFolder.open(tmp_path / "a")).trials] == ["finished"] * 4


def test_a_damaged_journal_is_one_clear_error(begin, tmp_path):
    begin("a", Training(valley), trials=2)
    journal = tmp_path / "a" / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"no JSON\n", *lines[3:]]))
    with pytest.raises(SeqgenError, match=r"study\.journal is damaged"):
        begin.go_on("a", Training(valley))


def test_two_processes_do_not_search_in_one_folder(begin, tmp_path):
    begin("a", Training(valley), trials=1)
    folder = SearchFolder.open(tmp_path / "a")
    with folder.locked(), pytest.raises(SeqgenError, match="is at work in another process"):
        standing(SearchFolder.open(tmp_path / "a"))


def test_other_data_end_the_search(begin, tmp_path):
    begin("a", Training(valley, stops=(1,)))
    other = make_data(tmp_path / "prepared", lengths={"train": (50,), "valid": (60,)})
    with pytest.raises(UsageError, match=r"has changed since .* was begun"):
        search(SearchFolder.open(tmp_path / "a"), other, make_run)


def test_without_held_out_recordings_there_is_nothing_to_compare(begin, tmp_path):
    begin("a", Training(valley), trials=1)
    other = make_data(tmp_path / "other", lengths={"train": (50,)})
    with pytest.raises(UsageError, match="has no held-out recordings"):
        search(SearchFolder.open(tmp_path / "a"), other, make_run)


@pytest.mark.parametrize(
    ("tune", "train", "meant"),
    [
        ({"steps_per_trial": 5}, {"steps": 9, "max_time": 9}, (5, None)),
        ({"max_time_per_trial": "5m"}, {"steps": 9}, (None, 300)),
        ({"max_time_per_trial": 5, "steps_per_trial": 4}, {}, (4, 5)),
        ({}, {"max_time": "10m"}, (None, 600)),
    ],
)
def test_how_long_a_trial_takes(tune, train, meant):
    project = Project(tune=TuneSettings(**tune), train=TrainSettings(**train))
    assert tuple(limits(project).values()) == meant


def test_a_trial_without_an_end_is_refused():
    with pytest.raises(UsageError, match="Nothing says how long a trial is to train"):
        limits(Project(train=TrainSettings(epochs=3)))
