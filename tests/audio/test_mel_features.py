"""Mel spectra: against torch and torchaudio, in blocks, in units that mean something; features from files."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchaudio.functional import melscale_fbanks

from seqgen_core.audio import features
from seqgen_core.audio.features import MelSpectra, mel_bands, mel_spectra, read_features
from seqgen_core.audio.files import read_mono, write_wav
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.features import MelSettings
from seqgen_core.streams import Upsampled

SMALL = MelSettings(rate=1000, bands=8, hop=10, window=64)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "bands", "low", "high"), [(16000, 80, 0, None), (44100, 40, 30, 16000), (8000, 20, 100, 3800)]
)
def test_the_bands_are_torchaudios(rate, bands, low, high):
    mine = mel_bands(MelSettings(rate=rate, bands=bands, low=low, high=high), 2048)
    theirs = melscale_fbanks(1025, float(low), float(high or rate / 2), bands, rate).numpy()
    np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_real_sound_has_the_spectra_of_torch(shared_data):
    settings = MelSettings(rate=16000)
    waveform = read_mono(shared_data / "speech" / "librispeech" / "198-209-0000.flac", 16000)[:40001]
    window = torch.zeros(1024, dtype=torch.float64)
    window[:800] = torch.hann_window(800, dtype=torch.float64)
    # torch centres its 1024 samples, of which our 800 are the first; silence before and after as we have it
    padded = torch.from_numpy(np.pad(waveform.astype(np.float64), (400, 1024)))
    complex_spectra = torch.stft(padded, 1024, 200, 1024, window, center=False, return_complex=True).abs()
    bank = melscale_fbanks(513, 0.0, 8000.0, 80, 16000).double()
    power = complex_spectra.square().T[:201] @ bank * 4 / (1024 * window.square().sum())
    expected = 1 + torch.log10(power.clamp(min=1e-10)) / 5
    found = mel_spectra(waveform, settings)
    assert found.dtype == np.float32
    assert found.shape == (201, 80)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert found.min() >= -1
    assert -0.8 < found.mean() < 0.3  # speech, as networks like it


@pytest.mark.parametrize("hertz", [110, 440, 1000, 3000])
def test_a_sine_of_full_scale_is_at_0_decibels_in_its_band(hertz):
    settings = MelSettings(rate=16000)
    wave = np.sin(2 * np.pi * hertz * np.arange(8000) / 16000)
    for loudness in (1.0, 0.01):
        frame = mel_spectra(loudness * wave, settings)[20]
        decibels = 50 * (frame.astype(float) - 1)
        assert 10 * np.log10((10 ** (decibels / 10)).sum()) == pytest.approx(20 * np.log10(loudness), abs=0.2)
        centres = mel_bands(settings, 1024).argmax(axis=0) * 16000 / 1024
        assert abs(centres[frame.argmax()] - hertz) < 0.08 * hertz + 16


def test_silence_is_minus_one_and_beyond_full_scale_is_clamped():
    assert np.array_equal(mel_spectra(np.zeros(100, np.float32), SMALL), -np.ones((11, 8), np.float32))
    assert np.array_equal(mel_spectra(10 * noise(500), SMALL), mel_spectra(np.clip(10 * noise(500), -1, 1), SMALL))


@settings(max_examples=60)
@given(st.integers(1, 700), st.integers(1, 90), st.sampled_from([2, 3, 32, 63, 64, 200]), st.integers(1, 8), st.data())
def test_any_cut_into_blocks_gives_the_same_frames(samples, hop, window, bands, data):
    spectra = MelSpectra(MelSettings(rate=1000, bands=min(bands, window // 4 + 1), hop=hop, window=window))
    waveform = noise(samples)
    whole = spectra.frames(waveform)
    assert len(whole) == spectra.count(samples) == 1 + samples // hop
    first = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(first + 1, len(whole)))
    np.testing.assert_allclose(spectra.frames(waveform, first, stop), whole[first:stop], atol=1e-6)


def test_long_sound_goes_through_in_blocks(monkeypatch):
    whole = mel_spectra(noise(5000), SMALL)
    seen = []

    class Watched(np.ndarray):
        def __getitem__(self, places):
            piece = np.asarray(self)[places]
            seen.append(len(piece))
            return piece

    monkeypatch.setattr(features, "_BLOCK", 1000)
    np.testing.assert_allclose(mel_spectra(noise(5000).view(Watched), SMALL), whole, atol=1e-6)
    assert max(seen) <= 1100


def test_frames_are_centred_where_they_say():
    click = np.zeros(1000, np.float32)
    click[300] = 1
    loudness = mel_spectra(click, SMALL).sum(axis=1)
    assert loudness.argmax() == 30
    np.testing.assert_allclose(loudness[30 - 3 : 30], loudness[30 + 3 : 30 : -1], atol=1e-5)


def test_bands_too_narrow_for_the_window_are_refused():
    with pytest.raises(UsageError, match=r"of 500 mel bands are too narrow for a window of 64 samples at 16000 Hz"):
        MelSpectra(MelSettings(rate=16000, bands=500, window=64))
    for rate in (8000, 16000, 22050, 44100, 48000):
        MelSpectra(MelSettings(rate=rate))


@pytest.mark.parametrize("edges", [{"low": 4000, "high": 3000}, {"high": 9000}, {"low": 8000}])
def test_bands_beyond_the_sound_are_refused(edges):
    with pytest.raises(ValidationError, match="sound at 16000 Hz has 0 to 8000 Hz"):
        MelSettings(rate=16000, **edges)


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 80), st.data())
def test_upsampling_is_linear_between_the_centres(count, hop, length, data):
    frames = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    told = Upsampled(frames, hop, length)
    centres = np.arange(count) * hop
    expected = np.stack([np.interp(np.arange(length), centres, frames[:, band]) for band in range(3)], axis=1)
    first = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(first, length))
    np.testing.assert_allclose(told[np.arange(first, stop)], expected[first:stop], atol=1e-5)
    part = told[first:stop]
    assert len(part) == stop - first
    np.testing.assert_allclose(part[np.arange(len(part))], expected[first:stop], atol=1e-5)


def test_features_of_a_file_of_sound(tmp_path):
    write_wav(tmp_path / "a.wav", noise(4000), 1000)
    waveform = read_mono(tmp_path / "a.wav", 1000)
    assert np.array_equal(read_features(tmp_path / "a.wav", SMALL), mel_spectra(waveform, SMALL))
    assert np.array_equal(read_features(tmp_path / "a.wav", SMALL, 0.5), mel_spectra(0.5 * waveform, SMALL))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_features_kept_as_an_array(tmp_path, dtype):
    frames = (10 * np.random.default_rng(0).normal(size=(5, 8))).astype(dtype)
    np.save(tmp_path / "a.npy", frames)
    found = read_features(tmp_path / "a.npy", SMALL)
    assert found.dtype == np.float32
    assert np.array_equal(found, frames.astype(np.float32))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((5, 7)), r"shape \(5, 7\)"),
        (np.zeros((8, 5)), r"shape \(8, 5\)"),
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((0, 8)), r"shape \(0, 8\)"),
        (np.full((2, 8), np.nan), "nan in frame 0, band 0"),
        (np.full((2, 8), "x"), "no array of numbers"),
        (np.zeros((2, 8), complex), "no array of numbers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UsageError, match=said) as caught:
        read_features(tmp_path / "a.npy", SMALL)
    assert caught.value.hint == ("Transpose it." if array.shape == (8, 5) else "")


def test_files_that_are_no_arrays(tmp_path):
    with pytest.raises(UsageError, match=r"There is no file .*absent\.npy"):
        read_features(tmp_path / "absent.npy", SMALL)
    np.save(tmp_path / "a.npy", np.zeros((3, 8)))
    np.savez(tmp_path / "b.npz", np.zeros((3, 8)))
    damaged = {
        "text.npy": b"no array",
        "empty.npy": b"",
        "cut.npy": (tmp_path / "a.npy").read_bytes()[:200],
        "zip.npy": (tmp_path / "b.npz").read_bytes(),
    }
    np.save(tmp_path / "objects.npy", np.array([{}, []], object))
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    for name in (*damaged, "objects.npy", "text.wav"):
        (tmp_path / "text.wav").write_bytes(b"no sound")
        with pytest.raises(SeqgenError, match=name):
            read_features(tmp_path / name, SMALL)


@pytest.mark.parametrize("content", [b"hello", b"", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_damaged_array_is_named_without_advice_to_load_pickles(tmp_path, content):
    file = tmp_path / "damaged.npy"
    file.write_bytes(content)
    with pytest.raises(SeqgenError, match=r"damaged\.npy is no array of numbers") as caught:
        read_features(file, MelSettings(rate=8000, bands=20))
    assert "pickle" not in str(caught.value)
