"""Drawing tokens: prime the state with what is given, then let an engine step, sample and feed back.

Axes: B clips, P tokens of the prime, N new tokens.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqgen_core.generation.engines import Engine
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import MOST_OUTPUTS, condition_of
from seqgen_core.models.steps.program import Start
from seqgen_core.streams import Stream

PRIME_CHUNK = 16384
"""Tokens of the prime consumed at a time, shared among the clips."""
UNIFORM_BLOCK = 4096
"""Uniforms drawn at a time for each clip, at most."""
BLOCK_SECONDS = 0.1
"""What one block of tokens may take, so that progress shows and a stop is heard."""


@dataclass(frozen=True)
class Block:
    """Drawn tokens of every clip: tokens int64 (B, N, *shape); bits float64 (B, N), −log2 p of them, unfiltered.

    seconds: that drawing took, without the prime.
    """

    tokens: np.ndarray
    bits: np.ndarray
    seconds: float


@torch.inference_mode()
def prime_state(model: CausalModel, primes: Sequence[Stream]) -> tuple[Tensor, list[Tensor]]:
    """Let the model hear the tokens of B primes, equally long, P ≥ 1, from its initial state, in chunks.

    Returns the outputs (B, head.size) that predict the token after the primes, and the state.
    """
    state = model.initial_state(len(primes))
    outputs = None
    heard = _tokens(model, primes)
    chunk = max(1, min(PRIME_CHUNK, MOST_OUTPUTS // model.head.size) // len(primes))
    for first in range(0, heard.shape[1], chunk):
        piece = heard[:, first : first + chunk]
        outputs, state = model.advance(piece, state, condition_of(model, primes, first, piece.shape[1]))
    if outputs is None:
        raise ValueError("a prime holds at least one token")
    return outputs[:, -1], state


def draw_blocks(
    engine: Engine,
    model: CausalModel,
    primes: Sequence[Stream],
    length: int,
    uniforms: ClipUniforms,
    block: int | None = None,
) -> Iterator[Block]:
    """Yield `length` tokens that continue B primes, equally long, P ≥ 1, block by block, each for all B clips.

    block: tokens of one; without it as many as take BLOCK_SECONDS. Labels are those of the primes; features are theirs
    too and reach beyond the prime's end, to the clip's.
    """
    outputs, state = prime_state(model, primes)
    engine.begin(Start(state, condition_of(model, primes, 0, 1).labels), outputs)
    heard, draws = len(primes[0].tokens), model.head.draws
    size = block or 1
    done = 0
    while done < length:
        count = min(size, length - done)
        drawn = uniforms.draw(count * draws).reshape(len(primes), count, draws)
        started = time.perf_counter()
        tokens, bits = engine.draw(drawn, features_of(model, primes, heard + done - 1, count))
        seconds = time.perf_counter() - started
        if block is None and seconds < BLOCK_SECONDS / 2:
            size = min(2 * size, max(1, UNIFORM_BLOCK // draws))
        done += count
        yield Block(tokens, bits, seconds)


def features_of(model: CausalModel, streams: Sequence[Stream], first: int, steps: int) -> np.ndarray | None:
    """What an engine is told of tokens first + 1 to first + steps, float32 (B, steps, F); None without features."""
    features = condition_of(model, streams, first, steps).features
    return None if features is None else features.float().cpu().numpy()


def _tokens(model: CausalModel, streams: Sequence[Stream]) -> Tensor:
    heard = np.stack([np.asarray(stream.tokens, np.int64) for stream in streams])  # (B, P, *shape)
    return torch.from_numpy(heard).to(next(model.parameters()).device)
