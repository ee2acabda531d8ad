"""Sheets and metrics that are damaged, clips that lost their run or their data: said, never a fault of doctor's own."""

import json

import numpy as np
import pytest
import soundfile
from real_sound import MUSIC, RATE, SPEECH, alarms, only, prepared, real
from tiny import make_data, make_run

from seqgen_core.audio.encoders import Encoding, write_sound
from seqgen_core.diagnosis.curves import check_curves
from seqgen_core.diagnosis.diagnose import diagnose_clips, diagnose_run
from seqgen_core.diagnosis.remedies import against_noise
from seqgen_core.diagnosis.sheets import Drawn, finite, read_sheet, run_of_clips
from seqgen_core.diagnosis.temperature import check_temperature
from seqgen_core.errors import UsageError
from seqgen_core.settings.codec import AudioCodecSettings

CLIP = {"clip": 0, "bits_per_token": 4.0, "files": {"clip": "a.wav"}}


@pytest.fixture
def drawn(tmp_path):
    """A run that validated once at 4 bits, and a folder of one clip of it; (run, folder)."""
    run = make_run(tmp_path / "runs" / "one", make_data(tmp_path / "data"))
    run.log({"step": 8, "kind": "valid", "bits": 4.0})
    folder = run.path / "samples" / "a"
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", 0.1 * np.sin(np.arange(8000) ** 1.2), 8000)
    return run, folder


def told(folder, **sheet):
    (folder / "sheet.json").write_text(json.dumps(sheet))


@pytest.mark.parametrize(
    "sheet",
    [
        {"clips": [{**CLIP, "bits_per_token": bits}, {**CLIP, "keys_per_frame": "x", "contrast": []}]}
        for bits in (None, "4", float("nan"), True, [4])
    ]
    + [{"clips": [CLIP, *other]} for other in (["a"], [None], [{"files": None}], [{"files": {"clip": 3, " ": "a"}}])]
    + [{"clips": [CLIP], **other} for other in ({"settings": 5}, {"settings": {"temperature": "hot", "top_k": None}})]
    + [{"clips": [CLIP], **other} for other in ({"run": 3}, {"run": "a\0b"}, {"codec": 5})],
)
def test_damaged_sheets(drawn, sheet):
    run, folder = drawn
    told(folder, **sheet)
    assert run_of_clips(folder) == run.path
    found = diagnose_clips(folder, run, None)
    assert {finding.check for finding in found} >= {"silence-trap", "noise-runaway"}
    assert diagnose_clips(folder, None, None)


def test_figures_that_are_none(drawn):
    for clips in (None, {}, "a", []):
        told(drawn[1], clips=clips)
        assert read_sheet(drawn[1]).entries == ()
    assert [finite(value) for value in (1, 0.5, 10**400, float("inf"), "1", None, False)] == [1.0, 0.5, *[None] * 5]


def test_newest_samples_without_a_clip(drawn):
    run, folder = drawn
    told(folder, clips=None)
    assert only(diagnose_run(run, None), "clip-unreadable").sentence == "its sheet names no clip that is there"
    with pytest.raises(UsageError, match="holds no clips"):
        diagnose_run(run, None, samples=folder)


def test_damaged_metrics(drawn):
    run, folder = drawn
    told(folder, clips=[CLIP])
    lines = [{"step": 9, "kind": kind, "bits": bits} for kind in ("valid", "train") for bits in (None, "x", [1])]
    lines += [{"step": 9, "kind": "train", "bits": 4.0, "elapsed": "x", "learning_rate": "y"}]
    with (run.path / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    (run.path / "status.json").write_text('{"status": "failed", "step": "x", "reason": ""}')
    assert "and came to 4.00 held-out bits" in against_noise(run, None, Drawn())
    assert only(check_curves(run, None, None), "status").severity == "severe"
    assert only(diagnose_clips(folder, run, None), "temperature").severity == "healthy"


def test_clips_elsewhere_find_their_run(drawn, tmp_path, monkeypatch):
    elsewhere = tmp_path / "some" / "clips"
    elsewhere.mkdir(parents=True)
    soundfile.write(elsewhere / "a.wav", 0.1 * np.sin(np.arange(8000) ** 1.2), 8000)
    told(elsewhere, clips=[CLIP], run="runs/one")
    monkeypatch.chdir("/")
    assert run_of_clips(elsewhere) == drawn[0].path
    told(elsewhere, clips=[CLIP], run="runs/two")
    assert run_of_clips(elsewhere) is None
    found = only(diagnose_clips(elsewhere, None, None), "run-of-clips")
    assert (found.severity, "runs/two is not found: compared with nothing real" in found.sentence) == ("info", True)


def test_data_that_cannot_be_opened(drawn):
    run, folder = drawn
    told(folder, clips=[CLIP])
    for found in (diagnose_run(run, None, damage="cut off."), diagnose_clips(folder, run, None, damage="cut off.")):
        assert only(found, "data-now").severity == "severe"
        assert only(found, "data-now").sentence == "its data cannot be opened: cut off"


def test_clips_of_any_format_are_heard_alike(shared_data, tmp_path):
    data = prepared(tmp_path / "data", [real(shared_data / name, seconds=13)[: 9 * RATE] for name in (*SPEECH, *MUSIC)])
    run = make_run(tmp_path / "run", data)
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    music = real(shared_data / MUSIC[1], seconds=13)[9 * RATE : 11 * RATE]
    for wave, expected in ((noise, {"noise-runaway"}), (music, set()), (music * 10 ** (-50 / 20), {"loudness"})):
        write_sound(tmp_path / "a.opus", wave, RATE, Encoding("opus"))
        told(tmp_path, clips=[{"files": {"clip": "a.opus"}}])
        assert alarms(diagnose_clips(tmp_path, run, data)).keys() == expected
        assert alarms(diagnose_clips(tmp_path / "a.opus", None, None)).keys() == expected
    assert data.manifest.codec == AudioCodecSettings(rate=RATE)


def test_advice_fits_how_clips_were_drawn(drawn):
    def advice(**how):
        return next(check_temperature([2.0], 5.39, Drawn(**how), "clips")).advice

    assert "--conditional" in advice()
    assert "--conditional" not in advice(continued=True)
    assert advice(top_p=0.5, top_k=3, continued=True).startswith("Raise or drop --top-k and --top-p")
    assert "--rank 8" in advice(rank=8)
    _, folder = drawn
    soundfile.write(folder / "a.wav", np.zeros(8000), 8000)
    for files, words in (({"clip": "a.wav"}, "--conditional"), ({"continuation": "a.wav"}, "Prime it with more sound")):
        told(folder, clips=[{"files": files}])
        found = only(diagnose_clips(folder, None, None), "silence-trap")
        assert (words in found.advice, "--dither" in found.advice) == (True, True)


@pytest.mark.parametrize(
    ("how", "words", "named"),
    [
        ({"temperature": 0.3, "dither": False}, "--dither, which frees cold clips", True),
        ({"temperature": 0.3, "dither": True}, "--dither was not enough", True),
        ({"temperature": 1.0, "dither": False}, "or raise --temperature a little; cut", False),
        ({"temperature": 1.0, "dither": False, "top_k": 5}, "--dither, which frees cold clips", True),
    ],
)
def test_advice_about_silence_names_what_was_not_tried(drawn, how, words, named):
    _, folder = drawn
    soundfile.write(folder / "a.wav", np.zeros(8000), 8000)
    told(folder, clips=[{"files": {"clip": "a.wav"}}], settings=how)
    advice = only(diagnose_clips(folder, None, None), "silence-trap").advice
    assert words in advice
    assert ("--dither" in advice) == named
