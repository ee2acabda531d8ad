"""Bits of every token of whole recordings, by `advance` in chunks: full context, bounded memory.

The first token of a recording is given, not predicted, so N tokens have N − 1 scores.
Axes: B recordings side by side, T tokens of a chunk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seqgen_core.models.base import CausalModel

MOST_OUTPUTS = 2**25
"""Numbers that one call of `advance` may put out (128 MiB in fp32): with 65536 values a chunk alone would be 4 GiB."""


@dataclass(frozen=True)
class Score:
    """How well one recording is predicted.

    bits: sum of −log2 p over the tokens. correct: tokens whose likeliest value was right. tokens: how many.
    """

    bits: float
    correct: int
    tokens: int

    def __add__(self, other: "Score") -> "Score":
        return Score(self.bits + other.bits, self.correct + other.correct, self.tokens + other.tokens)

    @property
    def bits_per_token(self) -> float:
        """Mean bits per token; NaN of nothing."""
        return self.bits / self.tokens if self.tokens else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of tokens whose likeliest value was right; NaN of nothing."""
        return self.correct / self.tokens if self.tokens else float("nan")


@torch.inference_mode()
def score_streams(
    model: CausalModel,
    streams: Sequence[np.ndarray],
    labels: Sequence[int | None] | None = None,
    *,
    chunk: int = 16384,
    batch_size: int = 4,
    advanced: Callable[[int], None] = lambda tokens: None,
) -> list[Score]:
    """Score each 1-D array of tokens as one recording from its start to its end, in the given order.

    chunk: tokens per call of `advance`, shared among the recordings side by side; it does not change the scores. Fewer
    are taken where their outputs would be more than MOST_OUTPUTS.
    advanced: told after each chunk how many tokens were scored in it.
    """
    scores = [Score(0.0, 0, 0)] * len(streams)
    chunk = min(chunk, MOST_OUTPUTS // model.head.size)
    by_length = sorted(range(len(streams)), key=lambda place: len(streams[place]), reverse=True)
    for first in range(0, len(by_length), batch_size):
        group = by_length[first : first + batch_size]
        step = max(1, chunk // len(group))
        for rows, bits, correct in _score_group(
            model, [streams[i] for i in group], [_label(labels, i) for i in group], step
        ):
            for row, row_bits, row_correct in zip(rows, bits, correct, strict=True):
                scores[group[row]] += Score(float(row_bits.sum()), int(row_correct.sum()), len(row_bits))
            advanced(sum(len(row_bits) for row_bits in bits))
    return scores


def _label(labels: Sequence[int | None] | None, place: int) -> int | None:
    return labels[place] if labels is not None else None


def _score_group(
    model: CausalModel, streams: list[np.ndarray], labels: list[int | None], step: int
) -> Iterator[tuple[list[int], list[np.ndarray], list[np.ndarray]]]:
    """Yield (rows, bits of each, hits of each) chunk by chunk; streams come longest first and leave as they end."""
    device = next(model.parameters()).device
    condition = None
    if model.classes:
        condition = torch.tensor([label if label is not None else 0 for label in labels], device=device)
    alive = [row for row, stream in enumerate(streams) if len(stream) > 1]
    state = model.initial_state(len(streams))
    position = 0
    while alive:
        state = [part[: len(alive)] for part in state]
        longest = len(streams[alive[0]]) - 1
        count = min(step, longest - position)
        ends = [min(count, len(streams[row]) - 1 - position) for row in alive]
        inputs = np.zeros((len(alive), count + 1), np.int64)
        for row, end in zip(alive, ends, strict=True):
            inputs[row, : end + 1] = streams[row][position : position + end + 1]
        tokens = torch.from_numpy(inputs).to(device)
        outputs, state = model.advance(
            tokens[:, :-1], state, condition[: len(alive)] if condition is not None else None
        )
        bits = model.head.bits(outputs, tokens[:, 1:]).cpu().double().numpy()  # MPS has no float64
        hits = (model.head.mode(outputs) == tokens[:, 1:]).cpu().numpy()
        yield (
            list(alive),
            [bits[row, :end] for row, end in zip(alive, ends, strict=True)],
            [hits[row, :end] for row, end in zip(alive, ends, strict=True)],
        )
        position += count
        alive = [row for row in alive if len(streams[row]) - 1 > position]
