"""What a page lets one hear, read or look at: clips that were drawn, and what is real beside them.

Axes: N samples, F frames of a roll, K keys, H rows, W columns, C colours.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqgen_core.settings.codec import NotesCodecSettings


@dataclass(frozen=True)
class Recording:
    """Sound as it is embedded: the bytes of a file, its mime type, and how long it plays in seconds."""

    data: bytes
    mime: str
    seconds: float


@dataclass(frozen=True)
class Sound:
    """A waveform float32 (N,) at `rate` Hz. seam: seconds of it that were given, 0 where nothing was."""

    waveform: np.ndarray
    rate: int
    recording: Recording
    seam: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.waveform) / self.rate


@dataclass(frozen=True)
class Roll:
    """A piano roll uint8 (F, K) and how it sounds. seam: seconds of it that were given."""

    roll: np.ndarray
    codec: NotesCodecSettings
    recording: Recording
    seam: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it is, without the ring of its last notes."""
        return len(self.roll) / self.codec.rate


@dataclass(frozen=True)
class Text:
    """What was given of a text, and how it goes on."""

    given: str
    new: str


@dataclass(frozen=True)
class Image:
    """An image uint8 (H, W, C). given: rows of it that were given."""

    pixels: np.ndarray
    given: int = 0


@dataclass(frozen=True)
class Specimen:
    """One clip or one real excerpt. bits: per token of what was not given, None where not known. note: what else."""

    content: Sound | Roll | Text | Image
    bits: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """A drawn clip and what is real beside it: how the same beginning really goes on, or an excerpt of the same class.

    Either may be missing. origin: name of the recording that both begin with. start: seconds (or tokens, of what
    takes no time) into it. split: where the real one is from, "" where not known. file: that holds the drawn one, ""
    where none was kept.
    """

    drawn: Specimen | None
    real: Specimen | None
    label: str = ""
    origin: str = ""
    start: float = 0.0
    split: str = ""
    file: str = ""


@dataclass(frozen=True)
class Group:
    """Pairs of one sort. continued: whether they continue what is real. how: sampling settings, in words.

    step: that of the checkpoint that drew them. settings: of `generate`, by name, where it is known. folder: name of
    the one that they are in.
    """

    continued: bool
    pairs: tuple[Pair, ...]
    step: int | None = None
    how: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
