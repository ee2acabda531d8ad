"""The prepared folder: what is written is read, and every kind of damage is named."""

import json
import pickle

import numpy as np
import pytest

from seqgen_core.data import store, writer
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter, entropy_bits
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import AudioCodecSettings


def write(path, levels=256, lengths=(1000, 70, 30)):
    random = np.random.default_rng(0)
    streams = [random.integers(0, levels, length) for length in lengths]
    with PreparedWriter(path, AudioCodecSettings(levels=levels)) as build:
        for number, (stream, split) in enumerate(zip(streams, store.SPLITS, strict=True)):
            build.add(stream, origin=f"file {number}", split=split, label=number)
        build.finish(label_names=("a", "b", "c"))
    return streams


@pytest.mark.parametrize(("levels", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16), (65536, np.uint16)])
def test_tokens_come_back_in_the_narrowest_type(tmp_path, levels, dtype):
    streams = write(tmp_path / "p", levels)
    data = PreparedData.open(tmp_path / "p")
    for stream, split in zip(streams, store.SPLITS, strict=True):
        (item,) = data.items(split)
        tokens = data.tokens(item)
        assert tokens.dtype == dtype
        assert np.array_equal(tokens, stream)
    data.verify()
    assert data.manifest.tokens.values == levels
    assert data.manifest.label_names == ("a", "b", "c")


def test_tokens_are_mapped_not_loaded_and_read_only(tmp_path):
    write(tmp_path)
    data = PreparedData.open(tmp_path)
    tokens = data.tokens(data.items("train")[0])
    assert isinstance(tokens, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_pickled_data_carries_no_tokens(tmp_path):
    write(tmp_path)
    data = PreparedData.open(tmp_path)
    (item,) = data.items("train")
    data.tokens(item)
    copy = pickle.loads(pickle.dumps(data))
    assert len(pickle.dumps(data)) < 4000 < item.length * 8
    assert np.array_equal(copy.tokens(item), data.tokens(item))


def test_shards_are_rotated_and_items_stay_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_BYTES", 100)
    with PreparedWriter(tmp_path, AudioCodecSettings()) as build:
        streams = [np.full(60, number) for number in range(10)]
        for number, stream in enumerate(streams):
            build.add(stream, origin=str(number), split="train")
        build.finish()
    data = PreparedData.open(tmp_path)
    assert len({item.shard for item in data.manifest.items}) == 5
    for item, stream in zip(data.items("train"), streams, strict=True):
        assert np.array_equal(data.tokens(item), stream)


def test_order0_counts_training_tokens_alone(tmp_path):
    with PreparedWriter(tmp_path, AudioCodecSettings()) as build:
        build.add(np.array([3, 3, 7, 7]), origin="a", split="train")
        build.add(np.array([1, 2, 5, 9]), origin="b", split="test")
        assert build.finish().order0_bits == 1.0


def test_order0_is_absent_without_training_tokens(tmp_path):
    with PreparedWriter(tmp_path, AudioCodecSettings()) as build:
        build.add(np.array([3]), origin="a", split="test")
        assert build.finish().order0_bits is None


def test_entropy_of_known_histograms():
    assert entropy_bits(np.full(256, 5)) == 8.0
    assert entropy_bits(np.array([10, 0])) == 0.0
    assert entropy_bits(np.array([1, 3])) == pytest.approx(0.8112781244591328)


def test_an_unfinished_build_leaves_the_old_data(tmp_path):
    streams = write(tmp_path)
    before = sorted(file.name for file in tmp_path.iterdir())
    with PreparedWriter(tmp_path, AudioCodecSettings(levels=16)) as build:
        build.add(np.zeros(9, np.uint8), origin="x", split="train")
        assert len(list(tmp_path.glob("*.bin"))) == 2
        data = PreparedData.open(tmp_path)
        assert np.array_equal(data.tokens(data.items("train")[0]), streams[0])
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    PreparedData.open(tmp_path).verify()


def test_a_new_build_removes_the_old_shards(tmp_path):
    write(tmp_path)
    write(tmp_path, levels=16)
    assert len(list(tmp_path.glob("*.bin"))) == 1
    PreparedData.open(tmp_path).verify()


def test_a_token_outside_the_codec_is_refused(tmp_path):
    with (
        PreparedWriter(tmp_path, AudioCodecSettings(levels=16)) as build,
        pytest.raises(SeqgenError, match="token 16 of x does not exist with 16 values"),
    ):
        build.add(np.array([3, 16]), origin="x", split="train")


def test_no_data_names_the_command(tmp_path):
    with pytest.raises(SeqgenError, match="no prepared data") as caught:
        PreparedData.open(tmp_path / "nowhere")
    assert "seqgen preprocess" in caught.value.hint


def test_unknown_version_is_named(tmp_path):
    write(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 99}))
    with pytest.raises(SeqgenError, match="version 99"):
        PreparedData.open(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(SeqgenError, match="not a manifest"):
        PreparedData.open(tmp_path)


def test_a_damaged_manifest_names_the_place(tmp_path):
    write(tmp_path)
    manifest = tmp_path / "manifest.json"
    content = json.loads(manifest.read_text())
    content["items"][1]["length"] = "long"
    manifest.write_text(json.dumps(content))
    with pytest.raises(SeqgenError, match=r"damaged at items\.1\.length"):
        PreparedData.open(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    write(tmp_path)
    (shard,) = tmp_path.glob("*.bin")
    shard.unlink()
    with pytest.raises(SeqgenError, match=shard.name):
        PreparedData.open(tmp_path)


def test_a_short_shard_is_named(tmp_path):
    write(tmp_path)
    (shard,) = tmp_path.glob("*.bin")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SeqgenError, match="has 1099 bytes"):
        PreparedData.open(tmp_path)


def test_verify_finds_a_flipped_bit(tmp_path):
    write(tmp_path)
    (shard,) = tmp_path.glob("*.bin")
    content = bytearray(shard.read_bytes())
    content[1010] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SeqgenError, match="the tokens of file 1"):
        PreparedData.open(tmp_path).verify()


def test_verify_looks_at_the_split_that_it_is_asked_for(tmp_path):
    write(tmp_path)
    (shard,) = tmp_path.glob("*.bin")
    content = bytearray(shard.read_bytes())
    content[1010] ^= 1  # of the valid split
    shard.write_bytes(content)
    data = PreparedData.open(tmp_path)
    data.verify("train")
    data.verify("test")
    with pytest.raises(SeqgenError, match="the tokens of file 1"):
        data.verify("valid")
    assert [data.token_size(split) for split in (None, *store.SPLITS)] == [1100, 1000, 70, 30]


def test_data_prepared_anew_while_they_are_read(tmp_path):
    """What is open stays; a shard that is opened too late is told of in words."""
    streams = write(tmp_path)
    early, late = PreparedData.open(tmp_path), PreparedData.open(tmp_path)
    (item,) = early.items("train")
    early.tokens(item)
    write(tmp_path, levels=16)
    assert np.array_equal(early.tokens(item), streams[0])
    with pytest.raises(SeqgenError, match=r"\.bin is gone or was cut since .* was opened: it was prepared anew"):
        late.tokens(item)
