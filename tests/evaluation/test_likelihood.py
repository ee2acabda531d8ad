"""Bits per token over recordings, each and in all, and in the words of each field."""

import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from tiny import TINY_MODELS, make_data, make_run

from seqgen_core import models
from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.features import mel_spectra
from seqgen_core.audio.files import read_mono
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.evaluation import likelihood
from seqgen_core.models.scoring import score_streams
from seqgen_core.progress import Silent
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.run import DataAccount
from seqgen_core.settings.tokens import CategoricalTokens
from seqgen_core.streams import Stream


@pytest.fixture
def model(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    return models.build(run.settings.model, run.settings.tokens).eval()


def test_recordings_keep_their_order_and_the_total_weighs_tokens(model, tiny_data):
    recordings = likelihood.split_recordings(tiny_data, "train")
    assert [r.origin for r in recordings] == [f"train {n}" for n in range(4)]
    result = likelihood.evaluate(model, recordings, chunk=100, batch_size=2)
    single = [score_streams(model, [r])[0] for r in recordings]
    for (recording, score), expected, given in zip(result.recordings, single, recordings, strict=True):
        assert recording is given
        assert score.tokens == expected.tokens == len(given.tokens) - 1
        assert score.bits == pytest.approx(expected.bits, rel=1e-5)
    tokens = sum(score.tokens for score in single)
    assert result.total.tokens == tokens
    assert result.total.bits_per_token == pytest.approx(sum(score.bits for score in single) / tokens, rel=1e-5)


@pytest.mark.parametrize("given", [1, 20])
def test_progress_reaches_its_total(model, tiny_data, given):
    told = []

    class Told(Silent):
        def begin(self, task, total, unit):
            told.append(total)

        def update(self, done, **figures):
            told.append(done)

        def end(self):
            told.append("end")

    recordings = [replace(stream, given=given) for stream in likelihood.split_recordings(tiny_data, "test")]
    likelihood.evaluate(model, recordings, chunk=64, progress=Told())
    assert told[0] == told[-2] == 700 - 2 * given
    assert told[-1] == "end"


def test_files_of_any_rate_become_recordings(tmp_path):
    account = DataAccount(codec=AudioCodecSettings(rate=8000, levels=16))
    tone = np.sin(np.arange(8000) * 2 * np.pi * 200 / 16000).astype(np.float32) / 2
    soundfile.write(tmp_path / "t.wav", tone, 16000)
    (recording,) = likelihood.file_recordings([tmp_path / "t.wav"], account)
    assert recording.origin == str(tmp_path / "t.wav")
    assert len(recording.tokens) == 4000
    assert (recording.label, recording.features, recording.given) == (None, None, 1)
    (labelled,) = likelihood.file_recordings([tmp_path / "t.wav"], account, 3)
    assert labelled.label == 3


def test_files_of_any_kind_become_recordings(tmp_path):
    (tmp_path / "t.txt").write_text("abba")
    account = DataAccount(codec=TextCodecSettings(vocabulary=("a", "b")))
    (recording,) = likelihood.file_recordings([tmp_path / "t.txt"], account)
    assert recording.tokens.tolist() == [0, 1, 1, 0]
    with pytest.raises(UsageError, match=r"There is no file .*nix\.txt"):
        likelihood.file_recordings([tmp_path / "nix.txt"], account)


def test_what_cannot_be_scored(tmp_path):
    data = make_data(tmp_path / "p", lengths={"train": (10,), "test": (1,)})
    with pytest.raises(SeqgenError, match=r"test split of .* holds no recording"):
        likelihood.split_recordings(data, "test")
    soundfile.write(tmp_path / "one.wav", np.zeros(1, np.float32), 1000)
    with pytest.raises(SeqgenError, match=r"one\.wav holds 1 sample; nothing can be predicted"):
        likelihood.file_recordings([tmp_path / "one.wav"], DataAccount(codec=data.manifest.codec))


def test_the_gain_of_the_training_data_is_applied(tmp_path):
    codec = AudioCodecSettings(rate=8000, levels=16)
    tone = np.sin(np.arange(800) * 2 * np.pi * 200 / 8000).astype(np.float32) / 8
    soundfile.write(tmp_path / "t.wav", tone, 8000, subtype="FLOAT")
    (quiet,) = likelihood.file_recordings([tmp_path / "t.wav"], DataAccount(codec=codec))
    (loud,) = likelihood.file_recordings([tmp_path / "t.wav"], DataAccount(codec=codec, gain=4.0))
    assert np.array_equal(loud.tokens, AudioCodec(codec).encode(tone * 4))
    assert not np.array_equal(loud.tokens, quiet.tokens)


def test_features_of_a_file_are_those_of_its_sound(tmp_path):
    codec = AudioCodecSettings(rate=8000)
    mel = MelSettings(rate=8000, bands=4, hop=100, window=256)
    soundfile.write(tmp_path / "t.wav", np.sin(np.arange(850) / 5).astype(np.float32) / 2, 8000)
    (recording,) = likelihood.file_recordings([tmp_path / "t.wav"], DataAccount(codec=codec, features=mel))
    assert recording.features is not None
    assert len(recording.features) == len(recording.tokens) == 850
    frames = mel_spectra(read_mono(tmp_path / "t.wav", 8000), mel)
    assert np.array_equal(recording.features[np.arange(0, 850, 100)], frames)


@pytest.mark.parametrize("what", ["classes", "local_features"])
def test_what_the_model_is_told_must_be_known(what):
    settings = TINY_MODELS["wavenet"].model_copy(update={what: 2})
    model = models.build(settings, CategoricalTokens(values=4)).eval()
    bare = Stream("here", np.zeros(5, np.int64))
    with pytest.raises(UsageError, match="label" if what == "classes" else "features"):
        likelihood.evaluate(model, [bare])
    told = replace(bare, label=1, features=np.zeros((5, 2), np.float32))
    assert likelihood.evaluate(model, [told]).total.tokens == 4


@pytest.mark.parametrize(
    ("codec", "named"),
    [
        (AudioCodecSettings(), {"bits per sample": 3.0}),
        (AudioCodecSettings(kind="pcm16"), {"bits per sample": 3.0}),
        (TextCodecSettings(vocabulary=("a", "b")), {"bits per character": 3.0}),
        (TextCodecSettings(kind="words", vocabulary=("a", "b")), {"perplexity": 8.0, "bits per word": 3.0}),
        (NotesCodecSettings(), {"nats per frame": 3 * math.log(2), "bits per frame": 3.0}),
        (PixelsCodecSettings(height=2, width=2), {"bits per dimension": 3.0}),
    ],
    ids=str,
)
def test_bits_are_named_as_the_field_names_them(codec: CodecSettings, named: dict[str, float]) -> None:
    assert likelihood.measures(codec, 3.0) == pytest.approx(named)
    assert list(likelihood.measures(codec, 3.0)) == list(named)  # what the papers report comes first


def test_a_perplexity_beyond_all_bounds_is_no_fault() -> None:
    words = TextCodecSettings(kind="words", vocabulary=("a", "b"))
    assert math.isfinite(likelihood.measures(words, 1e6)["perplexity"])


def test_a_file_of_piano_rolls_gives_every_test_sequence(shared_data):
    account = DataAccount(codec=NotesCodecSettings())
    found = likelihood.file_recordings([shared_data / "symbolic" / "JSB_Chorales.mat"], account)
    assert len(found) == 77
    assert len({recording.origin for recording in found}) == 77
