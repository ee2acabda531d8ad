"""The training loop: it learns, it validates, it ends where it should, and it fails without harm."""

import json
import math

import numpy as np
import pytest
import torch
from tiny import STREAM_MODELS, make_data, make_run

from seqgen_core import checkpoint
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.previews import Preview
from seqgen_core.progress import Silent
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import NotesCodecSettings
from seqgen_core.training import learner, loop
from seqgen_core.training.feeding import training_windows, within_budget


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.said, self.updates = [], []

    def update(self, done, **figures):
        if "now" not in figures:
            self.updates.append((done, figures))

    def say(self, line):
        self.said.append(line)


def lines(run, kind):
    return [line for line in run.metrics() if line["kind"] == kind]


def windows_of(run, data):
    model = learner.models.build(run.settings.model, run.settings.tokens)
    return training_windows(model, data, run.settings.train)


@pytest.mark.parametrize("model", STREAM_MODELS)
def test_loss_falls_below_the_order0_entropy(tmp_path, tiny_data, model):
    run = make_run(tmp_path / "run", tiny_data, model, steps=60, validate_every=60, ema=0.5, log_every=5)
    report = loop.train(run, tiny_data)
    bits = [line["bits"] for line in lines(run, "train")]
    assert bits[-1] < bits[0] - 0.5
    assert report.best_bits < run.settings.data.order0_bits
    assert report.best_bits == report.valid_bits
    assert lines(run, "valid")[-1]["bits"] == pytest.approx(report.best_bits, rel=1e-5)
    assert report.tokens == sum(windows_of(run, tiny_data).batch(step).scored for step in range(60))


def test_validation_is_of_the_averaged_weights_over_whole_recordings(tmp_path, tiny_data):
    from seqgen_core.models.scoring import score_streams

    run = make_run(tmp_path / "run", tiny_data, steps=8, ema=0.9)
    report = loop.train(run, tiny_data)
    model, step = run.model("last")
    assert step == 8
    scores = score_streams(model, [tiny_data.stream(item) for item in tiny_data.items("valid")])
    assert sum(score.tokens for score in scores) == 300 + 2 - 2
    assert sum(score.bits for score in scores) / 300 == pytest.approx(report.valid_bits, rel=1e-6)
    plain, _ = run.model("last", ema=False)
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_epochs_end_a_run(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, steps=None, epochs=0.5)
    assert loop.train(run, tiny_data).step == math.ceil(0.5 * windows_of(run, tiny_data).steps_per_epoch)


def test_time_ends_a_run_and_counts_earlier_sittings(tmp_path, tiny_data, monkeypatch):
    clock = [0.0]

    class Clock:
        @staticmethod
        def monotonic():
            clock[0] += 0.5
            return clock[0]

    monkeypatch.setattr(loop, "time", Clock)
    run = make_run(tmp_path / "run", tiny_data, steps=None, max_time=20.0, validate_every=1000, schedule="linear")
    report = loop.train(run, tiny_data)
    assert report.status == "finished"
    assert 20 <= report.seconds < 25
    assert run.account("last")["elapsed"] >= 20
    rates = [line["learning_rate"] for line in lines(run, "train")]
    assert rates[-1] < rates[0]  # the schedule runs over the time
    assert loop.train(RunFolder.open(run.path), tiny_data).step == report.step


def test_patience_stops_early_and_best_stays(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, steps=400, validate_every=1, patience=3, learning_rate=0.9, ema=0.0)
    report = loop.train(run, tiny_data)
    assert report.status == "finished"
    assert "stopped early" in report.reason
    assert report.step == report.best_step + 3
    assert run.steps() == [report.best_step, report.step - 1, report.step]
    assert run.choose("best") == report.best_step
    assert run.choose("last") == report.step
    by_step = {line["step"]: line["bits"] for line in lines(run, "valid")}
    assert min(by_step, key=by_step.__getitem__) == report.best_step


@pytest.mark.parametrize("lengths", [{"train": (300,)}, {"train": (300,), "valid": (1,)}])
def test_without_validation_the_best_is_the_last(tmp_path, lengths):
    data = make_data(tmp_path / "prepared", lengths=lengths)
    run = make_run(tmp_path / "run", data, steps=6, validate_every=2)
    report = loop.train(run, data)
    assert (report.valid_bits, report.best_bits, report.best_step) == (None, None, None)
    assert run.choose("best") == run.choose("last") == 6
    assert not lines(run, "valid")


@pytest.mark.parametrize("train", [(5, 2, 3), (2,), (40,)])
def test_recordings_shorter_than_the_window(tmp_path, train):
    data = make_data(tmp_path / "prepared", lengths={"train": train, "valid": (2,)})
    run = make_run(tmp_path / "run", data, "wavenet", steps=4, window=64)
    report = loop.train(run, data)
    assert report.step == 4
    assert report.valid_bits > 0


