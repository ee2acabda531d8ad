"""Drawing tokens one by one: prime the state with what is given, then step, sample, and feed back.

Axes: B clips, P tokens of the prime, N new tokens.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import MOST_OUTPUTS

PRIME_CHUNK = 16384
"""Tokens of the prime consumed at a time, shared among the clips."""
UNIFORM_BLOCK = 4096


@dataclass(frozen=True)
class Filters:
    """How a distribution is bent before it is sampled: temperature, the k likeliest, the likeliest of mass p."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True)
class Step:
    """One drawn token of every clip: tokens int64 (B,), bits float64 (B,), −log2 of its probability unfiltered."""

    tokens: np.ndarray
    bits: np.ndarray


@torch.inference_mode()
def prime_state(model: CausalModel, prime: Tensor, condition: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """Let the model hear int64 (B, P) tokens, P ≥ 1, from its initial state, in chunks.

    Returns the outputs (B, head.size) that predict the token after the prime, and the state.
    """
    state = model.initial_state(prime.shape[0])
    outputs = None
    chunk = min(PRIME_CHUNK, MOST_OUTPUTS // model.head.size)
    for piece in prime.split(max(1, chunk // prime.shape[0]), dim=1):
        outputs, state = model.advance(piece, state, condition)
    if outputs is None:
        raise ValueError("a prime holds at least one token")
    return outputs[:, -1], state


@torch.inference_mode()
def draw_tokens(
    model: CausalModel,
    prime: np.ndarray,
    length: int,
    uniforms: ClipUniforms,
    filters: Filters,
    condition: Tensor | None = None,
) -> Iterator[Step]:
    """Yield `length` steps that continue the prime, int64 (B, P) with P ≥ 1, each step for all B clips."""
    device = next(model.parameters()).device
    outputs, state = prime_state(model, torch.from_numpy(np.ascontiguousarray(prime, np.int64)).to(device), condition)
    for first in range(0, length, UNIFORM_BLOCK):
        count = min(UNIFORM_BLOCK, length - first)
        # MPS has no float64; float32 holds a uniform to 2^-24, far finer than any token's share
        block = torch.from_numpy(uniforms.draw(count)).to(device, torch.float32 if device.type == "mps" else None)
        for place in range(count):
            tokens = model.head.sample(
                outputs, block[:, place], temperature=filters.temperature, top_k=filters.top_k, top_p=filters.top_p
            )
            bits = model.head.bits(outputs, tokens)
            yield Step(
                tokens.cpu().numpy(), bits.double().cpu().numpy() if device.type != "mps" else bits.cpu().numpy()
            )
            if first + place + 1 < length:
                advanced, state = model.advance(tokens[:, None], state, condition)
                outputs = advanced[:, -1]


@torch.inference_mode()
def stepping_error(model: CausalModel, prime: np.ndarray, steps: int, condition: Tensor | None = None) -> float:
    """Largest difference of log-probabilities (nats) between stepping and one plain forward, over `steps` tokens.

    prime: int64 (B, P + steps); its last `steps` tokens are fed one by one.
    """
    device = next(model.parameters()).device
    tokens = torch.from_numpy(np.ascontiguousarray(prime, np.int64)).to(device)
    whole = model(tokens, condition, last=steps)
    _, state = prime_state(model, tokens[:, :-steps], condition)
    worst = 0.0
    for place in range(steps):
        now = tokens[:, tokens.shape[1] - steps + place]
        outputs, state = model.advance(now[:, None], state, condition)
        difference = model.head.bits(outputs[:, -1], now) - model.head.bits(whole[:, place], now)
        worst = max(worst, float(difference.abs().max()) * math.log(2))
        worst = max(worst, float((outputs[:, -1] - whole[:, place]).abs().max()))
    return worst
