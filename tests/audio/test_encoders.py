"""Sound files that are written: exact to their depth or so near that nobody hears it, with words about themselves."""

import contextlib
import errno
import io
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
import soundfile

from seqgen_core.audio import encoders
from seqgen_core.audio.encoders import Encoding, Tags, write_sound
from seqgen_core.audio.files import SoundFile, read_mono
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.generate import SoundFormat


def tune(rate, seconds=0.6):
    """A chord that swells and dies away, up to 0.96 loud."""
    time = np.arange(int(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 277.2, min(900, rate / 5)))
    return 0.32 * chord * np.sin(np.pi * time / seconds)


def read_back(path, rate):
    with SoundFile(path) as sound:
        assert list(sound.blocks())
        assert sound.warnings == []
    return read_mono(path, rate).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "step"), [("wav", 2.0**-15), ("flac", 2.0**-15), ("wav24", 2.0**-23), ("float", 2.0**-24)]
)
def test_what_is_written_comes_back_to_its_depth(tmp_path, name, step):
    encoding = Encoding(name)
    sound, path = tune(22050), tmp_path / f"x.{encoding.suffix}"
    write_sound(path, sound, 22050, encoding)
    back = read_back(path, 22050)
    assert np.abs(back - sound).max() <= step / 2 * 1.01
    again = tmp_path / f"again.{encoding.suffix}"
    write_sound(again, back, 22050, encoding)
    np.testing.assert_array_equal(read_back(again, 22050), back)


@pytest.mark.parametrize(
    ("name", "rate", "bitrate", "decibels"),
    [
        ("mp3", 8000, None, 40),
        ("mp3", 16000, None, 40),
        ("mp3", 22050, 40, 25),
        ("mp3", 44100, 192, 45),
        ("mp3", 48000, 320, 45),
        ("opus", 8000, None, 20),
        ("opus", 16000, None, 20),
        ("opus", 22050, None, 20),
        ("opus", 48000, 128, 20),
    ],
)
def test_what_is_lost_is_little(tmp_path, name, rate, bitrate, decibels):
    encoding = Encoding(name, bitrate)
    sound, path = tune(rate), tmp_path / f"x.{encoding.suffix}"
    write_sound(path, sound, rate, encoding)
    back = read_back(path, rate)
    assert abs(len(back) - len(sound)) <= 1
    back = back[: len(sound)]
    noise = back - sound[: len(back)]
    assert 10 * np.log10(np.mean(sound**2) / np.mean(noise**2)) > decibels
    assert float(back @ sound[: len(back)] / (sound @ sound)) == pytest.approx(1, abs=0.01)  # as loud as it was
    assert path.stat().st_size < 0.7 * 2 * len(sound) + 4000


@pytest.mark.parametrize("name", get_args(SoundFormat))
def test_pieces_make_the_same_file_as_the_whole(tmp_path, name):
    sound = tune(16000)
    encoding = Encoding(name)
    write_sound(tmp_path / "whole", sound, 16000, encoding)
    pieces = (sound[first : first + 777] for first in range(0, len(sound), 777))
    write_sound(tmp_path / "pieces", pieces, 16000, encoding)
    whole, by_pieces = (read_mono(tmp_path / which, 16000) for which in ("whole", "pieces"))
    np.testing.assert_allclose(by_pieces, whole, atol=1e-6)


@pytest.mark.parametrize("name", get_args(SoundFormat))
def test_a_file_says_what_it_is(tmp_path, name):
    path = tmp_path / f"x.{Encoding(name).suffix}"
    tags = Tags("mélodie, clip 3", "seqgen 9.9", "run mélodie, step 500, seed 0, clip 3")
    write_sound(path, tune(8000, 0.1), 8000, Encoding(name), tags)
    with av.open(str(path)) as file:
        said = {key.lower(): text for key, text in {**file.metadata, **file.streams[0].metadata}.items()}
    assert said["title"] == tags.title
    assert said["comment"] == tags.comment
    assert any(text.startswith("seqgen 9.9") for text in said.values())
    assert len(read_back(path, 8000)) == 800


