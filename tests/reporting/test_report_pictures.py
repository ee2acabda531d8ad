"""Pictures of a page: outlines, spectrograms, rolls, images, held to what they show."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from seqgen_core.reporting import pictures
from seqgen_core.reporting.pieces import FASTEST, SLOWEST, as_wav, content_of, sound_of_file
from seqgen_core.reporting.specimens import Image as Shown
from seqgen_core.settings.codec import AudioCodecSettings, NotesCodecSettings, PixelsCodecSettings, TextCodecSettings
from seqgen_core.streams import Stream

PAIR = re.compile(r"(\d+) (\d+)")


def opened(address):
    return Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))


def sine(hertz, rate, seconds, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def test_an_outline_reaches_as_high_as_the_sound():
    made = pictures.waves(np.concatenate([sine(50, 1000, 1, 0.25), sine(50, 1000, 1, 0.5)]), peak=0.5, seam=0.5)
    given = [(int(x), int(y)) for x, y in PAIR.findall(made.given)]
    new = [(int(x), int(y)) for x, y in PAIR.findall(made.new)]
    assert max(x for x, _ in given) == min(x for x, _ in new) == pictures.COLUMNS // 2
    assert (min(y for _, y in given), max(y for _, y in given)) == (50, 150)
    assert (min(y for _, y in new), max(y for _, y in new)) == (0, 200)


@pytest.mark.parametrize("length", [0, 1, 7, 10_001])
def test_an_outline_of_any_length(length):
    made = pictures.waves(np.ones(length, np.float32), peak=1.0)
    assert made.given == ""
    assert made.new.startswith("M0 ")
    assert {int(x) for x, _ in PAIR.findall(made.new)} >= {0, pictures.COLUMNS}


@pytest.mark.parametrize("rate", [300, 1000, 8000, 44100])
def test_a_spectrogram_is_brightest_where_the_tone_is(rate):
    hertz = rate / 8
    decibels = pictures.spectra(sine(hertz, rate, 1.0), rate)
    assert decibels.shape[0] <= pictures.FRAMES + 1
    picture = opened(pictures.spectrogram(decibels, top=float(decibels.max())))
    assert picture.size == decibels.shape
    bright = np.asarray(picture.convert("L"))[:, decibels.shape[0] // 2]
    place = np.log1p(hertz / 700) / np.log1p(rate / 2 / 700)  # on the mel scale, from below
    assert 1 - bright.argmax() / len(bright) == pytest.approx(place, abs=1.5 / len(bright) + 0.02)


def test_silence_is_dark():
    picture = opened(pictures.spectrogram(pictures.spectra(np.zeros(500, np.float32), 8000), top=-20.0))
    assert np.asarray(picture.convert("L")).max() == 0


def test_frequencies_stand_at_their_places_with_units():
    ticks = pictures.frequencies(16000)
    assert {"1 kHz", "4 kHz"} <= {tick.text for tick in ticks}
    places = [tick.place for tick in ticks]
    assert places == sorted(places, reverse=True)
    assert min(np.diff(places[::-1])) > 10
    assert "500 Hz" in {tick.text for tick in pictures.frequencies(8000)}


def test_a_roll_has_its_notes_parted_at_the_seam():
    codec = NotesCodecSettings(lowest=60, keys=12)
    roll = np.zeros((8, 12), np.uint8)
    roll[0:6, 0] = 1  # from before the seam to beyond it
    roll[4:8, 7] = 1
    span = pictures.key_span([roll], codec)
    made = pictures.roll_picture(roll, codec, span, seam=3)
    assert made.width == 80
    assert made.given.count("M") == 1
    assert made.new.count("M") == 2
    assert made.given.startswith("M0 ")
    assert [tick.text for tick in made.names] == ["C4", "C5"][: len(made.names)]
    rows = {int(y) // 10 for _, y in PAIR.findall(made.new)}
    assert rows == {span[1] - 1 - 0, span[1] - 1 - 7}


def test_a_silent_roll_has_a_picture():
    codec = NotesCodecSettings()
    roll = np.zeros((4, 88), np.uint8)
    made = pictures.roll_picture(roll, codec, pictures.key_span([roll], codec), 0)
    assert (made.given, made.new) == ("", "")
    assert made.height >= 240


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_itself(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    shown = np.asarray(opened(pictures.image_address(pixels)))
    assert np.array_equal(shown.reshape(pixels.shape), pixels)


@pytest.mark.parametrize(("rate", "played"), [(1000, SLOWEST), (16000, 16000), (96000, FASTEST)])
def test_sound_is_embedded_at_a_rate_that_browsers_play(rate, played):
    heard, found = soundfile.read(io.BytesIO(as_wav(sine(100, rate, 0.5), rate).data))
    assert found == played
    assert len(heard) == pytest.approx(0.5 * played, abs=2)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_file_that_browsers_play_is_embedded_as_it_is_and_others_are_not(tmp_path):
    codec = AudioCodecSettings(rate=8000)
    for name, same in (("a.wav", True), ("a.mp3", True), ("a.flac", False)):
        soundfile.write(tmp_path / name, sine(100, 8000, 0.5), 8000)
        sound = sound_of_file(tmp_path / name, codec, 0.2)
        assert (sound.recording.data == (tmp_path / name).read_bytes()) == same
        assert sound.recording.seconds == pytest.approx(0.5, abs=0.1)
        assert sound.seam == 0.2


def test_long_clips_are_cut_around_their_seam(tmp_path):
    soundfile.write(tmp_path / "long.wav", sine(100, 8000, 30), 8000)
    sound = sound_of_file(tmp_path / "long.wav", AudioCodecSettings(rate=8000), 10.0)
    assert (sound.seconds, sound.seam, sound.recording.seconds) == (12.0, 3.0, 12.0)


def test_tokens_become_what_they_stand_for():
    words = TextCodecSettings(kind="words", vocabulary=("<eos>", "a", "b"))
    text = content_of(Stream("", np.array([1, 2, 1, 2]), given=2), words)
    assert (text.given, text.new) == ("a b ", "a b")
    pixels = PixelsCodecSettings(height=3, width=2, levels=2)
    image = content_of(Stream("", np.array([0, 1, 1, 0, 0, 1, 1]), given=5), pixels)
    assert isinstance(image, Shown)
    assert image.given == 2
    assert image.pixels[..., 0].tolist() == [[255, 255], [0, 0], [255, 255]]
