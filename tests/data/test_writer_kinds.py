"""Prepared data of every sort of token: vectors, images, what is given, features."""

import math
import pickle

import numpy as np
import pytest

from seqgen_core.data import writer
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)
from seqgen_core.settings.features import MelSettings

ROLL = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]])
MEL = MelSettings(rate=1000, bands=2, hop=10, window=40)


def write_rolls(path, *rolls, given=1):
    with PreparedWriter(path, NotesCodecSettings(keys=3)) as build:
        for number, roll in enumerate(rolls):
            build.add(roll, origin=f"roll {number}", split="train", given=given)
        build.finish()
    return PreparedData.open(path)


def write_told(path, frames=((4, 1.0), (2, 5.0)), features=MEL):
    """Recordings of 30 tokens each with so many frames that begin with a number."""
    with PreparedWriter(path, AudioCodecSettings(rate=1000, levels=16), features) as build:
        for number, (count, start) in enumerate(frames):
            rows = start + np.arange(count * 2).reshape(count, 2)
            build.add(np.full(30, number), origin=str(number), split="train", frames=rows if count else None)
        build.finish()
    return PreparedData.open(path)


@pytest.mark.parametrize(
    ("codec", "shape", "dtype"),
    [
        (AudioCodecSettings(kind="pcm16"), (50,), np.uint16),
        (TextCodecSettings(vocabulary=tuple("abcdef")), (50,), np.uint8),
        (TextCodecSettings(kind="words", vocabulary=tuple(map(str, range(300)))), (50,), np.uint16),
        (NotesCodecSettings(keys=5), (50, 5), np.uint8),
        (PixelsCodecSettings(height=7, width=7, levels=4), (50,), np.uint8),
    ],
    ids=str,
)
def test_tokens_of_every_sort_come_back(tmp_path, codec: CodecSettings, shape, dtype):
    rng = np.random.default_rng(0)
    streams = [rng.integers(0, codec.tokens.values, (length, *shape[1:])) for length in (shape[0], 3)]
    with PreparedWriter(tmp_path, codec) as build:
        for number, stream in enumerate(streams):
            build.add(stream, origin=str(number), split="train", given=1 + number, label=number)
        build.finish(label_names=("a", "b"))
    data = PreparedData.open(tmp_path)
    assert (data.manifest.codec, data.manifest.tokens) == (codec, codec.tokens)
    for number, (item, stream) in enumerate(zip(data.items("train"), streams, strict=True)):
        tokens = data.tokens(item)
        assert (tokens.shape, tokens.dtype) == (stream.shape, dtype)
        assert np.array_equal(tokens, stream)
        whole = data.stream(item)
        assert (whole.origin, whole.label, whole.given, whole.features) == (str(number), number, 1 + number, None)
        assert np.array_equal(whole.tokens, stream)
        assert np.array_equal(data.stream(item, 2).tokens, stream[:2])
    data.verify()