def test_nothing_to_train_on(tmp_path):
    data = make_data(tmp_path / "prepared", lengths={"train": (1, 1), "test": (100,)})
    with pytest.raises(SeqgenError, match="holds no recording to train on"):
        loop.train(make_run(tmp_path / "run", data), data)


def test_labels_reach_the_model(tmp_path):
    data = make_data(tmp_path / "prepared", labels=2)
    run = make_run(tmp_path / "run", data, "wavenet", steps=4)
    loop.train(run, data)
    torch.manual_seed(run.settings.train.seed)
    before = learner.models.build(run.settings.model, run.settings.tokens)
    changed = [
        name
        for (name, old), new in zip(before.named_parameters(), run.model(ema=False)[0].parameters(), strict=True)
        if not torch.equal(old, new)
    ]
    assert len(changed) == len(list(before.parameters()))


def test_context_zero_trains(tmp_path, tiny_data):
    assert loop.train(make_run(tmp_path / "run", tiny_data, steps=3, context=0), tiny_data).step == 3


def test_bf16_trains_with_weights_in_fp32(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, steps=3, precision="bf16")
    loop.train(run, tiny_data)
    assert {value.dtype for value in run.load("last").model.values()} == {torch.float32}


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path, tiny_data, monkeypatch):
    run = make_run(tmp_path / "run", tiny_data, steps=20)
    forward, calls = learner.Objective.forward, []

    def planted(*arguments):
        calls.append(1)
        bits, carried = forward(*arguments)
        return bits * (math.nan if len(calls) == 7 else 1.0), carried

    monkeypatch.setattr(learner.Objective, "forward", planted)
    with pytest.raises(SeqgenError, match="no number any more at step 7") as caught:
        loop.train(run, tiny_data)
    assert "learning_rate" in caught.value.hint
    assert "step 4" in caught.value.hint
    assert run.status["status"] == "failed"
    assert "step 7" in run.status["reason"]
    assert run.steps() == [4]
    assert all(torch.isfinite(value).all() for value in run.load("last").model.values())
    monkeypatch.setattr(learner.Objective, "forward", forward)
    assert loop.train(RunFolder.open(run.path), tiny_data).step == 20


def test_weights_that_are_no_numbers_never_become_a_checkpoint(tmp_path, tiny_data, monkeypatch):
    run = make_run(tmp_path / "run", tiny_data, steps=20)
    step = learner.descend

    def planted(parameters, optimizer, clip):
        weights = list(parameters)
        norm = step(weights, optimizer, clip)
        if len(told.updates) == 7:  # the eighth step, just before a validation
            with torch.no_grad():
                weights[0].view(-1)[0] = math.inf
        return norm

    told = Told()
    monkeypatch.setattr(learner, "descend", planted)
    with pytest.raises(SeqgenError, match="no numbers any more after step 8"):
        loop.train(run, tiny_data, told)
    assert run.steps() == [4]
    assert all(math.isfinite(line["bits"]) for line in lines(run, "valid"))
    run.load("last")


def test_too_little_memory_says_what_to_lower(tmp_path, tiny_data, monkeypatch):
    def allocate(*arguments):
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"
        )

    monkeypatch.setattr(learner.Objective, "forward", allocate)
    with pytest.raises(SeqgenError, match="memory is used up") as caught:
        loop.train(make_run(tmp_path / "run", tiny_data), tiny_data)
    assert "train.batch_size" in caught.value.hint


