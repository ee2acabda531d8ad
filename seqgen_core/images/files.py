"""PNG and JPEG files as arrays (H, W, C) of uint8, C = 1 for grey and 3 for red, green and blue; and back to PNG."""

import contextlib
import io
import math
import struct
import warnings
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from seqgen_core.errors import SeqgenError
from seqgen_core.files import write_bytes_atomically

FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 100_000_000  # more than any camera's; a file of a few kilobytes may claim any number
_SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_GREY = ("1", "L", "LA", "La", *_SIXTEEN_BITS)
_TURNING = 0x0112  # the EXIF tag that says how a camera was held (CIPA DC-008, section 4.6.4)
GAP = 2  # pixels between the images of a grid
BACKGROUND = 40  # intensity of the gaps, told apart from black digits' ground and from white


def read_image(path: Path) -> NDArray[np.uint8]:
    """A PNG or JPEG file as uint8 (H, W, C). Raises SeqgenError for one that is damaged, too large or no image.

    Palettes become colours; what is transparent is seen on white; 16 bits are rounded to 8; the turn that a camera
    notes is made; of an animation, the first picture is taken.
    """
    with _opened(path) as image:
        if image.mode in _SIXTEEN_BITS:
            deep = np.asarray(image, np.float64)
            return np.rint(np.clip(deep, 0, 65535) / 257).astype(np.uint8)[..., None]
        grey = image.mode in _GREY
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright)
        pixels = np.array(upright.convert("L" if grey else "RGB"))
    return pixels[..., None] if grey else pixels


def image_shape(path: Path) -> tuple[int, int, int]:
    """(H, W, C) by the header alone, as `read_image` would give it. Raises SeqgenError like that."""
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(_TURNING, 1) >= 5:  # turned by a quarter
            width, height = height, width
        return height, width, 1 if image.mode in _GREY else 3


@contextlib.contextmanager
def _opened(path: Path) -> Generator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken EXIF, of palettes, and of sizes that are checked here
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise SeqgenError(
                        f"{path} claims to hold {image.width:,} x {image.height:,} pixels.",
                        f"At most {MOST_PIXELS:,} in all.",
                    )
                yield image
    except Image.DecompressionBombError:
        raise SeqgenError(f"{path} claims to hold too many pixels.", f"At most {MOST_PIXELS:,} in all.") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError, MemoryError) as problem:
        raise SeqgenError(f"{path}: {_in_words(path, problem)}.", "A PNG or JPEG image.") from None


def _in_words(path: Path, problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.strerror or str(problem)
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            return "the file is empty"
    if isinstance(problem, Image.UnidentifiedImageError):
        return "no PNG or JPEG image by its content"
    said = " ".join(str(problem).split()).rstrip(".") or type(problem).__name__
    return f"the image is damaged ({said[:80]})"


def with_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Images (…, H, W, C) of 1 or 3 colours as images of 1 or 3.

    Grey is the luma of ITU-R BT.601, 0.299 red + 0.587 green + 0.114 blue, rounded; colours of grey are equal.
    """
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=-1)
    red, green, blue = (image[..., place].astype(np.uint32) for place in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)[..., None]


def scaled(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """An image (H, W, C) scaled to (height, width, C) by bicubic interpolation over all pixels that a new one covers.

    Proportions are not kept.
    """
    if image.shape[:2] == (height, width):
        return image
    planes = [
        np.asarray(Image.fromarray(image[..., place]).resize((width, height), Image.Resampling.BICUBIC))
        for place in range(image.shape[2])
    ]
    return np.stack(planes, axis=-1)


def write_png(path: Path, image: NDArray[np.uint8], texts: Mapping[str, str] | None = None) -> None:
    """Write an image uint8 (H, W, C), C = 1, 3 or 4 (with transparency), as PNG. Raises OSError.

    texts: what the file says of itself, by the keywords of the PNG standard, such as Title.
    """
    buffer, told = io.BytesIO(), PngInfo()
    for keyword, text in (texts or {}).items():
        told.add_itxt(keyword, text)
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "PNG", pnginfo=told)
    write_bytes_atomically(path, buffer.getvalue())


def write_grid(path: Path, images: Sequence[NDArray[np.uint8]], columns: int | None = None, scale: int = 1) -> None:
    """Write images (H, W, C) of one shape as one PNG, row by row.

    columns: images in a row; None makes the grid about square. scale: pixels of the file for each pixel.
    Raises OSError.
    """
    height, width, channels = images[0].shape
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    high, wide = height * scale + GAP, width * scale + GAP
    grid = np.full((rows * high + GAP, columns * wide + GAP, channels), BACKGROUND, np.uint8)
    if channels == 4:
        grid[..., 3] = 255
    for place, image in enumerate(images):
        top, left = GAP + place // columns * high, GAP + place % columns * wide
        grid[top : top + height * scale, left : left + width * scale] = image.repeat(scale, 0).repeat(scale, 1)
    write_png(path, grid)