def test_vectors_are_kept_a_byte_a_place_and_shards_rotate(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_BYTES", 15)
    data = write_rolls(tmp_path, ROLL, ROLL[:2], ROLL)
    assert sum(file.stat().st_size for file in tmp_path.glob("*.bin")) == 10 * 3
    assert [item.offset for item in data.items("train")] == [0, 4, 0]
    for item, roll in zip(data.items("train"), (ROLL, ROLL[:2], ROLL), strict=True):
        assert np.array_equal(data.tokens(item), roll)


def test_order0_of_vectors_sums_over_their_places(tmp_path):
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    # three of four frames have the first key, half have the second, none the third
    assert write_rolls(tmp_path, ROLL).manifest.order0_bits == pytest.approx(quarter + 1 + 0)


@pytest.mark.parametrize(
    "tokens", [np.zeros((0, 3), int), np.zeros(3, int), np.zeros((4, 2), int), np.zeros((2, 3, 1), int)]
)
def test_arrays_of_another_shape_are_faults(tmp_path, tokens):
    with PreparedWriter(tmp_path, NotesCodecSettings(keys=3)) as build, pytest.raises(ValueError, match="of shape"):
        build.add(tokens, origin="x", split="train")


def test_a_vector_of_anything_but_ones_is_refused(tmp_path):
    with pytest.raises(SeqgenError, match="token 2 of roll 0 does not exist with 2 values"):
        write_rolls(tmp_path, ROLL * 2)


def test_the_hash_tells_what_training_would_read(tmp_path):
    same, again = write_rolls(tmp_path / "a", ROLL), write_rolls(tmp_path / "b", ROLL)
    assert same.content_hash() == again.content_hash()
    others = [
        write_rolls(tmp_path / "c", ROLL[::-1]),
        write_rolls(tmp_path / "d", ROLL, given=2),
        write_rolls(tmp_path / "e", ROLL, ROLL),
    ]
    assert len({data.content_hash() for data in [same, *others]}) == 4
    told = [
        write_told(tmp_path / "f"),
        *(write_told(tmp_path / name, features=MEL.model_copy(update={name: 30})) for name in ("hop", "window")),
        write_told(tmp_path / "h", ((0, 0),), features=None),
    ]
    assert len({data.content_hash() for data in told}) == 4


def test_features_come_back_at_the_rate_of_the_tokens(tmp_path):
    data = write_told(tmp_path)
    first, second = data.items("train")
    assert (data.manifest.features, first.frames, second.features_offset) == (MEL, 4, 4)
    frames = data.frames(second)
    assert frames is not None
    assert frames.dtype == np.float32
    assert frames.tolist() == [[5, 6], [7, 8]]
    told = data.stream(second).features
    assert told is not None
    assert len(told) == 30
    assert told[np.array([0, 5, 10, 29])].tolist() == [[5, 6], [6, 7], [7, 8], [7, 8]]
    cut = data.stream(first, 12).features
    assert cut is not None
    assert len(cut) == 12
    assert len(pickle.dumps(data)) < 4000  # no map of the data goes along


def test_a_recording_may_lack_features(tmp_path):
    data = write_told(tmp_path, ((2, 1.0), (0, 0), (1, 9.0)))
    streams = [data.stream(item) for item in data.items("train")]
    assert [stream.features is None for stream in streams] == [False, True, False]
    assert streams[2].features[np.array([0])].tolist() == [[9, 10]]


@pytest.mark.parametrize("frames", [np.zeros((3, 4)), np.zeros(3), np.zeros((0, 2))])
def test_features_of_another_shape_are_faults(tmp_path, frames):
    codec = AudioCodecSettings(rate=1000)
    with PreparedWriter(tmp_path, codec, MEL) as build, pytest.raises(ValueError, match="features of shape"):
        build.add(np.zeros(9, int), origin="x", split="train", frames=frames)


def test_missing_or_short_features_are_named(tmp_path):
    data = write_told(tmp_path)
    file = tmp_path / data.manifest.features_file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SeqgenError, match=r"features-.*\.bin has 47 bytes; .*manifest\.json needs 48"):
        PreparedData.open(tmp_path)
    file.unlink()
    with pytest.raises(SeqgenError, match=r"features-.*\.bin is missing"):
        PreparedData.open(tmp_path)


def test_an_unfinished_build_leaves_the_old_data_and_nothing_else(tmp_path):
    write_told(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with PreparedWriter(tmp_path, AudioCodecSettings(rate=1000), MEL) as build:
        build.add(np.zeros(9, int), origin="x", split="train", frames=np.ones((1, 2)))
        assert len(list(tmp_path.glob("*.bin"))) == 4
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    empty = tmp_path / "empty"
    with pytest.raises(SeqgenError), PreparedWriter(empty, NotesCodecSettings(keys=3)) as build:
        build.add(ROLL * 2, origin="x", split="train")
    assert list(empty.iterdir()) == []


def test_a_new_build_removes_the_old_features_and_what_a_kill_left(tmp_path):
    write_told(tmp_path)
    (tmp_path / "features-deadbeef.bin").write_bytes(b"left")
    data = write_told(tmp_path, ((3, 0.0),))
    assert {file.name for file in tmp_path.glob("features-*")} == {data.manifest.features_file}
    write_rolls(tmp_path, ROLL)
    assert not list(tmp_path.glob("features-*"))


def test_order0_is_of_what_is_predicted(tmp_path):
    """A task's answer would drown in what is given."""
    with PreparedWriter(tmp_path, TextCodecSettings(vocabulary=tuple("abcd"))) as build:
        build.add(np.array([0] * 50 + [1, 2, 3, 1]), origin="a", split="train", given=50)
        build.add(np.array([0] * 50 + [2, 3, 1, 2]), origin="b", split="train", given=50)
        build.add(np.array([0] * 50), origin="all of it is given", split="train", given=50)
        assert build.finish().order0_bits == pytest.approx(-(6 * math.log2(3 / 8) + 2 * math.log2(2 / 8)) / 8)