def test_rates_that_an_encoder_does_not_know_go_up():
    assert [Encoding("opus").rate(rate) for rate in (1000, 8000, 22050, 44100, 96000)] == [
        8000, 8000, 24000, 48000, 48000,
    ]  # fmt: skip
    assert [Encoding("mp3").rate(rate) for rate in (1000, 22050, 96000)] == [8000, 22050, 48000]
    assert Encoding("flac").rate(12345) == 12345


def test_what_cannot_be_meant(tmp_path):
    with pytest.raises(UsageError, match="bitrate = 64 is of mp3 and opus, not of wav24"):
        Encoding("wav24", 64).check(16000)
    with pytest.raises(UsageError, match="bitrate = 320 kbit/s; mp3 at 16000 Hz takes 8 to 160"):
        write_sound(tmp_path / "x.mp3", np.zeros(9), 16000, Encoding("mp3", 320))
    for name in ("flac", "mp3", "opus"):
        with pytest.raises(SeqgenError, match=r"sample 12 for .* is nan"):
            write_sound(tmp_path / "x", iter([np.zeros(10), np.array([0, 0, np.nan])]), 8000, Encoding(name))
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_loud_is_clamped_but_in_floats(tmp_path):
    loud = 2 * tune(8000)
    for name, most in (("wav", 1), ("wav24", 1), ("flac", 1), ("float", np.abs(loud).max())):
        write_sound(tmp_path / "x", loud, 8000, Encoding(name))
        assert np.abs(soundfile.read(tmp_path / "x")[0]).max() == pytest.approx(most, abs=1e-4)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus"])
def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch, capfd, name):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > 3000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(encoders, "written_atomically", lambda path: contextlib.nullcontext(Full()))
    noise = np.random.default_rng(0).uniform(-1, 1, 60000)
    with pytest.raises(OSError, match=r"No space left on device: '.*x'") as caught:
        write_sound(
            tmp_path / "x", (noise[first : first + 9999] for first in range(0, 60000, 9999)), 16000, Encoding(name)
        )
    assert caught.value.errno == errno.ENOSPC
    assert capfd.readouterr().err == ""


def test_a_disk_that_is_found_full_in_a_seek_is_one_clear_error(tmp_path, monkeypatch, capfd):
    class Full(io.BytesIO):
        def seek(self, offset, whence=0):
            if len(self.getvalue()) > 1000:  # what was held back is written now
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().seek(offset, whence)

    monkeypatch.setattr(encoders, "written_atomically", lambda path: contextlib.nullcontext(Full()))
    with pytest.raises(OSError, match=r"No space left on device: '.*x'"):
        write_sound(tmp_path / "x", np.random.default_rng(0).uniform(-1, 1, 9000), 16000, Encoding("flac"))
    assert capfd.readouterr().err == ""


def test_two_channels_where_nothing_is_lost(tmp_path):
    both = np.stack([tune(8000), -tune(8000)], axis=1)
    write_sound(tmp_path / "x.flac", both, 8000, Encoding("flac"))
    np.testing.assert_allclose(soundfile.read(tmp_path / "x.flac")[0], both, atol=2**-16)
    with pytest.raises(ValueError, match="mp3 and opus are written from"):
        write_sound(Path(tmp_path / "x.mp3"), both, 8000, Encoding("mp3"))


@pytest.mark.parametrize(("name", "size"), [("wav", 2), ("wav24", 3), ("float", 4)])
def test_what_a_wav_file_cannot_hold_is_rf64(tmp_path, monkeypatch, name, size):
    monkeypatch.setattr(encoders, "RIFF_LIMIT", 1000 * size)
    sound, path = tune(8000, 1001.5 / 8000), tmp_path / "x.wav"
    assert len(sound) == 1001
    write_sound(path, sound[:1000], 8000, Encoding(name))
    assert path.read_bytes()[:4] == b"RIFF"
    write_sound(path, iter([sound[:500], sound[500:]]), 8000, Encoding(name), Tags("a title"), length=1001)
    assert path.read_bytes()[:4] == b"RF64"
    np.testing.assert_allclose(read_back(path, 8000), sound, atol=2.0**-15)
    assert soundfile.SoundFile(path).copy_metadata()["title"] == "a title"
    with pytest.raises(SeqgenError, match=r"holds 1,000 samples of \d bytes; here are more") as caught:
        write_sound(path, iter([sound[:500], sound[500:]]), 8000, Encoding(name))
    assert "flac" in caught.value.hint
