"""Items as clips by themselves: scaled by their own extremes where the codec does so, with features of their own."""

import numpy as np
import pytest

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.features import mel_spectra
from seqgen_core.audio.files import read_mono, write_wav
from seqgen_core.data import prepared_sound
from seqgen_core.data.prepare import Task, finished, prepare_file
from seqgen_core.data.prepared_sound import PreparedSound
from seqgen_core.data.preprocess import preprocess
from seqgen_core.data.store import PreparedData
from seqgen_core.errors import UsageError
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.preprocess import PreprocessSettings

RATE = 1000
MEL = MelSettings(rate=RATE, bands=6, hop=10, window=40)
WITH_MEL = {"features": "mel", "mel_bands": 6, "mel_hop": 10, "mel_window": 40}


def waves(samples: int, seed: int = 0) -> np.ndarray:
    """A tone that swells and fades, with an offset."""
    time = np.arange(samples)
    return 0.03 + 0.6 * np.sin(time / 5) * np.abs(np.sin(time / 700 + seed))


def task_of(tmp_path, samples=3000, gain=1.0, **settings) -> Task:
    write_wav(tmp_path / "a.wav", waves(samples), RATE)
    (tmp_path / "work").mkdir(exist_ok=True)
    wanted = PreprocessSettings(rate=RATE, **settings)
    return Task(tmp_path / "a.wav", tmp_path / "work" / "a", wanted, gain)


@pytest.mark.parametrize("codec", ["mu-law", "pcm16", "samplernn-linear", "samplernn-mu-law"])
@pytest.mark.parametrize("features", [{}, WITH_MEL])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_any_stretch_is_what_its_waveform_gives(tmp_path, monkeypatch, codec, features, gain):
    monkeypatch.setattr(prepared_sound, "_BLOCK", 256)
    task = task_of(tmp_path, codec=codec, gain=gain, **features)
    assert finished(task) is None
    prepared = prepare_file(task)
    assert prepared.outcome == "used"
    assert finished(task) == prepared
    sound = PreparedSound(task, MEL if features else None)
    waveform = read_mono(task.path, RATE) * np.float32(gain)
    one = AudioCodec(task.settings.sound_codec)
    assert len(sound) == 3000
    for start, stop in ((0, 3000), (0, 2), (700, 1900), (2999, 3000)):
        tokens, frames = sound.tokens(start, stop), sound.frames(start, stop)
        assert tokens.dtype.newbyteorder("=") == one.dtype
        assert np.array_equal(tokens, one.encode(waveform[start:stop]))
        if not features:
            assert frames is None
        else:
            assert frames is not None
            np.testing.assert_allclose(frames, mel_spectra(waveform[start:stop], MEL), atol=1e-6)
    left = sorted(path.name for path in (tmp_path / "work").iterdir())
    keeps = bool(features) or codec.startswith("samplernn")
    assert left == ["a.json", "a.sound" if keeps else "a.tokens"]


def test_what_is_cut_short_is_prepared_again(tmp_path):
    task = task_of(tmp_path, codec="samplernn-linear")
    prepare_file(task)
    task.product.write_bytes(task.product.read_bytes()[:-4])
    assert finished(task) is None


def test_only_codecs_that_clamp_warn_of_clamping(tmp_path):
    loud = {"gain": 4.0}
    assert any("clamped" in said for said in prepare_file(task_of(tmp_path, **loud)).warnings)
    assert prepare_file(task_of(tmp_path, codec="samplernn-linear", **loud)).warnings == ()
    task = task_of(tmp_path, codec="samplernn-linear", **loud)
    assert np.abs(np.fromfile(task.product, "<f4")).max() > 2


def recordings(folder, count=4) -> list[np.ndarray]:
    for number in range(count):
        write_wav(folder / f"{number}.wav", waves(1000 + 300 * number, seed=number) / (number + 1), RATE)
    return [read_mono(folder / f"{number}.wav", RATE) for number in range(count)]


@pytest.mark.parametrize("chunk", [None, 0.5])
def test_prepared_data_with_features(tmp_path, chunk):
    originals = {f"{number}.wav": wave for number, wave in enumerate(recordings(tmp_path / "raw"))}
    settings = PreprocessSettings.model_validate(
        {"inputs": [tmp_path / "raw"], "out": tmp_path / "out", "rate": RATE, "chunk_seconds": chunk, "jobs": 1}
        | {"codec": "samplernn-mu-law", **WITH_MEL}
    )
    preprocess(settings)
    data = PreparedData.open(tmp_path / "out")
    data.verify()
    assert data.manifest.features == MEL
    one, taken = AudioCodec(settings.sound_codec), 0
    for item in data.manifest.items:
        name, _, stretch = item.origin.partition(" [")
        start = round(float(stretch.split("–")[0] or 0) * RATE) if stretch else 0
        piece = originals[name.rsplit("/", 1)[-1]][start : start + item.length]
        assert np.array_equal(data.tokens(item), one.encode(piece))
        assert (data.tokens(item).min(), data.tokens(item).max()) == (0, 255)
        frames = mel_spectra(piece, MEL)
        np.testing.assert_allclose(data.frames(item), frames, atol=1e-6)
        told = data.stream(item).features
        assert told is not None
        assert len(told) == item.length
        places = np.arange(0, item.length, MEL.hop)  # tokens that stand where a frame does
        np.testing.assert_allclose(told[places], frames[: len(places)], atol=1e-6)
        taken += item.length
    assert taken == sum(map(len, originals.values()))
    assert not (tmp_path / "out" / ".work").exists()


def test_impossible_features_are_refused_before_any_work(tmp_path):
    recordings(tmp_path / "raw", 1)
    with pytest.raises(UsageError, match="of 900 mel bands are too narrow"):
        preprocess(
            PreprocessSettings(
                inputs=(tmp_path / "raw",),
                out=tmp_path / "out",
                rate=RATE,
                features="mel",
                mel_bands=900,
                mel_window=64,
            )
        )
    assert not (tmp_path / "out" / ".work").exists()
