"""Real files of every format and of every kind of damage, each by name, against a reference where there is one."""

import os
import re
import shutil
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from seqgen_core.audio.files import SoundFile, UnreadableSoundError, probe, read_blocks, read_mono, write_wav
from seqgen_core.errors import SeqgenError

# name -> (decoded frames, least signal-to-noise ratio in dB against the reference; None is equality)
FORMATS = {
    "clip_16k.aiff": (48000, None),
    "clip_16k.au": (48000, 37),
    "clip_16k.flac": (48000, None),
    "clip_16k.mp3": (48000, 25),
    "clip_16k_aac.m4a": (48128, 29),
    "clip_16k_alaw.wav": (48000, 37),
    "clip_16k_f32.wav": (48000, None),
    "clip_16k_f64.wav": (48000, None),
    "clip_16k_imaadpcm.wav": (48816, 24),
    "clip_16k_mulaw.wav": (48000, 37),
    "clip_16k_s16.wav": (48000, None),
    "clip_16k_s16_extensible.wav": (48000, None),
    "clip_16k_s24.wav": (48000, None),
    "clip_16k_s32.wav": (48000, None),
    "clip_16k_u8.wav": (48000, 24),
    "clip_16k_vorbis.ogg": (48000, 22),
    "clip_44k_stereo.flac": (132300, None),
    "clip_44k_stereo.mp3": (132300, 21),
    "clip_44k_stereo_aac.m4a": (133120, 22),
    "clip_44k_stereo_s16.wav": (132300, None),
    "clip_44k_stereo_vorbis.ogg": (132300, 23),
    "clip_48k_opus.ogg": (144000, 0),
    "clip_48k_opus.webm": (144000, 0),
    "clip_48k_stereo_opus.opus": (144000, 0),
    "long_44k_stereo_20s.flac": (882000, None),
}

# name -> frames that are read and a word of the warning ("" for none), or None and a word of the reason
DAMAGED = {
    "all_nan_float.wav": (None, r"sample 0 \(at 0.0000 s\) is nan"),
    "clipped.wav": (48000, ""),
    "dc_offset_whale.wav": (48000, ""),
    "directory_named.wav": (None, "folder"),
    "eight_channels.wav": (16000, ""),
    "flac_named.mp3": (48000, ""),
    "huge_length_header.wav": (16000, "does not state the true length"),
    "junk_chunk_before_fmt.wav": (16000, ""),
    "mp3_named.wav": (48000, ""),
    "nan_inf_float.wav": (None, r"sample 1000 \(at 0.0625 s\) is nan"),
    "no_data_chunk.wav": (None, "No 'data' chunk"),
    "one_sample.wav": (1, ""),
    "over_range_float.wav": (48000, ""),
    "random_bytes.wav": (None, "no sound in a known format"),
    "rate_0_header.wav": (None, "cannot be decoded"),
    "rate_192k.wav": (192000, ""),
    "rate_1hz_header.wav": (None, "1 Hz"),
    "silent.wav": (48000, ""),
    "streaming_length_header.wav": (16000, "does not state the true length"),
    "text_named.wav": (None, "no sound in a known format"),
    "trailing_garbage.wav": (16000, ""),
    "truncated.flac": (12288, r"damaged: decoding stopped after 0.77 s of 3.00 s"),
    "truncated.mp3": (51887, r"cut short: 1.18 s of the 3.00 s"),
    "truncated_data.wav": (19187, r"cut short: 1.20 s of the 3.00 s"),
    "truncated_header.wav": (None, "Malformed 'fmt ' chunk"),
    "truncated_no_index.m4a": (None, "its beginning is damaged"),
    "truncated_vorbis.ogg": (39616, r"cut short: its last page is missing"),
    "two_and_half_samples.wav": (2, ""),
    "unknown_codec_tag.wav": (None, "cannot be decoded"),
    "zero_byte.mp3": (None, "empty"),
    "zero_byte.wav": (None, "empty"),
    "zero_channels_header.wav": (None, "Channel count is zero"),
    "zero_frames.wav": (None, "no samples"),
    "zero_length_header_with_data.wav": (16000, "states a length of 0"),
}


def read(path):
    with SoundFile(path) as sound:
        return np.concatenate(list(sound.blocks())), sound


def snr(reference, other):
    size = min(len(reference), len(other))
    noise = np.square(reference[:size] - other[:size], dtype=np.float64).sum()
    return 10 * np.log10(np.square(reference[:size], dtype=np.float64).sum() / noise)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_right(shared_data, name):
    folder = shared_data / "formats"
    frames, least = FORMATS[name]
    samples, sound = read(folder / name)
    assert samples.shape == (frames, 2 if "stereo" in name else 1)
    assert samples.dtype == np.float32
    assert not sound.warnings
    assert sound.info.rate == (44100 if "44k" in name else 48000 if "48k" in name else 16000)
    if name.startswith("long"):
        return
    reference = {44100: "clip_44k_stereo_s16.wav", 16000: "clip_16k_s16.wav"}.get(sound.info.rate)
    if reference is not None:
        expected = soundfile.read(folder / reference, dtype="float32", always_2d=True)[0]
        assert np.array_equal(samples, expected) if least is None else snr(expected, samples) >= least
    else:
        expected = read_mono(folder / "clip_16k_s16.wav", 16000)
        assert snr(expected[2000:-2000], read_mono(folder / name, 16000)[2000:-2000]) > 15


