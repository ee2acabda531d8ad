"""Bits of every token of whole recordings, by `advance` in chunks: full context, bounded memory.

The first token of a recording, at least, is given, not predicted, so N tokens have at most N − 1 scores.
Axes: B recordings side by side, T tokens of a chunk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seqgen_core.errors import ShapeError
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition
from seqgen_core.streams import Stream

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
    streams: Sequence[Stream],
    *,
    chunk: int = 16384,
    batch_size: int = 4,
    advanced: Callable[[int], None] = lambda tokens: None,
) -> list[Score]:
    """Score each stream as one recording from its start to its end, in the given order.

    chunk: tokens per call of `advance`, shared among the recordings side by side; it does not change the scores. Fewer
    are taken where their outputs would be more than MOST_OUTPUTS. batch_size: recordings side by side, or more of
    them where they are so short that one chunk holds them whole.
    advanced: told after each chunk how many tokens were scored in it.
    """
    scores = [Score(0.0, 0, 0)] * len(streams)
    chunk = max(1, min(chunk, MOST_OUTPUTS // model.head.size))
    by_length = sorted(range(len(streams)), key=lambda place: len(streams[place].tokens), reverse=True)
    first = 0
    while first < len(by_length):
        longest = max(1, len(streams[by_length[first]].tokens))
        size = max(batch_size, chunk // longest)
        group = by_length[first : first + size]
        first += size
        for rows, bits, correct in _score_group(model, [streams[i] for i in group], max(1, chunk // len(group))):
            for row, row_bits, row_correct in zip(rows, bits, correct, strict=True):
                scores[group[row]] += Score(float(row_bits.sum()), int(row_correct.sum()), len(row_bits))
            advanced(sum(len(row_bits) for row_bits in bits))
    return scores


def condition_of(model: CausalModel, streams: Sequence[Stream], first: int, steps: int) -> Condition:
    """What the model is told of tokens first to first + steps - 1 of each stream; a missing label counts as class 0.

    Beyond a stream's end its last features stand. Raises ShapeError where a model with features gets none.
    """
    device = next(model.parameters()).device
    labels = features = None
    if model.classes:
        labels = torch.tensor([stream.label or 0 for stream in streams], device=device)
    if model.local_features:
        rows = []
        for stream in streams:
            if stream.features is None:
                raise ShapeError(
                    f"no features beside the tokens of {stream.origin}; wanted {model.local_features} per token"
                )
            places = np.arange(first + 1, first + steps + 1).clip(max=len(stream.features) - 1)
            rows.append(np.asarray(stream.features[places], np.float32))
        weight = next(model.parameters())
        features = torch.from_numpy(np.stack(rows)).to(device, weight.dtype)
    return Condition(labels, features)


def _score_group(
    model: CausalModel, streams: list[Stream], step: int
) -> Iterator[tuple[list[int], list[np.ndarray], list[np.ndarray]]]:
    """Yield (rows, bits of each, hits of each) chunk by chunk; streams come longest first and leave as they end."""
    device = next(model.parameters()).device
    alive = [row for row, stream in enumerate(streams) if len(stream.tokens) > 1]
    state = model.initial_state(len(streams))
    position = 0
    while alive:
        state = [part[: len(alive)] for part in state]
        count = min(step, len(streams[alive[0]].tokens) - 1 - position)
        ends = [min(count, len(streams[row].tokens) - 1 - position) for row in alive]
        inputs = np.zeros((len(alive), count + 1, *model.tokens.shape), np.int64)
        for row, end in zip(alive, ends, strict=True):
            inputs[row, : end + 1] = streams[row].tokens[position : position + end + 1]
        tokens = torch.from_numpy(inputs).to(device)
        condition = condition_of(model, [streams[row] for row in alive], position, count)
        outputs, state = model.advance(tokens[:, :-1], state, condition)
        bits = model.head.bits(outputs, tokens[:, 1:]).cpu().double().numpy()  # MPS has no float64
        right = model.head.mode(outputs) == tokens[:, 1:]
        hits = right.reshape(*right.shape[:2], -1).all(dim=2).cpu().numpy()
        scored = [slice(max(0, streams[row].given - 1 - position), end) for row, end in zip(alive, ends, strict=True)]
        places = list(enumerate(scored))
        yield list(alive), [bits[row, part] for row, part in places], [hits[row, part] for row, part in places]
        position += count
        alive = [row for row in alive if len(streams[row].tokens) - 1 > position]
