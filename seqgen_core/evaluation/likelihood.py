"""Bits per token of a trained model over whole recordings, each and in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import read_mono
from seqgen_core.data.store import PreparedData, Split
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.progress import Progress, Silent


@dataclass(frozen=True)
class Recording:
    """One recording to score: where it is from, its tokens (N,), its class label if it has one."""

    origin: str
    tokens: np.ndarray
    label: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """Scores of each recording, in the given order, and of all together (weighted by tokens)."""

    recordings: tuple[tuple[Recording, Score], ...]

    @property
    def total(self) -> Score:
        """All recordings as one."""
        return sum((score for _, score in self.recordings), Score(0.0, 0, 0))


def split_recordings(data: PreparedData, split: Split) -> list[Recording]:
    """The recordings of a split. Raises SeqgenError where it holds none of two tokens or more."""
    found = [Recording(item.origin, data.tokens(item), item.label) for item in data.items(split) if item.length >= 2]
    if not found:
        raise SeqgenError(
            f"The {split} split of {data.path} holds no recording.",
            hint="Choose another by --split, or name sound files.",
        )
    return found


def file_recordings(paths: Sequence[Path], codec: AudioCodec, gain: float = 1.0) -> list[Recording]:
    """Sound files of any format and rate as recordings, amplified by the gain of the training data.

    Raises SeqgenError, naming the file, for one of no use.
    """
    found = []
    for path in paths:
        tokens = codec.encode(read_mono(path, codec.rate) * gain)
        if len(tokens) < 2:
            raise SeqgenError(f"{path} holds {len(tokens)} samples; nothing can be predicted.", "at least two samples")
        found.append(Recording(str(path), tokens))
    return found


def evaluate(
    model: CausalModel,
    recordings: Sequence[Recording],
    *,
    chunk: int = 16384,
    batch_size: int = 4,
    progress: Progress | None = None,
) -> Evaluation:
    """Score recordings from start to end with full context. The chunk changes memory and speed, not the scores."""
    if model.classes and any(recording.label is None for recording in recordings):
        raise UsageError("The model was trained with labels, and a recording has none.", hint="Choose one by --label.")
    progress = progress or Silent()
    progress.begin("scoring", float(sum(len(r.tokens) - 1 for r in recordings)), "tokens")
    done = 0

    def advanced(tokens: int) -> None:
        nonlocal done
        done += tokens
        progress.update(done)

    try:
        scores = score_streams(
            model,
            [r.tokens for r in recordings],
            [r.label for r in recordings],
            chunk=chunk,
            batch_size=batch_size,
            advanced=advanced,
        )
    finally:
        progress.end()
    return Evaluation(tuple(zip(recordings, scores, strict=True)))
