"""Verification: an engine's outputs against a plain forward of the model, on tokens that the model would meet.

Axes: B = 1 clip, N tokens compared.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from seqgen_core.generation.engines import Choice
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.stream import draw_blocks, features_of, prime_state
from seqgen_core.models.base import CausalModel
from seqgen_core.models.scoring import condition_of
from seqgen_core.models.steps.program import Start
from seqgen_core.streams import Stream


@dataclass(frozen=True)
class Verification:
    """How an engine compares with a plain forward over `steps` tokens.

    difference: largest one of an output or of a token's log-probability in nats. bits, plain_bits: mean per token by
    the engine and by the plain forward.
    """

    steps: int
    difference: float
    bits: float
    plain_bits: float


@torch.inference_mode()
def verify(model: CausalModel, choice: Choice, prime: Stream, steps: int, seed: int = 0) -> Verification:
    """Compare over the `steps` last tokens of what the model hears: the prime, and where that is short, what is drawn.

    At least the receptive field comes before them, where the model's longest stream has room for it.
    """
    needed = (model.receptive_field or 1) + steps
    if model.longest is not None:
        needed = min(needed, model.longest)
    steps = min(steps, needed - 1)
    tokens = np.asarray(prime.tokens[:needed] if model.longest is not None else prime.tokens[-needed:], np.int64)
    first = 0 if model.longest is not None else len(prime.tokens) - len(tokens)
    told = None if prime.features is None else prime.features[first:]
    heard = replace(prime, tokens=tokens, features=told)
    if len(tokens) < needed:
        blocks = draw_blocks(choice.make(1), model, [heard], needed - len(tokens), ClipUniforms(seed, [0]))
        heard = replace(heard, tokens=np.concatenate([tokens, *(block.tokens[0] for block in blocks)]))

    device = next(model.parameters()).device
    whole = torch.from_numpy(heard.tokens)[None].to(device)
    plain = model(whole[:, :-1], condition_of(model, [heard], 0, needed - 1), last=steps)
    # not Stream.cut, which would cut the features of the first token that is stepped alone
    beginning = replace(heard, tokens=heard.tokens[: needed - steps])
    outputs, state = prime_state(model, [beginning])
    engine = choice.make(1)
    engine.begin(Start(state, condition_of(model, [heard], 0, 1).labels), outputs)
    given = heard.tokens[None, needed - steps :]
    stepped, bits = engine.score(given, features_of(model, [heard], needed - steps - 1, steps))
    plain_bits = model.head.bits(plain, torch.from_numpy(given).to(device)).double().cpu().numpy()
    worst = max(
        float(np.abs(stepped - plain.float().cpu().numpy()).max()), float(np.abs(bits - plain_bits).max()) * math.log(2)
    )
    return Verification(steps, worst, float(bits.mean()), float(plain_bits.mean()))
