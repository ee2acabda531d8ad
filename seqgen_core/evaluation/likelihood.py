"""Bits per token of a trained model over whole recordings, each and in all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seqgen_core.codecs import read_streams
from seqgen_core.data.store import PreparedData, Split
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import Score, score_streams
from seqgen_core.progress import Progress, Silent
from seqgen_core.settings.codec import CodecSettings
from seqgen_core.settings.run import DataAccount
from seqgen_core.streams import Stream


@dataclass(frozen=True)
class Evaluation:
    """Scores of each recording, in the given order, and of all together (weighted by tokens)."""

    recordings: tuple[tuple[Stream, Score], ...]

    @property
    def total(self) -> Score:
        """All recordings as one."""
        return sum((score for _, score in self.recordings), Score(0.0, 0, 0))


def measures(codec: CodecSettings, bits: float) -> dict[str, float]:
    """Mean bits per token in the words of the codec's field, the one that its papers report first."""
    named = {f"bits per {codec.unit}": bits}
    if codec.kind == "words":
        return {"perplexity": 2 ** min(bits, 1000.0), **named}
    if codec.kind == "piano-roll":
        return {"nats per frame": bits * math.log(2), **named}
    return named


def split_recordings(data: PreparedData, split: Split) -> list[Stream]:
    """The recordings of a split. Raises SeqgenError where it holds none with a token to predict."""
    found = [data.stream(item) for item in data.items(split) if item.length > item.given]
    if not found:
        raise SeqgenError(
            f"The {split} split of {data.path} holds no recording.",
            hint="Choose another by --split, or name files.",
        )
    return found


def file_recordings(paths: Sequence[Path], account: DataAccount, label: int | None = None) -> list[Stream]:
    """Files of the run's kind, of any format, as recordings; sound is amplified as the training data were.

    Raises SeqgenError or UsageError, naming the file, for one of no use.
    """
    found = [stream for path in paths for stream in read_streams(path, account.codec, account.gain, account.features)]
    return [replace(stream, label=label) for stream in found]


def evaluate(
    model: CausalModel,
    recordings: Sequence[Stream],
    *,
    chunk: int = 16384,
    batch_size: int = 4,
    progress: Progress | None = None,
) -> Evaluation:
    """Score recordings from start to end with full context. The chunk changes memory and speed, not the scores.

    Raises UsageError where a recording lacks the label or the features that the model was trained with.
    """
    if model.classes and any(recording.label is None for recording in recordings):
        raise UsageError("The model was trained with labels, and a recording has none.", hint="Choose one by --label.")
    if model.local_features and any(recording.features is None for recording in recordings):
        raise UsageError(
            "The model was trained with features, and a recording has none.",
            hint="Prepare the data as they were, with `seqgen preprocess --features mel`.",
        )
    progress = progress or Silent()
    progress.begin("scoring", float(sum(len(r.tokens) - r.given for r in recordings)), "tokens")
    done = 0

    def advanced(tokens: int) -> None:
        nonlocal done
        done += tokens
        progress.update(done)

    try:
        scores = score_streams(model, recordings, chunk=chunk, batch_size=batch_size, advanced=advanced)
    finally:
        progress.end()
    return Evaluation(tuple(zip(recordings, scores, strict=True)))