def test_a_full_disk_keeps_the_checkpoints_that_were_there(tmp_path, tiny_data, monkeypatch):
    run = make_run(tmp_path / "run", tiny_data, steps=8)
    save, calls = checkpoint.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) == 5:  # the second file of the second checkpoint
            path.write_bytes(b"half")
            raise checkpoint.SafetensorError(
                "Error while serializing: I/O error: No space left on device (os error 28)"
            )
        save(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(SeqgenError, match="step-8: no space is left on the disk; the checkpoint of step 4") as caught:
        loop.train(run, tiny_data)
    assert f"--resume {run.path}" in caught.value.hint
    assert run.steps() == [4]
    assert not list(run.path.rglob(".tmp-*"))
    assert run.status["status"] == "failed"
    monkeypatch.setattr(checkpoint, "save_file", save)
    assert loop.train(RunFolder.open(run.path), tiny_data).step == 8


def test_another_model_s_checkpoint_is_refused(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    loop.train(run, tiny_data)
    run.replace_settings(
        run.settings.model_copy(update={"model": run.settings.model.model_copy(update={"features": 7})})
    )
    with pytest.raises(SeqgenError, match="does not hold the weights"):
        loop.train(RunFolder.open(run.path), tiny_data)


def test_a_device_that_is_not_there(tmp_path, tiny_data, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no device 'cuda'"):
        loop.train(make_run(tmp_path / "run", tiny_data, device="cuda"), tiny_data)


def test_progress_tells_bits_speed_and_validations(tmp_path, tiny_data):
    told = Told()
    loop.train(make_run(tmp_path / "run", tiny_data), tiny_data, told)
    assert [done for done, _ in told.updates] == list(range(1, 9))
    assert told.updates[-1][1].keys() == {"bits", "samples/s", "held-out"}
    assert len(told.said) == 2
    assert told.said[0].startswith("step 4: held-out ")


def test_metrics_have_the_figures(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, warmup_steps=4)
    loop.train(run, tiny_data)
    train = lines(run, "train")
    assert [line["step"] for line in train] == [2, 4, 6, 8]
    figures = {"bits", "gradient_norm", "learning_rate", "tokens_per_second", "elapsed", "memory"}
    assert all(line.keys() == {"step", "kind", *figures} for line in train)
    assert all(line["memory"] > 2**20 for line in train)  # the process alone has that many bytes
    assert [line["learning_rate"] for line in train] == pytest.approx([0.005, 0.01, 0.01, 0.01])
    assert [line["step"] for line in lines(run, "valid")] == [4, 8]
    assert 0 <= lines(run, "valid")[0]["accuracy"] <= 1


def test_validation_keeps_to_its_budget_with_whole_recordings(tmp_path):
    def picked(data, budget):
        streams = within_budget(data, budget)
        for stream in streams:
            (item,) = (item for item in data.items("valid") if item.origin == stream.origin)
            assert np.array_equal(stream.tokens, data.tokens(item)[: len(stream.tokens)])
        return [(stream.origin, len(stream.tokens)) for stream in streams]

    data = make_data(tmp_path / "many", lengths={"train": (9,), "valid": (100, 1, 100, 100, 100)})
    whole = [(f"valid {number}", 100) for number in (0, 2, 3, 4)]
    assert picked(data, 0) == whole
    assert picked(data, 400) == whole
    assert picked(data, 200) == whole[::2]
    assert picked(data, 150) == [("valid 0", 100), ("valid 4", 50)]
    assert picked(data, 1) == [("valid 0", 2)]
    assert picked(make_data(tmp_path / "one", lengths={"valid": (100,)}), 30) == [("valid 0", 30)]


def test_validation_scores_something_of_what_is_mostly_given(tmp_path):
    data = make_data(tmp_path / "task", lengths={"train": (30, 30), "valid": (30, 30, 30)}, given=25)
    assert [len(stream.tokens) for stream in within_budget(data, 1)] == [26]
    assert [len(stream.tokens) for stream in within_budget(data, 50)] == [30]  # nothing of a second counted
    run = make_run(tmp_path / "run", data, steps=4, validate_tokens=1)
    assert math.isfinite(loop.train(run, data).valid_bits)
    assert [line["tokens"] for line in lines(run, "valid")] == [1]


def test_what_is_given_is_not_trained_on(tmp_path):
    data = make_data(tmp_path / "task", lengths={"train": (30, 30), "valid": (30,)}, given=25)
    run = make_run(tmp_path / "run", data, "wavenet", steps=4)
    assert loop.train(run, data).tokens == 4 * 2 * 5
    assert [line["tokens"] for line in lines(run, "valid")] == [5]


def test_steps_that_score_nothing_leave_the_log_alone(tmp_path):
    """Carried windows of a task: the first are heard for their state alone."""
    data = make_data(tmp_path / "task", lengths={"train": (41, 41, 41)}, given=30)
    run = make_run(tmp_path / "run", data, steps=6, window=8, carry=True, batch_size=3, log_every=1)
    loop.train(run, data)
    told = {line["step"]: line["bits"] for line in lines(run, "train")}
    assert told.keys() == {4, 5}
    assert all(bits > 0.1 for bits in told.values())


def test_features_reach_the_model(tmp_path):
    data = make_data(tmp_path / "told", bands=3)
    run = make_run(tmp_path / "run", data, "wavenet", steps=4)
    assert loop.train(run, data).valid_bits > 0
    torch.manual_seed(run.settings.train.seed)
    before = learner.models.build(run.settings.model, run.settings.tokens)
    after = dict(run.model(ema=False)[0].named_parameters())
    assert all(not torch.equal(old, after[name]) for name, old in before.named_parameters())
    assert before.local_features == 3


@pytest.mark.parametrize("kind", ["sequnet", "wavenet"])
def test_binary_vectors_train(tmp_path, kind):
    rng = np.random.default_rng(0)
    with PreparedWriter(tmp_path / "rolls", NotesCodecSettings(keys=5)) as writer:
        for split, length in (("train", 90), ("train", 60), ("valid", 40)):
            writer.add(rng.integers(0, 2, (length, 5)) * [1, 1, 0, 0, 0], origin=split, split=split)
        writer.finish()
    data = PreparedData.open(tmp_path / "rolls")
    run = make_run(tmp_path / "run", data, kind, steps=40, validate_every=40, ema=0.5)
    report = loop.train(run, data)
    assert report.valid_bits < 4  # two keys of chance and three that are always silent; five bits know nothing


def test_tensorboard_reads_back(tmp_path, tiny_data):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = make_run(tmp_path / "run", tiny_data, tensorboard=True, stats=True, sample_count=1, steps=4, ema=0.9)
    tone = np.sin(np.arange(200, dtype=np.float32) / 5)
    shown = [
        Preview("sample-0", "sound", tone, 1000),
        Preview("sample-1", "image", np.full((4, 5, 3), 7, np.uint8)),
        Preview("sample-2", "text", "once upon"),
    ]
    loop.train(run, tiny_data, draw_samples=lambda model, step: shown)
    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0, "audio": 0, "histograms": 0})
    events.Reload()
    tags = events.Tags()
    assert {"train/bits", "train/learning_rate", "train/gradient_norm", "valid/bits", "valid/accuracy"} <= set(
        tags["scalars"]
    )
    assert [event.step for event in events.Scalars("train/bits")] == [2, 4]
    logged = [line["bits"] for line in lines(run, "train")]
    assert [event.value for event in events.Scalars("train/bits")] == pytest.approx(logged, rel=1e-4)
    (sound,) = events.Audio("sample-0")
    assert sound.sample_rate == 1000
    assert sound.encoded_audio_string.startswith(b"RIFF")
    (image,) = events.Images("sample-1")
    assert (image.height, image.width) == (4, 5)
    (text,) = events.Tensors("sample-2/text_summary")
    assert text.tensor_proto.string_val == [b"once upon"]
    names = [name for name, _ in run.model()[0].named_parameters()]
    assert set(tags["histograms"]) == {f"{sort}/{name}" for name in names for sort in ("weight", "gradient")}
    (stats,) = lines(run, "stats")
    assert stats["norms"].keys() == set(tags["histograms"])
    assert all(norm >= 0 for norm in stats["norms"].values())


def test_status_is_readable_at_every_end(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, steps=2)
    assert run.status["status"] == "new"
    seen = []

    class Look(Silent):
        def update(self, done, **figures):
            if "now" not in figures:
                seen.append(json.loads((run.path / "status.json").read_text())["status"])

    loop.train(run, tiny_data, Look())
    assert seen == ["running", "running"]
    assert run.status["status"] == "finished"


def test_a_second_run_of_the_data_gives_the_same_weights(tmp_path, tiny_data):
    """The seed decides everything; another seed decides otherwise."""
    runs_ = [make_run(tmp_path / name, tiny_data, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    torch.manual_seed(123)  # what torch's random state was before does not matter
    weights = []
    for run in runs_:
        loop.train(run, tiny_data)
        weights.append(torch.cat([value.flatten() for value in run.load().model.values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_checkpoints_come_by_time_too_and_change_nothing(tmp_path, tiny_data):
    often = make_run(tmp_path / "often", tiny_data, steps=6, validate_every=100, save_every=1e-9, keep=100)
    seldom = make_run(tmp_path / "seldom", tiny_data, steps=6, validate_every=100, save_every=3600, keep=100)
    for run in (often, seldom):
        loop.train(run, tiny_data)
    assert often.steps() == [1, 2, 3, 4, 5, 6]
    assert seldom.steps() == [6]
    first, second = often.load().model, seldom.load().model
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("model", ["wavenet", "samplernn"])
def test_a_compiled_step_trains_as_an_eager_one(tmp_path, tiny_data, monkeypatch, model):
    """The step is traced as on a GPU; what it becomes there, machine code, is left out here."""
    compiled = []

    def trace(objective):
        compiled.append(1)
        objective._compiled_call_impl = torch.compile(objective._call_impl, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    runs = [
        make_run(tmp_path / str(wanted), tiny_data, model, steps=4, log_every=1, compile=wanted)
        for wanted in (False, True)
    ]
    for run in runs:
        loop.train(run, tiny_data)
    assert compiled == [1]
    eager, traced = ([line["bits"] for line in lines(run, "train")] for run in runs)
    assert traced == pytest.approx(eager, rel=1e-4)
