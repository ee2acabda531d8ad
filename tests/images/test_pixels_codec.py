"""Pixels as tokens: exact return trips for every number of levels, even ranges, primes from files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqgen_core.errors import SeqgenError, ShapeError, UsageError
from seqgen_core.images.codec import PixelsCodec
from seqgen_core.images.files import write_png
from seqgen_core.settings.codec import PixelsCodecSettings
from seqgen_core.settings.tokens import PixelTokens


def codec(height: int = 4, width: int = 3, channels: int = 1, levels: int = 256) -> PixelsCodec:
    return PixelsCodec(PixelsCodecSettings(height=height, width=width, channels=channels, levels=levels))


def noise(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(2, 256), st.integers(0, 99))
def test_tokens_survive_decoding_and_encoding(height, width, channels, levels, seed):
    one = codec(height, width, channels, levels)
    tokens = np.random.default_rng(seed).integers(0, levels, one.length)
    tokens[0] = 0
    image = one.decode(tokens)
    assert (image.dtype, image.shape) == (np.uint8, (height, width, channels))
    assert np.array_equal(one.encode(image), tokens)


@pytest.mark.parametrize("levels", range(2, 257))
def test_every_level_has_its_share_of_the_intensities(levels):
    one = codec(1, 256, 1, levels)
    tokens = one.encode(np.arange(256, dtype=np.uint8).reshape(1, 256, 1))
    shares = np.bincount(tokens[1:], minlength=levels)
    assert set(shares) <= {256 // levels, -(-256 // levels)}
    shown = one.decode(np.concatenate([[0], np.arange(levels)])[: one.length]).reshape(-1)[:levels].astype(int)
    assert (shown[0], shown[-1]) == (0, 255)
    assert (np.diff(shown) > 0).all()
    even = 255 * np.arange(levels) / (levels - 1)
    assert np.abs(shown - even).max() <= 1


def test_all_intensities_are_kept_by_256_levels():
    image = noise(4, 3, 3)
    one = codec(4, 3, 3)
    assert np.array_equal(one.decode(one.encode(image)), image)


def test_tokens_are_in_raster_order_behind_a_first_that_says_nothing():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert codec(2, 2, 3).encode(image).tolist() == [0, *range(12)]


def test_what_the_codec_states_of_itself():
    one = codec(4, 3, 3, levels=8)
    assert one.tokens == PixelTokens(height=4, width=3, channels=3, levels=8)
    assert one.length == one.tokens.length == 37
    assert one.encode(noise(4, 3, 3)).dtype == np.uint8
    assert (one.start.shape, one.start.dtype, int(one.start)) == ((), np.int64, 0)


def test_what_is_missing_is_grey():
    one = codec(2, 2, levels=2)
    assert one.decode([0, 1, 0]).reshape(-1).tolist() == [255, 0, 128, 128]
    assert one.decode([0]).reshape(-1).tolist() == [128] * 4


@pytest.mark.parametrize("tokens", [[0, 2], [0, -1], [0, 0, 0, 0, 0, 0]])
def test_tokens_that_no_image_has_are_refused(tokens):
    with pytest.raises(SeqgenError):
        codec(2, 2, levels=2).decode(tokens)


@pytest.mark.parametrize("image", [noise(3, 4, 1), noise(4, 3, 3), noise(4, 3, 1).astype(np.float32)])
def test_images_of_another_shape_are_refused(image):
    with pytest.raises(ShapeError):
        codec(4, 3, 1).encode(image)


@pytest.mark.parametrize(("rows", "length"), [(None, 1 + 2 * 3), (0, 1), (1, 1 + 3), (4, 1 + 12)])
def test_a_prime_is_the_first_rows_of_a_file(tmp_path: Path, rows, length):
    image = noise(4, 3, 1)
    write_png(tmp_path / "x.png", image)
    prime = codec().read(tmp_path / "x.png", rows)
    assert np.array_equal(prime, codec().encode(image)[:length])


@pytest.mark.parametrize(("of_file", "of_codec"), [(3, 1), (1, 3)])
def test_a_prime_takes_the_colours_of_the_codec(tmp_path: Path, of_file, of_codec):
    image = np.repeat(noise(4, 3, 1), of_file, axis=2)  # a grey image, however it is stored
    write_png(tmp_path / "x.png", image)
    shown = codec(4, 3, of_codec).decode(codec(4, 3, of_codec).read(tmp_path / "x.png", 4))
    assert np.array_equal(shown, np.repeat(image[..., :1], of_codec, axis=2))


def test_a_prime_of_another_size_is_one_clear_error(tmp_path: Path):
    write_png(tmp_path / "x.png", noise(12, 14, 1))
    with pytest.raises(SeqgenError) as caught:
        codec().read(tmp_path / "x.png")
    assert "x.png is 12 x 14 (height x width), an image of another size" in caught.value.got
    assert "4 x 3" in caught.value.wanted


@pytest.mark.parametrize("rows", [-1, 5])
def test_rows_that_an_image_lacks(tmp_path: Path, rows):
    write_png(tmp_path / "x.png", noise(4, 3, 1))
    with pytest.raises(UsageError, match=f"rows = {rows}"):
        codec().read(tmp_path / "x.png", rows)
