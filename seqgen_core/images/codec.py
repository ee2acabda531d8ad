"""Images to tokens and back: every colour of every pixel is one of `levels` intensities, in raster order.

An intensity v of 0 to 255 becomes the token floor(v * levels / 256): the 256 intensities are cut into `levels` ranges
of equal size, as Gated PixelCNN does with MNIST and CIFAR-10 (van den Oord et al. 2016, arXiv:1606.05328). A token t
turns back into round(255 t / (levels - 1)), so that the first is black and the last is white; where rounding would
leave the token's own range it is moved to the range's edge, and encoding what was decoded gives every token back.
Axes: N images, H rows, W columns, C colours, L = 1 + H * W * C tokens, the first of which is 0 and says nothing.
"""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqgen_core.errors import SeqgenError, ShapeError, UsageError
from seqgen_core.images.files import read_image, with_channels
from seqgen_core.settings.codec import PixelsCodecSettings
from seqgen_core.settings.tokens import TokenSpec
from seqgen_core.streams import token_dtype

UNKNOWN = 128  # intensity that stands for what is not drawn yet


class PixelsCodec:
    """The codec that the settings describe: images of one size, (H, W, C)."""

    def __init__(self, settings: PixelsCodecSettings) -> None:
        self.settings = settings
        self.shape = (settings.height, settings.width, settings.channels)
        self.dtype = token_dtype(settings.levels)
        levels, codes = settings.levels, np.arange(settings.levels)
        self._encoding = (np.arange(256) * levels // 256).astype(self.dtype)
        first = np.searchsorted(self._encoding, codes, side="left")  # of each token's range of intensities
        last = np.searchsorted(self._encoding, codes, side="right") - 1
        self._decoding = np.clip(np.rint(255 * codes / (levels - 1)), first, last).astype(np.uint8)

    @property
    def tokens(self) -> TokenSpec:
        """What one token is."""
        return self.settings.tokens

    @property
    def length(self) -> int:
        """L, tokens of one image."""
        return 1 + int(np.prod(self.shape))

    @property
    def start(self) -> NDArray[np.int64]:
        """The token that every image begins with, int64 of shape ()."""
        return np.array(0, np.int64)

    def encode(self, image: ArrayLike) -> NDArray[np.unsignedinteger]:
        """Image uint8 (H, W, C) -> tokens (L,). Raises ShapeError for one of another shape."""
        return self.encode_all(np.asarray(image)[None])[0]

    def encode_all(self, images: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
        """Images uint8 (N, H, W, C) -> tokens (N, L). Raises ShapeError for images of another shape."""
        if images.dtype != np.uint8 or images.shape[1:] != self.shape:
            raise ShapeError(f"images are {images.dtype} {images.shape[1:]}; the codec takes uint8 {self.shape}")
        tokens = np.zeros((len(images), self.length), self.dtype)
        tokens[:, 1:] = self._encoding[images.reshape(len(images), -1)]
        return tokens

    def decode(self, tokens: ArrayLike) -> NDArray[np.uint8]:
        """Tokens (N,) with 1 <= N <= L, the first without meaning -> image uint8 (H, W, C); what is missing is grey.

        Raises SeqgenError where there are more tokens than an image has or one is outside [0, levels).
        """
        codes = np.asarray(tokens)[1:]
        if len(codes) >= self.length:
            raise SeqgenError(f"{len(codes) + 1} tokens are more than an image has.", f"At most {self.length}.")
        levels = self.settings.levels
        if codes.size and (codes.min() < 0 or codes.max() >= levels):
            outside = codes.max() if codes.max() >= levels else codes.min()
            raise SeqgenError(
                f"token {outside} does not exist with {levels} levels.", f"Tokens from 0 to {levels - 1}."
            )
        image = np.full(self.length - 1, UNKNOWN, np.uint8)
        image[: len(codes)] = self._decoding[codes]
        return image.reshape(self.shape)

    def read(self, path: Path, rows: int | None = None) -> NDArray[np.unsignedinteger]:
        """An image file as a prime: tokens (1 + rows * W * C,) of its first rows, by default of its upper half.

        Colour is turned into grey, and grey into equal colours, where the codec asks for that; size is not changed.
        Raises SeqgenError for a file that is no image or an image of another size, UsageError for rows it lacks.
        """
        height, width, channels = self.shape
        rows = height // 2 if rows is None else rows
        if not 0 <= rows <= height:
            raise UsageError(f"rows = {rows}, but the images have {height}.", f"A number from 0 to {height}.")
        image = with_channels(read_image(path), 3 if channels == 3 else 1)
        if image.shape[:2] != (height, width):
            raise SeqgenError(
                f"{path} is {image.shape[0]} x {image.shape[1]} (height x width), an image of another size.",
                f"An image of {height} x {width}.",
                "Scale it with any image program and try again.",
            )
        image = np.broadcast_to(image, self.shape) if image.shape[2] == 1 else image
        return self.encode(image)[: 1 + rows * width * channels]
