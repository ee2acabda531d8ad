"""What `seqgen generate` does for better samples, from the command to the sheet: ranking, dither, a stop on the way."""

import importlib.metadata
import json
from pathlib import Path

import av
import mido
import numpy as np
import pytest
import soundfile
from PIL import Image
from tiny import make_images, make_run

from seqgen_core.audio.encoders import Encoding, Tags
from seqgen_core.audio.files import read_mono
from seqgen_core.errors import UsageError
from seqgen_core.generation import clips
from seqgen_core.generation.rendering import renderer_for
from seqgen_core.library import load_run
from seqgen_core.notes.codec import NotesCodec
from seqgen_core.settings.codec import NotesCodecSettings
from seqgen_core.training import loop


def test_the_best_of_many_are_kept_and_all_are_listed(trained_project, program):
    out = program("generate", "tcn", "--length", 30, "--count", 2, "--rank", 20, "--out", "clips", "--json")
    assert out.code == 0, out.err
    sheet = json.loads(Path("clips/sheet.json").read_text())
    assert len(list(Path("clips").glob("*.wav"))) == len(sheet["clips"]) == 2
    assert [candidate["clip"] for candidate in sheet["candidates"]] == list(range(20))
    plain = load_run("runs/tcn").generate(length=30, count=20)
    bits = [clip.bits_per_token for clip in plain.clips]
    assert [candidate["bits_per_token"] for candidate in sheet["candidates"]] == pytest.approx(bits)
    best = np.argsort(bits)
    assert [entry["clip"] for entry in sheet["clips"]] == best[1:3].tolist()  # the very likeliest is above the bounds
    sound = soundfile.read(Path("clips", sheet["clips"][0]["files"]["clip"]))[0]
    np.testing.assert_allclose(sound, plain.waveform(int(best[1]))[0], atol=2**-15)
    assert sheet["ranking"] == {"dropped_lowest": 0.4, "dropped_highest": 0.05, "source": "arXiv:2202.09729"}
    shown = program("generate", "tcn", "--length", 30, "--count", 2, "--rank", 20)
    told = "of 20 candidates 2 kept; 8 below and 1 above the bounds, 9 not among the best\n"
    assert told in shown.out


def test_each_excerpt_has_candidates_of_its_own(trained_project):
    run = load_run("runs/tcn")
    drawn = run.generate(conditional=True, prime_seconds=0.02, length=20, count=2, rank=5)
    assert [(c.clip, c.start) for c in drawn.candidates] == [(number, number % 2) for number in range(10)]
    assert [clip.number % 2 for clip in drawn.clips] == [0, 1]
    plain = run.generate(conditional=True, prime_seconds=0.02, length=20, count=2)
    for clip, other in zip(drawn.clips, plain.clips, strict=True):
        assert (clip.prime.origin, clip.prime.start) == (other.prime.origin, other.prime.start)
    assert json.loads(drawn.write("clips").read_text())["candidates"][9]["start"] == 1


def test_what_makes_no_sense_is_refused_before_work(trained_project, program):
    for arguments, cause, hint in (
        (["--count", 4, "--rank", 4], "rank = 4 leaves 2 within the bounds", "--rank 6 is enough"),
        (["--dither"], "--dither draws trapped samples at temperature 1", "--temperature below 1"),
        (["--stream", "--rank", 3], "--count, --rank, --json", "leave --stream out"),
    ):
        out = program("generate", "sequnet", *arguments)
        assert out.code == 2
        assert cause in out.err
        assert hint in out.err


def test_dither_frees_what_a_cold_model_traps(trained_project, program):
    cold = ["--temperature", 0, "--length", 200, "--seed", 1]
    plain, freed, streamed = (
        program("generate", "wavenet", *cold, *more)
        for more in (["--out", "plain", "--json"], ["--dither", "--out", "freed", "--json"], ["--dither", "--stream"])
    )
    assert (plain.code, freed.code, streamed.code) == (0, 0, 0), freed.err
    sounds = [soundfile.read(Path(name, "clip-000.wav"), dtype="int16")[0] for name in ("plain", "freed")]
    if "trapped: 0 of 1" not in freed.err:
        assert "dither: clips that were trapped: 1 of 1, drawn again, " in freed.err
        assert freed.json["clips"][0]["dithered"] % 10 == 0
    assert ("dithered" in freed.json["clips"][0]) == (not np.array_equal(*sounds))
    assert np.abs(np.frombuffer(streamed.raw, "<i2").astype(int) - sounds[1]).max() <= 1


