"""Clips as files and entries of the sheet, for what is separable and what is not."""

import json

import numpy as np
import pytest
import soundfile

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.generation import render
from seqgen_core.generation.clips import Clip
from seqgen_core.generation.rendering import renderer_for
from seqgen_core.generation.rendering.sound import SoundRenderer
from seqgen_core.generation.starts import Prime
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)

SOUND = AudioCodecSettings(rate=1000, levels=16)
CODECS = (
    SOUND,
    TextCodecSettings(vocabulary=tuple("\nabc")),
    TextCodecSettings(kind="words", vocabulary=("<eos>", "a", "b")),
    NotesCodecSettings(keys=5),
    PixelsCodecSettings(height=2, width=4, levels=4),
)


def clip_of(codec, primed, label=None):
    spec, rng = codec.tokens, np.random.default_rng(0)
    heard = rng.integers(0, spec.values, (3 if primed else 1, *spec.shape))
    heard[0] = 0
    drawn = rng.integers(0, spec.values, (6, *spec.shape))
    return Clip(7, Prime("here" if primed else "", heard, label, start=12 * primed), drawn, 1.5)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("primed", [False, True])
def test_an_entry_names_the_files_that_are_there(tmp_path, codec: CodecSettings, primed: bool) -> None:
    renderer = renderer_for(codec)
    entry = render.write_clip(clip_of(codec, primed), renderer, tmp_path)
    assert (entry["clip"], entry["tokens"], entry["bits_per_token"]) == (7, 6, 1.5)
    assert "label" not in entry
    written = {path.name for path in tmp_path.iterdir()}
    assert set(entry["files"].values()) == written
    parts = {name.split()[0] for name in entry["files"]}
    together = primed and renderer.separable
    assert parts == ({"prime", "continuation", "joined"} if together else {"clip"})
    assert all(name.startswith("clip-007") for name in written)
    assert all((tmp_path / name).stat().st_size for name in written)
    assert entry.get("prime") == ({"origin": "here", "start": 12, "tokens": 3} if primed else None)
    json.dumps(entry)


def test_labels_are_told(tmp_path):
    entry = render.write_clip(clip_of(SOUND, primed=False, label=0), renderer_for(SOUND), tmp_path)
    assert entry["label"] == 0


def test_a_prime_of_one_token_that_was_read_somewhere_is_a_prime(tmp_path):
    clip = Clip(0, Prime("here", np.array([1])), np.array([2, 3]), 1.0)
    assert render.write_clip(clip, renderer_for(SOUND), tmp_path)["files"].keys() == {"prime", "continuation", "joined"}


def test_sound_is_written_as_it_is(tmp_path):
    renderer, tokens = renderer_for(SOUND), np.array([0, 15, 8, 3])
    assert isinstance(renderer, SoundRenderer)
    waveform = AudioCodec(SOUND).decode(tokens)
    assert renderer.write(tokens, tmp_path / "x") == {"wav": "x.wav"}
    read, rate = soundfile.read(tmp_path / "x.wav", dtype="float32")
    assert rate == 1000
    assert np.abs(read - waveform).max() < 1e-4
    measured = renderer.measures(tokens)
    assert measured == pytest.approx(
        {"seconds": 0.004, "peak": np.abs(waveform).max(), "rms": np.sqrt(np.mean(waveform.astype(float) ** 2))}
    )
    assert renderer.finish(tmp_path, [tokens]) == {}
    shown = renderer.preview(tokens, "this")
    assert (shown.name, shown.kind, shown.rate) == ("this", "sound", 1000)
    assert np.array_equal(shown.value, waveform)
