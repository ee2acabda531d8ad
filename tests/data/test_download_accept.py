"""The check of a file: every good format passes, and no cut one does, wherever it is cut."""

from pathlib import Path

import pytest
from download_help import sound

from seqgen_core.data.fetching.accept import examine
from seqgen_core.data.fetching.reasons import ItemError

KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", None),
]


def kind_of(path: Path, whole: bool = False) -> str:
    try:
        examine(path, whole=whole)
    except ItemError as error:
        return error.reason.kind
    return "sound"


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_complete_files_pass_and_cut_ones_do_not(tmp_path: Path, kind: str, subtype: str | None) -> None:
    body = sound(4.0, kind=kind, subtype=subtype)
    path = tmp_path / "x"
    path.write_bytes(body)
    assert examine(path).seconds == pytest.approx(4.0, abs=0.1)
    for share in (0.05, 0.3, 0.6, 0.9, 0.97):
        path.write_bytes(body[: int(len(body) * share)])
        assert kind_of(path) in ("truncated", "not-sound"), share


def test_mp4_and_webm(tmp_path: Path, shared_data: Path) -> None:
    for name in ("clip_44k_stereo_aac.m4a", "clip_48k_opus.webm"):
        body = (shared_data / "formats" / name).read_bytes()
        path = tmp_path / "x"
        path.write_bytes(body)
        assert examine(path, suffix=name.rpartition(".")[2]).suffix == name.rpartition(".")[2]
        for share in (0.3, 0.6, 0.9):
            path.write_bytes(body[: int(len(body) * share)])
            assert kind_of(path) == "truncated", (name, share)


def test_every_good_format_passes(shared_data: Path) -> None:
    for path in sorted((shared_data / "formats").glob("*.*")):
        if path.is_file():
            assert examine(path).suffix == path.suffix[1:].replace("opus", "ogg"), path.name


def test_bad_files_get_the_right_name(shared_data: Path) -> None:
    bad = shared_data / "formats" / "bad"
    expected = {
        "truncated_data.wav": "truncated",
        "truncated.mp3": "truncated",
        "truncated.flac": "truncated",
        "truncated_vorbis.ogg": "truncated",
        "truncated_no_index.m4a": "truncated",
        "zero_byte.wav": "not-sound",
        "text_named.wav": "not-sound",
        "random_bytes.wav": "not-sound",
        "unknown_codec_tag.wav": "not-sound",
        "zero_frames.wav": "no-samples",
        "huge_length_header.wav": "sound",
        "streaming_length_header.wav": "sound",
        "zero_length_header_with_data.wav": "sound",
        "trailing_garbage.wav": "sound",
        "flac_named.mp3": "sound",
    }
    assert {name: kind_of(bad / name) for name in expected} == expected


def test_a_confirmed_length_excuses_a_missing_end_mark(tmp_path: Path) -> None:
    body = sound(30.0, kind="OGG", subtype="VORBIS")
    page = body.rfind(b"OggS")
    path = tmp_path / "x.ogg"
    path.write_bytes(body[:page])  # a recorded radio stream ends at a page like this
    assert kind_of(path) == "truncated"
    assert kind_of(path, whole=True) == "sound"
