"""What every kind of data but sound hands to `seqgen preprocess`: recordings as tokens, to be split and stored."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from seqgen_core.data.store import Rejected, Split
from seqgen_core.settings.codec import CodecSettings


@dataclass(frozen=True)
class Recording:
    """One text, piece of music or image: tokens (N, *shape), where it is from, and how it is to be used.

    content: hexadecimal SHA-256 of what it was made of, which decides its place in the draw of the splits.
    split: where it belongs, None where it is to be drawn. label: name of its class. given: tokens at its start that
    are given, not predicted.
    """

    tokens: NDArray[np.integer]
    origin: str
    content: str
    split: Split | None = None
    label: str | None = None
    given: int = 1


@dataclass
class Gathered:
    """All recordings of one kind, what was set aside and why, and what a person should know about it all."""

    codec: CodecSettings
    recordings: list[Recording] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What is worth knowing and nothing to worry about, such as a task's yardstick."""
    label_names: tuple[str, ...] = ()
    """Names of the classes in the order of their numbers, where the data set gives it; else they are sorted."""