@pytest.mark.parametrize("name", ["wav24", "float", "flac", "mp3", "opus"])
def test_sound_of_other_formats_says_where_it_is_from(trained_project, program, name):
    out = program("generate", "tcn", "--length", 400, "--format", name, "--out", "clips", "--json")
    assert out.code == 0, out.err
    suffix = "wav" if name in ("wav24", "float") else name
    assert out.json["clips"][0]["files"] == {"clip": f"clip-000.{suffix}"}
    drawn, _ = load_run("runs/tcn").generate(length=400).waveform()
    heard = read_mono(Path("clips", f"clip-000.{suffix}"), 1000)
    assert abs(len(heard) - 400) <= 1
    assert (name in ("mp3", "opus")) == ("written at 8000 Hz" in out.err)
    if name not in ("mp3", "opus"):
        np.testing.assert_allclose(heard, drawn, atol=2**-15)
    with av.open(f"clips/clip-000.{suffix}") as file:
        said = " ".join({**file.metadata, **file.streams[0].metadata}.values())
    assert "tcn, clip 0" in said
    assert "drawn by a model: run tcn, step 8, seed 0, clip 0" in said
    assert f"seqgen {importlib.metadata.version('seqgen')}" in said


def test_formats_that_cannot_be_meant(trained_project, program):
    for arguments, said in (
        (["--bitrate", 64], "bitrate = 64 is of mp3 and opus, not of wav"),
        (["--format", "mp3", "--bitrate", 320], "mp3 at 8000 Hz takes 8 to 64"),
        (["--format", "mp4"], "'wav', 'wav24', 'float', 'flac', 'mp3' or 'opus'"),
    ):
        out = program("generate", "tcn", *arguments)
        assert (out.code, said in out.err) == (2, True), out.err


def test_pictures_and_scores_say_where_they_are_from(tmp_path):
    data = make_images(tmp_path / "images")
    loop.train(make_run(tmp_path / "run", data, "pixelcnn", steps=2), data)
    drawn = load_run(tmp_path / "run").generate(count=1)
    with Image.open(drawn.write(tmp_path / "clips").with_name("clip-000.png")) as image:
        assert image.text["Title"] == "run, clip 0"
        assert image.text["Comment"].endswith("run run, step 2, seed 0, clip 0")
    with pytest.raises(UsageError, match="--format and --bitrate are of sound"):
        load_run(tmp_path / "run").draw(format="flac")
    roll = np.eye(5, dtype=np.uint8)
    notes = NotesCodecSettings(lowest=60, keys=5, rate=4)
    names = renderer_for(notes, Encoding("flac")).write(roll, tmp_path / "x", Tags("ein Stück, clip 3"))
    assert names == {"midi": "x.mid", "png": "x.png", "flac": "x.flac"}
    assert mido.MidiFile(tmp_path / "x.mid").tracks[0].name == "ein Stück, clip 3"
    np.testing.assert_array_equal(NotesCodec(notes).read(tmp_path / "x.mid"), roll)


@pytest.fixture
def stopped_after(monkeypatch):
    """Make Ctrl-C come after so many blocks of tokens in all, of which each is 10 tokens long."""

    def stop(blocks):
        plain, left = clips.draw_blocks, [blocks]

        def some(*arguments):
            for block in plain(*arguments, 10):
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
                yield block

        monkeypatch.setattr(clips, "draw_blocks", some)

    return stop


def test_a_stop_keeps_what_is_drawn(trained_project, program, stopped_after):
    whole = load_run("runs/tcn").generate(length=20, count=2)
    stopped_after(7)
    out = program("generate", "tcn", "--length", 50, "--count", 3, "--batch-size", 1, "--out", "clips")
    assert out.code == 130
    assert "kept in clips: 2 clips, 1 of them unfinished" in out.err
    sheet = json.loads(Path("clips/sheet.json").read_text())
    assert sheet["stopped"] is True
    assert [(entry["tokens"], entry.get("unfinished", False)) for entry in sheet["clips"]] == [(50, False), (20, True)]
    beginning = soundfile.read("clips/clip-001.wav")[0]
    np.testing.assert_allclose(beginning, whole.waveform(1)[0], atol=2**-15)
    assert sheet["clips"][1]["bits_per_token"] == pytest.approx(whole.clips[1].bits_per_token)


def test_a_stop_ranks_the_candidates_so_far(trained_project, program, stopped_after):
    stopped_after(9)
    out = program("generate", "tcn", "--length", 20, "--rank", 30, "--batch-size", 1, "--out", "clips")
    assert out.code == 130
    assert "kept in clips: 1 clip" in out.err
    sheet = json.loads(Path("clips/sheet.json").read_text())
    assert len(sheet["candidates"]) == 4
    assert sum(candidate["verdict"] == "kept" for candidate in sheet["candidates"]) == 1
