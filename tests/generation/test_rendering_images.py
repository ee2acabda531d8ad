"""Clips as PNG files and as a grid."""

from pathlib import Path

import numpy as np
import pytest

from seqgen_core.generation.rendering import renderer_for
from seqgen_core.generation.rendering.images import ImagesRenderer
from seqgen_core.images.codec import PixelsCodec
from seqgen_core.images.files import GAP, read_image
from seqgen_core.settings.codec import PixelsCodecSettings


def settings(side: int = 4, channels: int = 1, levels: int = 2) -> PixelsCodecSettings:
    return PixelsCodecSettings(height=side, width=side, channels=channels, levels=levels)


def clip(of: PixelsCodecSettings, seed: int = 0) -> np.ndarray:
    tokens = np.random.default_rng(seed).integers(0, of.levels, of.tokens.length)
    tokens[0] = 0
    return tokens


@pytest.mark.parametrize("channels", [1, 3])
def test_a_clip_is_a_png_of_its_size(tmp_path: Path, channels):
    of = settings(channels=channels)
    renderer = renderer_for(of)
    assert isinstance(renderer, ImagesRenderer)
    assert renderer.write(clip(of), tmp_path / "clip-007") == {"png": "clip-007.png"}
    assert np.array_equal(read_image(tmp_path / "clip-007.png"), PixelsCodec(of).decode(clip(of)))
    assert not renderer.separable


def test_the_grid_shows_all_clips_enlarged(tmp_path: Path):
    of = settings(side=28)
    clips = [clip(of, seed) for seed in range(10)]
    assert ImagesRenderer(of).finish(tmp_path, clips) == {"grid": "grid.png"}
    grid = read_image(tmp_path / "grid.png")
    assert grid.shape == (3 * (56 + GAP) + GAP, 4 * (56 + GAP) + GAP, 1)
    last = grid[2 * (56 + GAP) + GAP :, 1 * (56 + GAP) + GAP :][:56:2, :56:2]
    assert np.array_equal(last, PixelsCodec(of).decode(clips[9]))


def test_the_grid_of_large_images_and_of_none(tmp_path: Path):
    of = settings(side=64)
    ImagesRenderer(of).finish(tmp_path, [clip(of)])
    assert read_image(tmp_path / "grid.png").shape == (64 + 2 * GAP, 64 + 2 * GAP, 1)
    assert ImagesRenderer(of).finish(tmp_path / "none", []) == {}


def test_measures_are_of_what_is_there():
    renderer = ImagesRenderer(settings(side=2))
    assert renderer.measures(np.array([0, 1, 1, 0, 0])) == {"mean": 0.5, "contrast": 0.5}
    assert renderer.measures(np.array([0, 1, 1])) == {"mean": 1.0, "contrast": 0.0}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_preview_has_three_colours(channels):
    of = settings(channels=channels)
    preview = ImagesRenderer(of).preview(clip(of), "sample")
    assert (preview.name, preview.kind, preview.value.shape, preview.value.dtype) == (
        "sample",
        "image",
        (4, 4, 3),
        np.uint8,
    )
