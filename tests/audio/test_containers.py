"""What the bytes of a file say about its kind and its end."""

import numpy as np
import pytest
import soundfile

from seqgen_core.audio.containers import (
    WavData,
    looks_like_sound,
    mp3_states_its_length,
    ogg_lacks_its_end,
    starts_like_mp3,
    wav_data,
)


def test_the_data_chunk_of_wav_files(shared_data, tmp_path):
    bad = shared_data / "formats" / "bad"
    assert wav_data(shared_data / "formats" / "clip_16k_s16.wav") == WavData(96000, 96000)
    assert wav_data(bad / "truncated_data.wav") == WavData(96000, 38375)
    assert wav_data(bad / "junk_chunk_before_fmt.wav") == WavData(32000, 32000)
    assert wav_data(bad / "trailing_garbage.wav") == WavData(32000, 32000)
    assert wav_data(bad / "streaming_length_header.wav") == WavData(None, 32000)
    assert wav_data(bad / "huge_length_header.wav") == WavData(None, 32000)
    for name in ("no_data_chunk.wav", "zero_byte.wav", "truncated_header.wav", "flac_named.mp3"):
        assert wav_data(bad / name) is None
    soundfile.write(tmp_path / "long.wav", np.zeros(500), 16000, format="RF64", subtype="PCM_16")
    assert wav_data(tmp_path / "long.wav") == WavData(1000, 1000)


@pytest.mark.parametrize("keep", [1.0, 0.999, 0.7, 0.3, 0.01])
@pytest.mark.parametrize("name", ["clip_16k_vorbis.ogg", "clip_48k_opus.ogg", "clip_48k_stereo_opus.opus"])
def test_an_ogg_without_its_last_page_is_known(shared_data, tmp_path, name, keep):
    whole = (shared_data / "formats" / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: round(keep * len(whole))])
    assert ogg_lacks_its_end(path) == (keep < 1)


def test_other_files_lack_no_ogg_page(shared_data):
    assert not ogg_lacks_its_end(shared_data / "formats" / "clip_16k.flac")


def test_mp3_is_known_by_its_first_bytes(shared_data, tmp_path):
    formats = shared_data / "formats"
    for name in ("clip_16k.mp3", "clip_44k_stereo.mp3", "bad/mp3_named.wav", "bad/truncated.mp3"):
        assert starts_like_mp3(formats / name)
        assert mp3_states_its_length(formats / name)
    for name in ("bad/flac_named.mp3", "bad/zero_byte.mp3", "clip_16k_s16.wav"):
        assert not starts_like_mp3(formats / name)
    (tmp_path / "adts.aac").write_bytes(b"\xff\xf1\x50\x80")
    assert not starts_like_mp3(tmp_path / "adts.aac")


def test_suffix_or_content_makes_it_sound(tmp_path):
    (tmp_path / "a.WAV").write_bytes(b"text")
    (tmp_path / "b").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    (tmp_path / "c").write_bytes(b"RIFF\0\0\0\0AVI LIST")
    (tmp_path / "d.txt").write_bytes(b"")
    assert [looks_like_sound(tmp_path / name) for name in ("a.WAV", "b", "c", "d.txt")] == [True, True, False, False]
