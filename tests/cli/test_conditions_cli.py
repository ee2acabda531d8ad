"""What a model is told beside its tokens, and what it is given, from the raw files to the clips."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqgen_core.audio.features import mel_spectra
from seqgen_core.data.store import PreparedData
from seqgen_core.runs import RunFolder

WAVENET = ["residual_channels=4", "dilation_channels=4", "skip_channels=4", "stacks=1", "layers=3"]
TINY = ["--model", "wavenet", "--data", "data", "--steps", 2, "--device", "cpu", "--batch-size", 2, "--window", 32,
        "threads=1", "tensorboard=false", *WAVENET]  # fmt: skip


@pytest.fixture
def vocoder(tmp_path, monkeypatch, program):
    """The current folder: raw sound, prepared with mel spectra every 20 samples, and a run that is told them."""
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        wave = np.sin(np.arange(400 + number) * (0.2 + 0.05 * number)) / 2
        Path("raw").mkdir(exist_ok=True)
        soundfile.write(f"raw/{number}.wav", wave, 1000)
    out = program("preprocess", "raw", "--out", "data", "--features", "mel", "--levels", 16, "rate=1000", "jobs=1",
                  "mel_bands=3", "mel_hop=20", "mel_window=64")  # fmt: skip
    assert out.code == 0, out.err
    out = program("train", "run", *TINY, "local_features=3")
    assert out.code == 0, out.err
    return tmp_path


def test_a_vocoder_makes_as_much_sound_as_it_is_told_of(vocoder, program):
    soundfile.write("other.wav", np.sin(np.arange(259) / 4) / 2, 1000)
    of_sound = program("generate", "run", "--features", "other.wav", "--out", "a", "--json")
    assert of_sound.code == 0, of_sound.err
    assert of_sound.json["clips"][0]["tokens"] == 240  # 13 frames, the last of which is centred at sample 240
    mel = RunFolder.open(Path("runs/run")).settings.data.features
    assert mel is not None
    wave, _ = soundfile.read("other.wav", dtype="float32")
    np.save("other.npy", mel_spectra(wave, mel))
    of_frames = program("generate", "run", "--features", "other.npy", "--out", "b", "--json")
    assert of_frames.code == 0, of_frames.err
    assert Path("a/clip-000.wav").read_bytes() == Path("b/clip-000.wav").read_bytes()
    np.save("other.npy", mel_spectra(wave, mel) - 3)
    changed = program("generate", "run", "--features", "other.npy", "--out", "c", "--verify", "--length", 50)
    assert changed.code == 0, changed.err
    assert "verified: cpu against the plain forward" in changed.err
    assert Path("a/clip-000.wav").read_bytes()[: 44 + 100] != Path("c/clip-000.wav").read_bytes()


def test_a_vocoder_continues_what_is_real(vocoder, program):
    out = program("generate", "run", "--conditional", "--count", 2, "--json", "--verify")
    assert out.code == 0, out.err
    lengths = {item.origin: item.length for item in PreparedData.open(Path("data")).items("test")}
    for clip in out.json["clips"]:
        assert clip["prime"]["start"] == 0
        assert clip["prime"]["tokens"] + clip["tokens"] == lengths[clip["prime"]["origin"]]
    own = program("generate", "run", "--prime", "raw/0.wav", "--prime-seconds", 0.1, "--json")
    assert own.code == 0, own.err
    (clip,) = own.json["clips"]
    assert (clip["prime"]["tokens"], clip["tokens"]) == (100, 300)


def test_a_vocoder_is_scored_on_splits_and_files(vocoder, program):
    assert program("evaluate", "run").code == 0
    out = program("evaluate", "run", "raw/0.wav", "--json")
    assert (out.code, out.json["tokens"]) == (0, 399)


def test_a_vocoder_asks_for_features(vocoder, program):
    out = program("generate", "run", "--length", 5)
    assert out.code == 2
    assert "trained with features, and none are known here" in out.err
    assert "--features" in out.err
    wrong = program("train", "more", *TINY, "local_features=4")
    assert wrong.code == 2
    assert "model.local_features = 4, but data has 3 features" in wrong.err
    assert "Set model.local_features=3." in wrong.err
    assert program("train", "unaware", *TINY).code == 0  # a model need not be told
    assert program("generate", "unaware", "--length", 5).code == 0
    out = program("preprocess", "raw", "--out", "data", "--levels", 16, "rate=1000", "jobs=1")
    assert out.code == 0, out.err
    gone = program("evaluate", "run")
    assert gone.code == 2
    assert "trained with features, and a recording has none" in gone.err


def test_a_task_is_trained_scored_and_drawn_on_its_answer(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    prepared = program("preprocess", "--task", "copy-memory", "--task-length", 9, "--task-count", 20, "--out", "data")
    assert prepared.code == 0, prepared.err
    trained = program("train", "run", *TINY, "--json")
    assert trained.code == 0, trained.err
    assert trained.json["tokens"] == 2 * 2 * 10
    scored = program("evaluate", "run", "--json")
    items = PreparedData.open(Path("data")).items("test")
    assert scored.json["tokens"] == 10 * len(items)
    drawn = program("generate", "run", "--conditional", "--count", 2, "--json")
    assert drawn.code == 0, drawn.err
    for clip in drawn.json["clips"]:
        assert (clip["prime"]["start"], clip["prime"]["tokens"], clip["tokens"]) == (0, 20, 10)
    shorter = program("generate", "run", "--conditional", "--length", 3, "--json")
    assert shorter.json["clips"][0]["tokens"] == 3
