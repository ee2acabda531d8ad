"""PNG and JPEG of every sort as arrays, damaged ones as one clear error, grids."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seqgen_core.errors import SeqgenError
from seqgen_core.images.files import GAP, image_shape, read_image, scaled, with_channels, write_grid, write_png

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "x.png", **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("pixels", [GREY[..., None], COLOUR, np.dstack([COLOUR, np.full((5, 7), 255, np.uint8)])])
def test_what_is_written_is_read(tmp_path: Path, pixels):
    write_png(tmp_path / "x.png", pixels)
    assert np.array_equal(read_image(tmp_path / "x.png"), pixels[..., :3])


def test_grey_is_one_colour_and_the_header_says_the_same(tmp_path: Path):
    for image in (Image.fromarray(GREY), Image.fromarray(COLOUR)):
        path = saved(tmp_path, image)
        assert read_image(path).shape == image_shape(path)
    assert read_image(saved(tmp_path, Image.fromarray(GREY))).shape == (5, 7, 1)


def test_black_and_white(tmp_path: Path):
    path = saved(tmp_path, Image.fromarray(GREY).point(lambda v: 255 * (v > 99)).convert("1"))
    assert np.array_equal(read_image(path)[..., 0], 255 * (GREY > 99))


def test_a_palette_becomes_colours(tmp_path: Path):
    few = COLOUR // 128 * 255
    path = saved(tmp_path, Image.fromarray(few).quantize(16))
    assert np.array_equal(read_image(path), few)


def test_what_is_transparent_is_seen_on_white(tmp_path: Path):
    pixels = np.dstack([COLOUR, np.where(GREY > 128, 255, 0).astype(np.uint8)])
    seen = np.where(GREY[..., None] > 128, COLOUR, 255)
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(pixels))), seen)
    grey = np.dstack([GREY, np.where(GREY > 128, 255, 0).astype(np.uint8)])
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(grey)))[..., 0], np.where(GREY > 128, GREY, 255))


def test_a_transparent_colour_of_a_palette(tmp_path: Path):
    image = Image.fromarray(COLOUR // 128 * 255).quantize(8)
    path = saved(tmp_path, image, transparency=int(np.asarray(image)[0, 0]))
    assert read_image(path)[0, 0].tolist() == [255, 255, 255]


def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path):
    deep = np.array([[0, 128, 129, 257], [65535, 65406, 32768, 300]], np.uint16)
    path = saved(tmp_path, Image.fromarray(deep))
    assert read_image(path)[..., 0].tolist() == np.rint(deep / 257).astype(int).tolist()


def test_jpeg_and_other_colour_spaces(tmp_path: Path):
    smooth = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))
    for image in (Image.fromarray(smooth), Image.fromarray(smooth).convert("CMYK")):
        got = read_image(saved(tmp_path, image, "x.jpg", quality=95))
        assert got.shape == (64, 64, 3)
        assert np.abs(got.astype(int) - smooth).max() < 8


def test_the_turn_that_a_camera_notes_is_made(tmp_path: Path):
    image = Image.fromarray(COLOUR)
    exif = image.getexif()
    exif[0x0112] = 6
    path = saved(tmp_path, image, exif=exif)
    assert image_shape(path) == (7, 5, 3)
    assert np.array_equal(read_image(path), np.rot90(COLOUR, -1))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def damaged(kind: str, folder: Path) -> Path:
    path = folder / "x.png"
    write_png(path, np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = path.read_bytes()
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = whole[:8] + chunk(b"IHDR", header)
    contents = {
        "empty": b"",
        "text": b"this is no image at all",
        "cut": whole[: len(whole) // 2],
        "cut in the header": whole[:20],
        "scrambled": whole[:200] + bytes(200) + whole[400:],
        "bomb": bomb + whole[33:],
        "gif": b"GIF89a" + bytes(40),
    }
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "the file is empty"),
        ("text", "no PNG or JPEG image by its content"),
        ("cut", "damaged"),
        ("cut in the header", ""),
        ("scrambled", "damaged"),
        ("bomb", "claims to hold"),
        ("gif", "no PNG or JPEG image by its content"),
    ],
)
def test_damage_is_one_clear_line(tmp_path: Path, kind, words):
    with pytest.raises(SeqgenError) as caught:
        read_image(damaged(kind, tmp_path))
    assert words in caught.value.got
    assert "x.png" in caught.value.got
    assert "\n" not in caught.value.got


def test_a_size_that_is_too_large_to_open(tmp_path: Path):
    path = tmp_path / "x.png"
    header = struct.pack(">IIBBBBB", 12000, 12000, 8, 0, 0, 0, 0)  # below the size at which Pillow refuses
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(4)))
    with pytest.raises(SeqgenError, match="claims to hold 12,000 x 12,000 pixels"):
        image_shape(path)


def test_a_missing_file_and_a_folder(tmp_path: Path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(SeqgenError, match=r"No such file|directory"):
            read_image(path)


def test_grey_is_the_luma_of_colours():
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(with_channels(COLOUR, 1)[..., 0] - luma).max() <= 0.5
    assert np.array_equal(with_channels(GREY[..., None], 3), np.dstack([GREY] * 3))


def test_scaling_keeps_what_is_flat_and_goes_by_area():
    flat = np.full((40, 20, 3), 77, np.uint8)
    assert (scaled(flat, 7, 9) == 77).all()
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    assert np.abs(scaled(checks, 8, 8)[2:-2, 2:-2].astype(int) - 128).max() <= 2  # not one pixel of many


def test_a_grid_holds_every_image_in_its_place(tmp_path: Path):
    images = [np.full((5, 7, 3), 50 + 10 * number, np.uint8) for number in range(5)]
    write_grid(tmp_path / "grid.png", images, columns=3, scale=2)
    grid = read_image(tmp_path / "grid.png")
    assert grid.shape == (2 * (10 + GAP) + GAP, 3 * (14 + GAP) + GAP, 3)
    for number, image in enumerate(images):
        top, left = GAP + number // 3 * (10 + GAP), GAP + number % 3 * (14 + GAP)
        assert (grid[top : top + 10, left : left + 14] == image[0, 0]).all()
    write_grid(tmp_path / "square.png", images[:4])
    assert read_image(tmp_path / "square.png").shape == (2 * (5 + GAP) + GAP, 2 * (7 + GAP) + GAP, 3)
