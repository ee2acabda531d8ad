"""What tests of engines share: tiny models of every kind, and whether drawn tokens are those that the head draws."""

import itertools

import numpy as np
import torch
from fed import Fed
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec

HEADS: list[TokenSpec] = [CategoricalTokens(values=11), BinaryTokens(width=5), AmplitudeTokens(levels=300)]
"""Tokens for each of the heads."""
FILTERS = [Filters(), Filters(temperature=0.7), Filters(temperature=0), Filters(top_k=3), Filters(top_p=0.6)]
ROUNDING = 1e-5
"""By how much rounding can move an edge between tokens: outputs agree to 1e-6, of which a share moves little more."""


def tiny_model(kind: str, tokens: TokenSpec) -> CausalModel:
    """A model for these tokens, or for images where this kind of model draws nothing else."""
    torch.manual_seed(0)
    spoken = PixelTokens(height=9, width=4, channels=3, levels=5) if kind == "pixelcnn" else tokens
    return models.build(TINY_MODELS[kind], spoken).eval().fold()


def check_draws(model: CausalModel, fed: Fed, tokens: np.ndarray, uniforms: np.ndarray, filters: Filters) -> None:
    """Every token is what the head draws from the plain model's outputs, by a uniform within rounding of the given."""
    heard = torch.from_numpy(tokens)
    with torch.inference_mode():
        after, _ = model.advance(heard, fed.start.state)
        outputs = torch.cat([fed.outputs[:, None], after[:, :-1]], dim=1).flatten(0, 1)
        given = torch.from_numpy(uniforms).flatten(0, 1)  # (B N, draws)
        moves = itertools.product((0, -1, 1), repeat=2) if given.shape[1] == 2 else ([0], [-1], [1])
        options = [
            model.head.sample(
                outputs,
                (given + ROUNDING * torch.tensor(move)).clamp(0, 1 - 1e-9),
                filters.temperature,
                filters.top_k,
                filters.top_p,
            )
            for move in moves
        ]
    apart = torch.stack(options) - heard.flatten(0, 1)
    step = 1 if model.tokens.values > 100 else 0  # a rounded place in a logistic
    assert bool((apart.abs().amin(dim=0) <= step).all())
    assert float((apart[0] == 0).double().mean()) > 0.98
