"""The demo's strings: in tune, repeatable, within full scale, and free of DC."""

import numpy as np
import pytest

from seqgen_core.audio.synth import PEAK, frequency, pluck, synthesise_demo


@pytest.fixture(scope="module")
def demo() -> dict[str, np.ndarray]:
    return synthesise_demo(16000)


def cents_off(waveform: np.ndarray, rate: int, expected: float) -> float:
    """Distance in cents of the spectrum's peak near a frequency, by a zero-padded Hann-windowed FFT."""
    size = 8 * len(waveform)
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), size))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    near = np.flatnonzero(np.abs(frequencies / expected - 1) < 0.05)
    best = near[spectrum[near].argmax()]
    left, middle, right = np.log(spectrum[best - 1 : best + 2])
    peak = frequencies[best] + 0.5 * (left - right) / (left - 2 * middle + right) * frequencies[1]
    return 1200 * np.log2(peak / expected)


def test_notes_have_their_frequencies():
    assert frequency("A4") == 440
    assert frequency("C4") == pytest.approx(261.6256, abs=1e-4)
    assert frequency("G#3") == pytest.approx(207.6523, abs=1e-4)


@pytest.mark.parametrize("note", ["E2", "A2", "B3", "E4", "A4", "F#5", "G5"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_plucked_string_is_in_tune(note, rate):
    waveform = pluck(frequency(note), 1.5, rate, seed=3)
    assert len(waveform) == 1.5 * rate
    assert abs(cents_off(waveform, rate, frequency(note))) < 2


def test_a_plucked_string_decays_as_asked():
    waveform = pluck(220.0, 3.0, 16000, decay=2.0)
    tone = np.exp(-2j * np.pi * 220 * np.arange(16000) / 16000)
    levels = [abs((waveform[start : start + 16000] * tone).mean()) for start in (0, 16000)]  # of the fundamental
    assert 20 * np.log10(levels[0] / levels[1]) == pytest.approx(30, abs=1)  # 60 dB in 2 s


def test_the_place_of_the_pluck_silences_its_harmonics():
    spectrum = np.abs(np.fft.rfft(pluck(200.0, 1.0, 16000, position=0.25) * np.hanning(16000)))
    assert spectrum[795:806].max() < 0.02 * spectrum[595:606].max()  # the 4th harmonic has a node where it is plucked


def test_a_pitch_that_the_rate_cannot_carry_is_refused():
    with pytest.raises(ValueError, match="cannot be tuned at 2000 Hz"):
        pluck(784.0, 1.0, 2000)


def test_the_demo_is_bit_for_bit_repeatable(demo):
    again = synthesise_demo(16000)
    assert list(again) == list(demo)
    for name, waveform in demo.items():
        assert waveform.tobytes() == again[name].tobytes()


def test_the_demo_is_one_to_two_minutes_of_distinct_recordings(demo):
    assert 60 <= sum(map(len, demo.values())) / 16000 <= 120
    assert len({waveform.tobytes() for waveform in demo.values()}) == len(demo) >= 10
    assert all(waveform.dtype == np.float32 for waveform in demo.values())


def test_the_demo_neither_clips_nor_drifts_nor_falls_silent(demo):
    assert max(np.abs(waveform).max() for waveform in demo.values()) == pytest.approx(PEAK, abs=1e-6)
    for waveform in demo.values():
        assert abs(waveform.mean()) < 1e-4
        second_levels = np.sqrt(np.square(waveform[: 6 * 16000]).reshape(6, -1).mean(axis=1))
        assert second_levels.min() > 0.01


def test_the_first_note_of_the_verse_is_c5(demo):
    first = demo["greensleeves-1-verse-1"][:8000]
    assert abs(cents_off(first, 16000, frequency("C5"))) < 5


def test_other_rates_give_the_same_music(demo):
    slow = synthesise_demo(8000)
    for name, waveform in demo.items():
        assert len(slow[name]) == pytest.approx(len(waveform) / 2, rel=0.001)
