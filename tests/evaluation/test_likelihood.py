"""Bits per token over recordings, each and in all."""

import numpy as np
import pytest
import soundfile
from tiny import make_data, make_run

from seqgen_core import models
from seqgen_core.audio.codec import AudioCodec
from seqgen_core.errors import SeqgenError
from seqgen_core.evaluation import likelihood
from seqgen_core.models.scoring import score_streams
from seqgen_core.progress import Silent


@pytest.fixture
def model(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data)
    return models.build(run.settings.model, run.settings.tokens).eval()


def test_recordings_keep_their_order_and_the_total_weighs_tokens(model, tiny_data):
    recordings = likelihood.split_recordings(tiny_data, "train")
    assert [r.origin for r in recordings] == [f"train {n}" for n in range(4)]
    result = likelihood.evaluate(model, recordings, chunk=100, batch_size=2)
    single = [score_streams(model, [r.tokens])[0] for r in recordings]
    for (recording, score), expected, given in zip(result.recordings, single, recordings, strict=True):
        assert recording is given
        assert score.tokens == expected.tokens == len(given.tokens) - 1
        assert score.bits == pytest.approx(expected.bits, rel=1e-5)
    tokens = sum(score.tokens for score in single)
    assert result.total.tokens == tokens
    assert result.total.bits_per_token == pytest.approx(sum(score.bits for score in single) / tokens, rel=1e-5)


def test_progress_reaches_its_total(model, tiny_data):
    told = []

    class Told(Silent):
        def begin(self, task, total, unit):
            told.append(total)

        def update(self, done, **figures):
            told.append(done)

        def end(self):
            told.append("end")

    likelihood.evaluate(model, likelihood.split_recordings(tiny_data, "test"), chunk=64, progress=Told())
    assert told[0] == told[-2] == 698
    assert told[-1] == "end"


def test_files_of_any_rate_become_recordings(tmp_path):
    codec = AudioCodec(make_data(tmp_path / "p", rate=8000).manifest.codec)
    tone = np.sin(np.arange(8000) * 2 * np.pi * 200 / 16000).astype(np.float32) / 2
    soundfile.write(tmp_path / "t.wav", tone, 16000)
    (recording,) = likelihood.file_recordings([tmp_path / "t.wav"], codec)
    assert recording.origin == str(tmp_path / "t.wav")
    assert len(recording.tokens) == 4000
    assert recording.label is None


def test_what_cannot_be_scored(tmp_path):
    data = make_data(tmp_path / "p", lengths={"train": (10,), "test": (1,)})
    with pytest.raises(SeqgenError, match=r"test split of .* holds no recording"):
        likelihood.split_recordings(data, "test")
    soundfile.write(tmp_path / "one.wav", np.zeros(1, np.float32), 1000)
    with pytest.raises(SeqgenError, match=r"one\.wav"):
        likelihood.file_recordings([tmp_path / "one.wav"], AudioCodec(data.manifest.codec))


def test_the_gain_of_the_training_data_is_applied(tmp_path):
    codec = AudioCodec(make_data(tmp_path / "p", rate=8000).manifest.codec)
    tone = np.sin(np.arange(800) * 2 * np.pi * 200 / 8000).astype(np.float32) / 8
    soundfile.write(tmp_path / "t.wav", tone, 8000, subtype="FLOAT")
    (quiet,) = likelihood.file_recordings([tmp_path / "t.wav"], codec)
    (loud,) = likelihood.file_recordings([tmp_path / "t.wav"], codec, gain=4.0)
    assert np.array_equal(loud.tokens, codec.encode(tone * 4))
    assert not np.array_equal(loud.tokens, quiet.tokens)
