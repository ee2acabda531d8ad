"""Drawing tokens one by one: prime the state with what is given, then step, sample, and feed back.

Axes: B clips, P tokens of the prime, N new tokens.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seqgen_core.generation.sampling import ClipUniforms, Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import MOST_OUTPUTS, condition_of
from seqgen_core.streams import Stream

PRIME_CHUNK = 16384
"""Tokens of the prime consumed at a time, shared among the clips."""
UNIFORM_BLOCK = 4096


@dataclass(frozen=True)
class Step:
    """One drawn token of every clip: tokens int64 (B, *shape); bits float64 (B,), −log2 p of it, unfiltered."""

    tokens: np.ndarray
    bits: np.ndarray


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


@torch.inference_mode()
def draw_tokens(
    model: CausalModel, primes: Sequence[Stream], length: int, uniforms: ClipUniforms, filters: Filters
) -> Iterator[Step]:
    """Yield `length` steps that continue B primes, equally long, P ≥ 1, each step for all B clips.

    Labels are those of the primes; features are theirs too and reach beyond the prime's end, to the clip's.
    """
    device = next(model.parameters()).device
    outputs, state = prime_state(model, primes)
    heard, draws = len(primes[0].tokens), model.head.draws
    block_size = max(1, UNIFORM_BLOCK // draws)
    for first in range(0, length, block_size):
        count = min(block_size, length - first)
        # MPS has no float64; float32 holds a uniform to 2^-24, far finer than any token's share
        drawn = uniforms.draw(count * draws).reshape(len(primes), count, draws)
        block = torch.from_numpy(drawn).to(device, torch.float32 if device.type == "mps" else None)
        for place in range(count):
            tokens = model.head.sample(
                outputs, block[:, place], temperature=filters.temperature, top_k=filters.top_k, top_p=filters.top_p
            )
            bits = model.head.bits(outputs, tokens)
            yield Step(
                tokens.cpu().numpy(), bits.double().cpu().numpy() if device.type != "mps" else bits.cpu().numpy()
            )
            if first + place + 1 < length:
                told = condition_of(model, primes, heard + first + place, 1)
                advanced, state = model.advance(tokens[:, None], state, told)
                outputs = advanced[:, -1]


@torch.inference_mode()
def stepping_error(model: CausalModel, streams: Sequence[Stream], steps: int) -> float:
    """Largest difference of log-probabilities (nats) between stepping and one plain forward, over `steps` tokens.

    streams: B of them, equally long; their last `steps` tokens are fed one by one.
    """
    tokens = _tokens(model, streams)
    total = tokens.shape[1]
    whole = model(tokens, condition_of(model, streams, 0, total), last=steps)
    # not Stream.cut, which would cut the features of the first token that is fed alone
    _, state = prime_state(model, [replace(stream, tokens=stream.tokens[: total - steps]) for stream in streams])
    worst = 0.0
    for place in range(steps):
        first = total - steps + place
        now = tokens[:, first]
        outputs, state = model.advance(now[:, None], state, condition_of(model, streams, first, 1))
        difference = model.head.bits(outputs[:, -1], now) - model.head.bits(whole[:, place], now)
        worst = max(worst, float(difference.abs().max()) * math.log(2))
        worst = max(worst, float((outputs[:, -1] - whole[:, place]).abs().max()))
    return worst


def _tokens(model: CausalModel, streams: Sequence[Stream]) -> Tensor:
    heard = np.stack([np.asarray(stream.tokens, np.int64) for stream in streams])  # (B, P, *shape)
    return torch.from_numpy(heard).to(next(model.parameters()).device)
