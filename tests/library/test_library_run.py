"""A run as an object: loading, settings by name, clips as arrays, scores, and how little an import costs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import make_images, make_run

import seqgen_core
from seqgen_core.errors import UsageError
from seqgen_core.library import load_run
from seqgen_core.settings.generate import GenerateSettings
from seqgen_core.training import loop


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.said, self.warned, self.begun = [], [], []

    def begin(self, task, total, unit):
        self.begun.append(task)

    def update(self, done, **figures): ...

    def end(self): ...

    def say(self, line):
        self.said.append(line)

    def warn(self, line):
        self.warned.append(line)


def test_importing_the_core_imports_nothing_heavy():
    script = "import sys, seqgen_core; print('torch' in sys.modules, *dir(seqgen_core))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    imported, *names = shown.stdout.split()
    assert imported == "False"
    assert {"load_run", "Run", "Generation", "build"} <= set(names)
    assert seqgen_core.load_run is load_run
    with pytest.raises(AttributeError, match="no attribute 'load'"):
        seqgen_core.load  # noqa: B018


def test_clips_are_arrays_and_files(trained_project):
    run = load_run("runs/wavenet")
    assert (run.folder is not None, run.settings.model.kind, run.path) == (True, "wavenet", Path("runs/wavenet"))
    drawn = run.generate(count=3, length=40, seed=5, conditional=True, prime_seconds=0.02)
    assert [clip.number for clip in drawn.clips] == [0, 1, 2]
    assert (drawn.run, drawn.step, drawn.settings.seed) == (run, 8, 5)
    assert drawn.tokens_per_second == pytest.approx(1000 * drawn.real_time_factor)
    whole, rate = drawn.waveform(2)
    new, prime = (drawn.waveform(2, part)[0] for part in ("new", "prime"))
    assert (whole.dtype, whole.shape, new.shape, prime.shape, rate) == (np.float32, (60,), (40,), (20,), 1000)
    np.testing.assert_array_equal(whole, np.concatenate([prime, new]))
    sheet = drawn.write("clips")
    assert sheet == Path("clips/sheet.json")
    np.testing.assert_allclose(soundfile.read("clips/clip-002-joined.wav")[0], whole, atol=2**-15)
    with pytest.raises(UsageError, match="clips holds clips already"):
        drawn.write("clips")
    assert drawn.write().parent.parent == Path("runs/wavenet/samples")
    for wrong in (drawn.text, drawn.image, drawn.roll):
        with pytest.raises(UsageError, match="was trained on mu-law, 16 levels, 1000 Hz, which is no"):
            wrong()
    assert len(run.generate(length=9).waveform(part="prime")[0]) == 0
    with pytest.raises(IndexError):
        drawn.waveform(3)


def test_drawing_is_what_the_command_does(trained_project, program):
    heard = Heard()
    drawing = load_run("runs/sequnet").draw(GenerateSettings(length=30, count=2), seed=3, progress=heard)
    assert (drawing.settings.length, drawing.settings.seed) == (30, 3)
    first = next(iter(drawing))
    assert heard.said == ["engine: cpu (fp32, 1 thread)"]
    assert program("generate", "sequnet", "--length", 30, "--count", 2, "--seed", 3, "--out", "clips").code == 0
    load_run("runs/sequnet").generate(length=30, count=2, seed=3).write("again")
    for name in ("clip-000.wav", "clip-001.wav"):
        assert Path("clips", name).read_bytes() == Path("again", name).read_bytes()
    pieces = list(load_run("runs/sequnet").draw(length=30, seed=3, block=0.01).stream())
    assert [len(piece) for piece in pieces] == [10, 10, 10]
    np.testing.assert_array_equal(
        np.concatenate(pieces), load_run("runs/sequnet").generate(length=30, seed=3).waveform()[0]
    )
    assert len(first.tokens) == 30


def test_images_come_as_pixels(tmp_path):
    data = make_images(tmp_path / "images")
    loop.train(make_run(tmp_path / "run", data, "pixelcnn", steps=2), data)
    drawn = load_run(tmp_path / "run").generate(count=2)
    assert (drawn.image(1).shape, drawn.image(1).dtype, drawn.real_time_factor) == ((3, 2, 1), np.uint8, None)
    with pytest.raises(UsageError, match="--stream is for sound and text"):
        load_run(tmp_path / "run").draw().stream()


def test_scores_of_splits_and_files(trained_project):
    run = load_run("runs/tcn")
    by_split = run.evaluate(split="valid")
    assert [recording.origin for recording, _ in by_split.recordings] == ["valid 0", "valid 1"]
    soundfile.write("tone.wav", np.sin(np.arange(300) / 9).astype(np.float32), 1000)
    assert run.evaluate(files=["tone.wav"], chunk=50).total.tokens == 299
    with pytest.raises(UsageError, match="--label a is of files"):
        run.evaluate(label="a")


def test_the_sheet_says_which_weights_drew(trained_project):
    data = load_run("runs/tcn").data()
    loop.train(make_run(Path("runs/plain"), data, "tcn", steps=4, ema=0.0), data)
    for name, ema, averaged in (("tcn", True, True), ("tcn", False, False), ("plain", True, False)):
        sheet = load_run(f"runs/{name}").generate(length=5, ema=ema).write(f"{name} {ema}")
        assert json.loads(sheet.read_text())["ema"] is averaged


def test_models_and_data_are_kept(trained_project):
    run = load_run("runs/tcn")
    model, step = run.model()
    assert run.model("best")[0] is model
    assert run.model(str(step))[0] is model
    assert run.model(ema=False)[0] is not model
    assert run.data() is run.data()


def test_wrong_settings_are_told_all_at_once(trained_project):
    run = load_run("runs/tcn")
    with pytest.raises(UsageError) as caught:
        run.generate(temprature=1, count=0)
    assert "There is no setting 'temprature' (did you mean 'temperature'?)." in caught.value.got
    assert "count = 0 is not right" in caught.value.got
    assert "GenerateSettings" in caught.value.hint
    with pytest.raises(UsageError, match="There is no run at nowhere"):
        load_run("nowhere")
    with pytest.raises(UsageError, match="nine"):
        run.evaluate(split="nine")


def test_an_exported_file_generates_and_scores(trained_project, program):
    from seqgen_core.exporting.weights_file import write_export

    run = load_run("runs/sequnet")
    assert run.folder is not None
    write_export(run.folder, Path("tones.safetensors"))
    soundfile.write("tone.wav", np.sin(np.arange(300) / 9).astype(np.float32), 1000)
    of_file, of_run = (
        program("generate", name, "--prime", "tone.wav", "--length", 20, "--json")
        for name in ("tones.safetensors", "runs/sequnet")
    )
    assert (of_file.code, of_run.code) == (0, 0), of_file.err
    assert Path(of_file.json["out"]).parent == Path("tones-samples")
    joined = of_file.json["clips"][0]["files"]["joined"]
    assert Path(of_file.json["out"], joined).read_bytes() == Path(of_run.json["out"], joined).read_bytes()
    scores = [program("evaluate", name, "tone.wav", "--json") for name in ("tones.safetensors", "runs/sequnet")]
    assert scores[0].json["bits_per_token"] == pytest.approx(scores[1].json["bits_per_token"], abs=1e-5)
    assert scores[0].json["step"] == 8
    for command in (["generate", "tones.safetensors", "--conditional"], ["evaluate", "tones.safetensors"]):
        out = program(*command)
        assert out.code == 2
        assert "tones.safetensors is an exported file and knows no prepared data." in out.err
        assert "--prime FILE" in out.err
    missing = program("generate", "none.safetensors")
    assert (missing.code, "There is no file none.safetensors" in missing.err) == (2, True)
