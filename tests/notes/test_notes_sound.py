"""Rolls as sound: in tune, in time, below full scale, and without clicks where notes end."""

import numpy as np
import pytest

from seqgen_core.notes.sound import PEAK, RELEASE, render_sound
from seqgen_core.settings.codec import NotesCodecSettings

PIANO = NotesCodecSettings()
RATE = 16000


def held(number: int, frames: int = 8) -> np.ndarray:
    roll = np.zeros((frames, 88), np.uint8)
    roll[:, number - 21] = 1
    return roll


@pytest.mark.parametrize("number", [33, 45, 60, 69, 81, 96])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_notes_are_in_tune(number, rate):
    waveform = render_sound(held(number), PIANO, rate)
    hertz = 440 * 2 ** ((number - 69) / 12)
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 4 * len(waveform)))
    frequencies = np.fft.rfftfreq(4 * len(waveform), 1 / rate)
    near = np.flatnonzero(np.abs(frequencies / hertz - 1) < 0.03)
    heard = frequencies[near[spectrum[near].argmax()]]
    # half a bin, and the little by which a stiff string is sharp
    assert abs(heard - hertz) < 0.5 * frequencies[1] + 2e-4 * hertz


def test_notes_sound_while_they_are_held():
    roll = np.zeros((12, 88), np.uint8)
    roll[4:8, 39] = 1
    waveform = render_sound(roll, PIANO, RATE)
    assert waveform.dtype == np.float32
    assert len(waveform) == 3 * RATE + round(RELEASE * RATE)
    assert not waveform[:RATE].any()
    assert np.abs(waveform[RATE : 2 * RATE]).max() > 0.05
    assert not waveform[2 * RATE + round(RELEASE * RATE) :].any()


@pytest.mark.parametrize("number", [24, 60, 72, 96])
def test_nothing_clicks(number):
    roll = held(number, 12)
    roll[[0, 1, 6, 10, 11]] = 0
    waveform = render_sound(roll, PIANO, RATE).astype(np.float64)
    bends = np.abs(np.diff(waveform, 2))  # a click is a jump, which shows here as no string's vibration does
    before = bends[5 * RATE // 4 : 6 * RATE // 4].max()  # while the key is held
    for end in (6, 10):
        at = end * RATE // 4
        assert bends[at - 10 : at + round(RELEASE * RATE) + 10].max() <= before


def test_every_key_at_once_stays_below_full_scale():
    waveform = render_sound(np.ones((4, 88), np.uint8), PIANO, RATE)
    assert np.abs(waveform).max() == pytest.approx(PEAK)


def test_a_quiet_roll_is_not_turned_up():
    one = render_sound(held(60), PIANO, RATE)
    both = render_sound(held(60) | held(64), PIANO, RATE)
    assert np.abs(one).max() < 0.3
    assert np.abs(both - render_sound(held(64), PIANO, RATE) - one).max() < 1e-5


@pytest.mark.parametrize("frames", [0, 5])
def test_silence_is_silent(frames):
    waveform = render_sound(np.zeros((frames, 88)), PIANO, RATE)
    assert len(waveform) == frames * RATE // 4 + round(RELEASE * RATE)
    assert not waveform.any()


def test_notes_above_the_rate_do_not_fold_back():
    assert not render_sound(held(108), PIANO, 8000).any()
