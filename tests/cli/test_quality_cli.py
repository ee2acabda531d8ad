"""`seqgen evaluate --quality`: from a run to measures beside real clips, for every kind of data."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import make_data, make_images, make_run

from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.library import load_run
from seqgen_core.library.held_out import Followers, count_stretches, halves, stretches
from seqgen_core.library.quality import measure_quality
from seqgen_core.settings.codec import NotesCodecSettings, TextCodecSettings
from seqgen_core.settings.evaluate import EvaluateSettings
from seqgen_core.streams import Stream
from seqgen_core.training import loop

QUICK = ["--quality", "--clips", 4, "resamples=10"]


def trained(folder: Path, data: PreparedData, model: str, **settings):
    run = make_run(folder / "runs" / "own", data, model, **{"steps": 2, "validate_every": 2, **settings})
    loop.train(run, data)
    return load_run(run.path)


def names(measured):
    return [measure["measure"] for measure in measured["measures"]]


def test_sound_is_measured_as_continuations_and_from_nothing(trained_project, program):
    arguments = ["evaluate", "runs/sequnet", *QUICK, "--seconds", 0.05, "--seed", 3, "--temperature", 0.5]
    out = program(*arguments, "--json")
    assert out.code == 0, out.err
    quality = out.json["quality"]
    assert (quality["seed"], quality["temperature"], quality["resamples"], quality["top_p"]) == (3, 0.5, 10, 1)
    assert out.json["bits_per_token"] > 0
    following, alone = quality["sets"]
    assert (following["set"], following["clips"], following["length"]) == ("continuations", 4, 50)
    assert (alone["set"], alone["real"]) == ("from nothing", 4)
    assert names(following)[:4] == ["spectral convergence", "log-mel distance", "Fréchet distance", "diversity"]
    assert set(names(alone)) == {*names(following)} - {"spectral convergence", "log-mel distance"}
    for measure in following["measures"]:
        assert measure["drawn"]["low"] is None or measure["drawn"]["low"] <= measure["drawn"]["high"]
        assert measure["better"] in ("lower", "higher", "as real")
    assert following["measures"][0]["drawn"]["clips"] == 4  # each prime is followed by as much real sound
    shown = program(*arguments)
    assert shown.code == 0
    table = shown.out[shown.out.index("continuations") :]
    assert max(map(len, table.splitlines())) <= 80
    assert "drawn [95 %]" in table
    first = following["measures"][1]["drawn"]
    assert f"{first['value']:.1f} [{first['low']:.1f}, {first['high']:.1f}]" in table  # the same by the same seed


def test_labels_are_told_by_a_classifier(tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = make_data(tmp_path / "data", labels=2, lengths={"train": [200] * 6, "valid": [200] * 4, "test": [300] * 4})
    trained(tmp_path, data, "wavenet")
    out = program("evaluate", "own", *QUICK, "--json")
    assert out.code == 0, out.err
    following, alone = out.json["quality"]["sets"]
    assert following["length"] == 150  # half of a usual recording
    assert alone["length"] == 250  # a usual recording of those held out
    accuracy = alone["measures"][-1]
    assert accuracy["measure"] == "classifier accuracy"
    assert accuracy["drawn"]["clips"] == 4
    assert alone["accuracy_by_label"].keys() == {"class 0", "class 1"}
    assert np.mean([*alone["accuracy_by_label"].values()]) == pytest.approx(accuracy["drawn"]["value"])
    assert "classifier accuracy" not in names(following)
    assert "accuracy by label: class 0" in program("evaluate", "own", *QUICK).out


def test_a_model_with_features_continues_beginnings_and_draws_nothing_from_nothing(tmp_path):
    data = make_data(tmp_path / "data", bands=3, lengths={"train": [300], "valid": [200] * 2, "test": [300] * 4})
    run = trained(tmp_path, data, "wavenet")
    (following,) = measure_quality(run, EvaluateSettings(clips=3, length=40, resamples=5))
    assert (following.name, following.clips, following.length) == ("continuations", 3, 40)
    assert following.measures[1].name == "log-mel distance"
    assert following.measures[1].drawn.clips == 3


def test_images_are_measured_whole(tmp_path):
    data = make_images(tmp_path / "data", labels=2)
    run = trained(tmp_path, data, "pixelcnn")
    held_out = [data.tokens(item)[1:] / 3 for split in ("valid", "test") for item in data.items(split)]
    (alone,) = measure_quality(run, EvaluateSettings(clips=4, resamples=5))
    found = {measure.name: measure for measure in alone.measures}
    assert found.keys() == {
        "Fréchet distance",
        "diversity",
        "near-identical pairs",
        "brightness",
        "contrast",
        "classifier accuracy",
    }
    assert 0 < found["brightness"].drawn.value < 1
    assert alone.length == 6
    assert found["brightness"].real.value == pytest.approx(np.mean(held_out))
    run.generate(label="class 1", count=3).write(tmp_path / "clips")
    (again,) = measure_quality(run, EvaluateSettings(clips_from=tmp_path / "clips", resamples=5))
    assert again.clips == 3


def test_notes_and_text_have_measures_of_their_own(tmp_path):
    rolls = (np.random.default_rng(0).random((12, 40, 12)) < 0.1).astype(np.uint8)
    with PreparedWriter(tmp_path / "rolls", NotesCodecSettings(lowest=60, keys=12)) as writer:
        for number, roll in enumerate(rolls):
            writer.add(roll, origin=f"roll {number}", split=("train", "valid", "test")[number % 3])
        writer.finish()
    run = trained(tmp_path / "notes", PreparedData.open(tmp_path / "rolls"), "tcn")
    following, alone = measure_quality(run, EvaluateSettings(clips=3, resamples=5))
    found = {measure.name: measure for measure in following.measures}
    assert {"pitch-class histogram", "notes per second", "keys at once", "Fréchet distance"} <= found.keys()
    assert (following.length, alone.length) == (20, 40)
    assert found["keys at once"].real.value == pytest.approx(1.2, abs=0.2)
    run.generate(count=2, length=20).write(tmp_path / "clips")
    (written,) = measure_quality(run, EvaluateSettings(clips_from=tmp_path / "clips", resamples=5))
    assert written.clips == 2

    text = "the cat sat on the mat\nand the dog sat on the log\n" * 20
    codec = TextCodecSettings(kind="characters", vocabulary=tuple(sorted(set(text))))
    tokens = np.array([codec.vocabulary.index(character) for character in text])
    with PreparedWriter(tmp_path / "text", codec) as writer:
        for split in ("train", "valid", "test"):
            writer.add(tokens, origin=split, split=split)
        writer.finish()
    run = trained(tmp_path / "text run", PreparedData.open(tmp_path / "text"), "sequnet_plain")
    following, _ = measure_quality(run, EvaluateSettings(clips=3, length=60, resamples=5))
    found = {measure.name: measure for measure in following.measures}
    assert found["words from training"].real.value == 100
    assert found["words from training"].drawn.value < 100
    assert found["character histogram"].drawn.value > found["character histogram"].real.value


def test_clips_that_were_written_are_measured_without_drawing(trained_project, program):
    drawn = ["generate", "runs/sequnet", "--conditional", "--count", 3, "--seconds", 0.05, "--out", "here"]
    assert program(*drawn, "prime_seconds=0.1").code == 0
    out = program("evaluate", "runs/sequnet", "--quality", "--clips-from", "here", "resamples=10", "--json")
    assert out.code == 0, out.err
    (following,) = out.json["quality"]["sets"]
    assert (following["set"], following["clips"], following["length"]) == ("continuations", 3, 50)
    assert "drawing" not in out.err
    told = json.loads(Path("here/sheet.json").read_text())["settings"]
    assert [out.json["quality"][name] for name in ("temperature", "top_p")] == [told["temperature"], told["top_p"]]
    for asked in (["--clips", 3], ["top_k=3"], ["--temperature", 0.5]):
        both = program("evaluate", "runs/sequnet", "--quality", "--clips-from", "here", *asked)
        assert both.code == 2
        assert "takes those that are there" in both.err
    sheet = json.loads(Path("here/sheet.json").read_text())
    Path("here/sheet.json").write_text(json.dumps({**sheet, "codec": {"kind": "mu-law"}}))
    refused = program("evaluate", "runs/sequnet", "--quality", "--clips-from", "here")
    assert refused.code == 2
    assert "not of the run's codec" in refused.err
    Path("here/sheet.json").write_text("{")
    assert "cannot be read as a sheet" in program("evaluate", "runs/sequnet", "--quality", "--clips-from", "here").err


@pytest.mark.parametrize(
    ("arguments", "cause", "hint"),
    [
        (["--clips", 3], "--clips is of the clips that --quality draws", "Add --quality"),
        (["top_k=3"], "top_k is of the clips that --quality draws", "Add --quality"),
        (["--set", "evaluate.seed=3"], "evaluate.seed is of the clips that --quality draws", "Add --quality"),
        (["--quality", "--clips-from", "nowhere"], "There is no sheet.json in nowhere", "`seqgen generate` wrote"),
        (["--quality", "--seconds", 3], "No recording of the test split is longer", "The longest has 500"),
        (["--quality", "--seconds", 0.2, "--clips", 2], "hold 3 stretches of that length", "--length 166 works"),
    ],
)
def test_what_cannot_be_measured_is_told(trained_project, program, arguments, cause, hint):
    out = program("evaluate", "runs/sequnet", *arguments)
    assert out.code in (1, 2)
    assert cause in out.err
    assert hint in out.err
    assert "scoring" not in out.err  # told before any work


def test_files_are_scored_and_not_compared(trained_project, program):
    Path("own.wav").write_bytes(b"")
    out = program("evaluate", "runs/sequnet", "own.wav", "--quality")
    assert out.code == 2
    assert "got the file own.wav" in out.err


def test_twenty_recordings_are_listed_and_v_lists_all(tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = make_data(tmp_path / "data", lengths={"train": [300], "valid": [50], "test": [30] * 25})
    trained(tmp_path, data, "sequnet")
    out = program("evaluate", "own").out
    assert "test 19" in out
    assert "test 20" not in out
    assert "and 5 more; -v lists all" in out
    assert "test 24" in program("evaluate", "own", "-v").out
    assert max(map(len, out.splitlines())) <= 80


def test_clips_are_shortened_to_what_is_held_out(tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = make_data(tmp_path / "data", lengths={"train": [900], "valid": [300], "test": [400]})
    trained(tmp_path, data, "sequnet")
    out = program("evaluate", "own", *QUICK, "--json")
    assert out.code == 0, out.err
    following, alone = out.json["quality"]["sets"]
    assert (following["length"], alone["length"]) == (50, 80)  # eight of each in 400, and in 300 and 400
    assert "continuations of 0.05 s, since the held-out recordings hold 2 stretches of 0.2 s" in out.err


# real clips


def test_counting_agrees_with_cutting():
    for length in (1, 3, 10, 40, 70):
        sizes = np.array([2, 6, 25, 64])
        found = stretches([Stream(str(size), np.arange(size)) for size in sizes], length, seed=0)
        assert count_stretches(sizes, length) == len(found)


def test_stretches_lie_side_by_side_and_short_recordings_stand_whole():
    streams = [Stream("long", np.arange(25)), Stream("short", np.arange(6)), Stream("too short", np.arange(4))]
    found = stretches(streams, 10, seed=0)
    assert sorted((s.origin, s.start, len(s.tokens)) for s in found) == [
        ("long", 0, 10),
        ("long", 10, 10),
        ("short", 0, 6),
    ]
    real, reference = halves([*found, *found], 16)
    assert (len(real), len(reference)) == (3, 3)
    assert len(halves([*found, *found], 2)[0]) == 2


def test_an_excerpt_elsewhere_shares_nothing_with_the_truth():
    long = Stream("long", np.arange(50), label=1)
    others = [Stream("a", np.arange(100, 130), label=0), Stream("b", np.arange(200, 230), label=1)]
    followers, rng = Followers([long, *others]), np.random.default_rng(0)
    truth = followers.truth("long", 20, 10)
    assert truth is not None
    seen = set()
    for _ in range(100):
        other = followers.elsewhere(truth, rng)
        assert other is not None
        assert other.origin == "long"
        assert not set(other.tokens) & set(truth.tokens)
        assert len(other.tokens) == 10
        seen.add(other.start)
    assert {0, 10, 30, 40} <= seen
    whole = followers.truth("long", 15, 30)
    assert whole is not None
    other = followers.elsewhere(whole, rng)
    assert other is not None
    assert other.origin == "b"  # of the same class
    assert followers.truth("long", 50, 5) is None
    assert followers.truth("elsewhere", 0, 5) is None
