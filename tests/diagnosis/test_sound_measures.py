"""Measures of waveforms that can be worked out on paper."""

import numpy as np
import pytest

from seqgen_core.diagnosis import periods, sound

RATE = 8000


def sine(hertz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))


def test_levels():
    assert sound.level(sine(100, amplitude=1.0)) == pytest.approx(-3.01, abs=0.01)
    assert sound.level(sine(100, amplitude=0.1) + 0.5) == pytest.approx(-23.01, abs=0.01)
    assert sound.level(np.zeros(10)) == sound.level(np.zeros(0)) == sound.FLOOR_DB
    assert sound.frame_levels(np.zeros(RATE), RATE).shape == (50,)


def test_quiet_stretches():
    wave = np.concatenate([sine(100, 0.5), np.full(RATE // 2, 0.3), sine(100, 0.5), np.zeros(RATE // 4)])
    assert sound.quiet_stretches(wave, RATE, -60) == (pytest.approx(0.5), pytest.approx(0.25, abs=0.02))
    assert sound.quiet_stretches(sine(100), RATE, -60) == (0.0, 0.0)
    assert sound.quiet_stretches(np.zeros(RATE), RATE, -60) == (pytest.approx(1), pytest.approx(1))


def test_clipping_is_told_from_a_peak():
    whole = sound.clipping(noise())
    cut = sound.clipping(np.clip(sine(50) + noise(1.0), -0.4, 0.4))
    assert whole.share == 0.0
    assert cut.share > 0.1
    assert cut.pile > 10
    assert cut.runs > 20
    assert sound.clipping(np.zeros(100)) == sound.clipping(np.zeros(0)) == sound.Clipping(0.0, 0.0)


def test_offset():
    mean, share = sound.offset(sine(100, amplitude=np.sqrt(2) * 0.1) + 0.05)
    assert (mean, share) == (pytest.approx(0.05), pytest.approx(0.5))


def test_the_spectrum_keeps_the_power():
    frequencies, power = sound.mean_spectrum(noise(), RATE)
    assert power.sum() == pytest.approx(0.01, rel=0.05)
    assert frequencies[sound.mean_spectrum(sine(1000), RATE)[1].argmax()] == pytest.approx(1000, abs=8)


def test_flatness_and_high_share_and_lines():
    assert sound.flatness(noise(), RATE) > 0.9
    assert sound.flatness(sine(440), RATE) < 0.01
    assert sound.high_share(noise(), RATE) == pytest.approx(0.5, abs=0.03)
    assert sound.line_share(sine(440), RATE) > 0.999
    assert sound.line_share(noise(), RATE) < 0.05
    assert sound.flatness(np.zeros(1000), RATE) == 0.0


@pytest.mark.parametrize("rate", [4000, 8000, 44100])
def test_lines_that_stand_out(rate):
    white = np.random.default_rng(0).normal(0, 0.1, 4 * rate)
    red = np.convolve(white, 0.6 ** np.arange(20))[: len(white)]
    assert sound.tonality(white, rate) == pytest.approx(sound.NOISE_DB, abs=0.05)
    assert sound.tonality(red, rate) == pytest.approx(sound.NOISE_DB, abs=0.2)
    tones = sum(np.sin(2 * np.pi * hertz * np.arange(2 * rate) / rate) for hertz in (220, 277, 330, 660, 1318))
    assert sound.tonality(tones, rate) > 20
    assert sound.tonality(0.01 * tones + 0.001 * white[: 2 * rate], rate) > 20
    assert 3 < sound.tonality(0.05 * tones + white[: 2 * rate], rate) < 10
    assert np.isnan(sound.tonality(white[: rate // 8], rate))
    assert np.isnan(sound.tonality(np.zeros(rate), rate))


def test_repetition_finds_a_loop_and_how_exact_it_is():
    loop = np.tile(noise(0.2), 6)
    found = periods.repetition(loop, RATE, 0.05, 1.0)
    assert (found.seconds, found.likeness, found.equal) == (pytest.approx(0.2), pytest.approx(1.0), 1.0)
    near = periods.repetition(loop + noise(1.2, seed=1) * 0.1, RATE, 0.05, 1.0)
    assert 0.95 < near.likeness < 1
    assert near.equal < 0.01
    assert periods.repetition(noise(), RATE, 0.05, 1.0).likeness < 0.2
    assert periods.repetition(np.zeros(RATE), RATE, 0.05, 1.0).likeness == 0.0


@pytest.mark.parametrize("hertz", [80, 200, 400])
def test_pitch_period(hertz):
    wave = sum(sine(hertz * k, 0.5, 0.2 / k) for k in range(1, 6))
    assert periods.pitch_period(wave, RATE) == pytest.approx(1 / hertz, rel=0.03)
    assert periods.pitch_period(noise(0.5), RATE) is None
    assert periods.pitch_period(np.zeros(RATE), RATE) is None


def test_beat_period():
    beats = np.zeros(10 * RATE)
    for start in range(0, len(beats) - 400, RATE // 2):
        beats[start : start + 400] = np.hanning(400) * noise(0.05, seed=start) * 5
    assert periods.beat_period(beats, RATE) == pytest.approx(0.5, abs=0.02)
    assert periods.beat_period(noise(10), RATE) is None
    assert periods.beat_period(noise(0.1), RATE) is None


def test_band_limit():
    spectrum = np.fft.rfft(noise(4.0))
    spectrum[len(spectrum) // 2 :] *= 1e-4
    found = sound.band_limit(np.fft.irfft(spectrum), RATE)
    assert found.hertz == pytest.approx(2000, rel=0.05)
    assert found.drop > 40
    assert sound.band_limit(noise(), RATE).drop < 5
    assert sound.band_limit(np.cumsum(noise()) * 0.01, RATE).drop < 10, "a slope is no cliff"
