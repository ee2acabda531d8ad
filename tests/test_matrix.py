"""Every model on every kind of sequence, by the same commands: prepare, train, resume, evaluate, generate."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from tiny import TINY_MODELS

from seqgen_core.notes.midi import write_midi
from seqgen_core.settings.codec import NotesCodecSettings

SOUND = ("mu-law", "a-law", "linear", "pcm16", "samplernn-mu-law")
TEXT = ("characters", "words")
STREAM_MODELS = [kind for kind in TINY_MODELS if kind != "pixelcnn"]
CELLS = [(model, codec) for model in STREAM_MODELS for codec in (*SOUND, *TEXT, "piano-roll", "pixels")]
CELLS.append(("pixelcnn", "pixels"))


def raw_files(folder: Path, codec: str) -> None:
    """A few tiny recordings of the kind that the codec takes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        if codec in SOUND:
            wave = 0.5 * np.sin(np.arange(400) * (0.2 + 0.05 * number)) + rng.normal(0, 0.01, 400)
            soundfile.write(folder / f"{number}.wav", wave, 1000, subtype="PCM_16")
        elif codec in TEXT:
            (folder / f"{number}.txt").write_text("the cat and the dog\nsat on the mat\n" * (4 + number))
        elif codec == "piano-roll":
            roll = np.zeros((60 + number, 88), np.uint8)
            roll[np.arange(60 + number) % 12 < 10, 40 + number : 44 + number] = 1
            write_midi(folder / f"{number}.mid", roll, NotesCodecSettings())
        else:
            Image.fromarray(rng.integers(0, 256, (6, 5), dtype=np.uint8)).save(folder / f"{number}.png")


@pytest.mark.parametrize(("model", "codec"), CELLS)
def test_the_whole_road(model: str, codec: str, tmp_path: Path, monkeypatch, program) -> None:
    monkeypatch.chdir(tmp_path)
    raw_files(tmp_path / "raw", codec)
    levels = {"pixels": ["levels=4"], "pcm16": []}.get(codec, ["levels=16"] if codec in SOUND else [])
    prepared = program("preprocess", "raw", "--codec", codec, "--out", "data", "rate=1000", "jobs=1", *levels, "--json")
    assert prepared.code == 0, prepared.err
    assert prepared.json["codec"]["kind"] == codec

    settings = TINY_MODELS[model].model_dump(exclude={"kind"})
    sizes = [f"model.{name}={json.dumps(value)}" for name, value in settings.items() if value is not None]
    limits = ("batch_size=2", "window=32", "validate_every=2", "tensorboard=false", "device=cpu", "threads=1")
    begun = program("train", "run", "--model", model, "--data", "data", "--steps", 2, "sample_count=0", *limits, *sizes)
    assert begun.code == 0, begun.err
    resumed = program("train", "--resume", "run", "--steps", 4, "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["step"] == 4
    assert np.isfinite(resumed.json["best_bits"])

    scored = program("evaluate", "run", "--json")
    assert scored.code == 0, scored.err
    assert 0 < scored.json["bits_per_token"] < 2 * scored.json["yardsticks"]["uniform"]

    drawn = program("generate", "run", "--conditional", "--length", 7, "--verify", "--out", "clips", "--json")
    assert drawn.code == 0, drawn.err
    (clip,) = drawn.json["clips"]
    assert clip["tokens"] == 7
    files = [tmp_path / "clips" / name for name in clip["files"].values()]
    assert files
    assert all(file.stat().st_size > 0 for file in files)