def test_the_tables_know_every_file(shared_data):
    folder = shared_data / "formats"
    assert {path.name for path in folder.iterdir() if path.is_file()} == set(FORMATS)
    assert {path.name for path in (folder / "bad").iterdir()} - {"names"} == set(DAMAGED)


@pytest.mark.parametrize("name", DAMAGED)
def test_every_damaged_file_has_the_outcome_that_was_decided(shared_data, name, capfd):
    frames, word = DAMAGED[name]
    path = shared_data / "formats" / "bad" / name
    if frames is None:
        with pytest.raises(UnreadableSoundError, match=word) as caught:
            read(path)
        assert str(path) in caught.value.got
        assert str(path) not in caught.value.reason
    else:
        samples, sound = read(path)
        assert len(samples) == frames
        assert len(sound.warnings) == bool(word)
        assert re.search(word, " ".join(sound.warnings))
    output = capfd.readouterr()
    assert output.out + output.err == "", "a decoder wrote to the terminal"


def test_what_is_left_of_a_cut_file_is_the_sound_itself(shared_data):
    bad = shared_data / "formats" / "bad"
    whole = read_mono(shared_data / "formats" / "clip_16k_s16.wav", 16000)
    assert np.array_equal(read(bad / "truncated.flac")[0][:, 0], whole[:12288])
    assert np.array_equal(read(bad / "truncated_data.wav")[0][:, 0], whole[:19187])


def test_every_awkward_name_works(shared_data):
    folder = shared_data / "formats" / "bad" / "names"
    names = sorted(folder.iterdir())
    assert len(names) == 21
    first = read_mono(names[0], 16000)
    assert len(first) == 4000
    for path in names:
        assert np.array_equal(read_mono(path, 16000), first), path.name
        assert probe(path).frames == 4000


def test_a_name_that_is_not_unicode_works(shared_data, tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.m4a"
    try:
        shutil.copyfile(shared_data / "formats" / "clip_16k_aac.m4a", raw)
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    path = Path(os.fsdecode(raw))
    assert len(read_mono(path, 16000)) == 48128
    Path(os.fsdecode(raw)).write_bytes(b"")
    with pytest.raises(UnreadableSoundError, match=r"caf\\udce9") as caught:
        read(path)
    caught.value.got.encode()


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(UnreadableSoundError, match="No such file"):
        probe(tmp_path / "nothing.wav")


def test_a_list_named_as_sound_opens_no_other_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav(Path("secret.wav"), np.ones(1000) / 2, 16000)
    Path("trap.wav").write_text("ffconcat version 1.0\nfile secret.wav\n")
    with open("trap.wav", "rb") as stream, av.open(stream, "r") as unguarded:
        assert sum(frame.samples for frame in unguarded.decode(audio=0)) == 1000  # the danger is real
    with pytest.raises(UnreadableSoundError):
        read(Path("trap.wav"))


def test_a_video_without_sound_is_refused(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(UnreadableSoundError, match="holds no sound"):
        read(path)


def test_blocks_are_bounded_and_join_to_the_whole(shared_data):
    path = shared_data / "formats" / "long_44k_stereo_20s.flac"
    blocks = list(read_blocks(path))
    assert max(map(len, blocks)) <= 65536 + 4096
    assert np.array_equal(np.concatenate(blocks), soundfile.read(path, dtype="float32")[0])


def test_mono_is_the_mean_of_the_channels(shared_data):
    path = shared_data / "formats" / "clip_44k_stereo_s16.wav"
    stereo = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_allclose(read_mono(path, 44100), stereo.mean(axis=1), atol=1e-7)


def test_wav_comes_back_exactly(tmp_path):
    samples = np.arange(-32768, 32768) / 32768
    write_wav(tmp_path / "new" / "x.wav", samples, 16000)
    assert np.array_equal(read_mono(tmp_path / "new" / "x.wav", 16000), samples.astype(np.float32))
    with wave.open(str(tmp_path / "new" / "x.wav")) as file:
        assert (file.getsampwidth(), file.getnchannels(), file.getframerate()) == (2, 1, 16000)


def test_wav_clamps_and_refuses_what_is_not_finite(tmp_path):
    write_wav(tmp_path / "x.wav", np.array([2.0, -2.0, 0.0]), 8000)
    np.testing.assert_allclose(read_mono(tmp_path / "x.wav", 8000), [32767 / 32768, -1, 0])
    before = (tmp_path / "x.wav").read_bytes()
    with pytest.raises(SeqgenError, match=r"sample 1 for .*x\.wav is nan"):
        write_wav(tmp_path / "x.wav", np.array([0, np.nan]), 8000)
    assert (tmp_path / "x.wav").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "x.wav"]


def test_sound_after_not_finite_samples_is_refused_wherever_they_are(tmp_path):
    samples = np.zeros((100_000, 2), np.float32)
    samples[99_000, 1] = np.inf
    soundfile.write(tmp_path / "x.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(UnreadableSoundError, match=r"sample 99000 \(at 6.1875 s\) is inf"):
        read(tmp_path / "x.wav")
