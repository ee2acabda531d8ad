"""Ways to draw tokens, each as the rate at which it does."""

import time
from collections.abc import Callable

import torch

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines import Engine
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.stream import prime_state
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps.program import Start
from seqgen_core.models.tokens import random_tokens
from seqgen_core.streams import Stream

Rate = Callable[[float], float]
"""Tokens per second of all clips together, over a turn of at least so many seconds."""


class Stepping:
    """An engine that draws clips without end; images one after another."""

    def __init__(self, engine: Engine, model: CausalModel, batch: int) -> None:
        self._engine, self._batch, self._draws = engine, batch, model.head.draws
        heard = random_tokens(model.tokens, batch, 1, torch.Generator().manual_seed(0))
        outputs, state = prime_state(model, [Stream("", clip) for clip in heard.numpy()])
        self._begin = lambda: engine.begin(Start(state), outputs)
        self._uniforms = ClipUniforms(0, range(batch))
        self._longest = model.longest
        self._block = model.period if model.longest is None else model.longest - 1
        self._begin()
        self._draw(1)  # compiles
        self._begin()

    def rate(self, seconds: float) -> float:
        """Tokens per second over whole periods of the clock, or whole images; starting them is not counted."""
        passed, steps = 0.0, 0
        while passed < seconds:
            if self._longest is not None:
                self._begin()
            took = self._draw(self._block)
            passed, steps = passed + took, steps + self._block
            if took < seconds / 10 and self._longest is None:
                self._block *= 2
        return steps * self._batch / passed

    def _draw(self, steps: int) -> float:
        uniforms = self._uniforms.draw(steps * self._draws).reshape(self._batch, steps, self._draws)
        started = time.perf_counter()
        self._engine.draw(uniforms)
        return time.perf_counter() - started


def forward_rate(model: CausalModel, batch: int) -> Rate:
    """One forward for each token, over the receptive field, or over the upper half of an image.

    Raises SeqgenError for a recurrent model, whose past has no limit.
    """
    if model.longest is not None:
        length = model.longest // 2
    elif model.receptive_field is not None:
        length = model.receptive_field
    else:
        raise SeqgenError("a recurrent model hears all of its past")
    tokens = random_tokens(model.tokens, batch, length, torch.Generator().manual_seed(0))
    uniforms = ClipUniforms(0, range(batch))

    @torch.inference_mode()
    def rate(seconds: float) -> float:
        nonlocal tokens
        started, drawn = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            new = model.head.sample(model(tokens, last=1)[:, -1], torch.from_numpy(uniforms.draw(model.head.draws)))
            if model.longest is None:
                tokens = torch.cat([tokens[:, 1:], new[:, None]], dim=1)
            drawn += batch
        return drawn / (time.perf_counter() - started)

    return rate
