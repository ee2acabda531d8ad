"""Images: tokens to PNG files, and one grid that shows them all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgen_core.audio.encoders import Tags
from seqgen_core.generation.kept import Tokens
from seqgen_core.images.codec import PixelsCodec
from seqgen_core.images.files import with_channels, write_grid, write_png
from seqgen_core.previews import Preview
from seqgen_core.settings.codec import PixelsCodecSettings

GRID = "grid.png"
SEEN = 56  # pixels of the grid that the longer side of a small image is enlarged to, or nearly


class ImagesRenderer:
    """Writes each clip as one PNG file, pixel by pixel, and all of them as a grid, in which small ones are enlarged."""

    separable = False

    def __init__(self, settings: PixelsCodecSettings) -> None:
        self.codec = PixelsCodec(settings)

    def write(self, tokens: Tokens, stem: Path, tags: Tags | None = None) -> dict[str, str]:
        """Write tokens (N,), the one that every image begins with included, as stem.png; what is missing is grey."""
        name = f"{stem.name}.png"
        texts = {} if tags is None else {"Title": tags.title, "Software": tags.software, "Comment": tags.comment}
        write_png(stem.with_name(name), self.codec.decode(np.asarray(tokens)), texts)
        return {"png": name}

    def measures(self, tokens: Tokens) -> dict[str, float | str]:
        """Mean and standard deviation of the intensities that are there, 0 for black and 1 for white."""
        drawn = self.codec.decode(np.asarray(tokens)).reshape(-1)[: max(1, len(tokens) - 1)] / 255
        return {"mean": float(drawn.mean()), "contrast": float(drawn.std())}

    def finish(self, folder: Path, clips: Sequence[Tokens]) -> dict[str, str]:
        """Write the grid, about square, row by row in the order of the clips; nothing where there are none."""
        if not clips:
            return {}
        scale = max(1, SEEN // max(self.codec.shape[:2]))
        write_grid(folder / GRID, [self.codec.decode(np.asarray(tokens)) for tokens in clips], scale=scale)
        return {"grid": GRID}

    def preview(self, tokens: Tokens, name: str) -> Preview:
        """The image in colours, (H, W, 3)."""
        image = self.codec.decode(np.asarray(tokens))
        return Preview(name, "image", with_channels(image, 3) if image.shape[2] == 1 else image[..., :3])
