"""How much does cached stepping save? Tokens per second by `advance`, beside a plain forward for every token.

    python benchmarks/stepping.py [PRESET …]      (without names: the small presets)

Both sides run in this process, in turn, on one CPU thread, batch 1, with random weights and sampling included; the
plain side hears exactly the receptive field, as sampling without a cache must, or the upper half of an image. Prints
both rates and their ratio.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from seqgen_cli.choosing import preset_model
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.stream import Filters, Step, draw_tokens
from seqgen_core.models.base import CausalModel
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.project import load_project
from seqgen_core.streams import Stream

SECONDS = 5.0
"""Time spent on each side of each round."""
ROUNDS = 3


def cached_rate(model: CausalModel, heard: np.ndarray) -> float:
    """Tokens per second by stepping, after priming; of images, the priming of each next one included."""
    steps = _endless(model, heard)
    next(steps)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        next(steps)
        count += 1
    return count / (time.perf_counter() - started)


def _endless(model: CausalModel, heard: np.ndarray) -> Iterator[Step]:
    length = 10**9 if model.longest is None else model.longest - len(heard)
    while True:
        yield from draw_tokens(model, [Stream("", heard)], length, ClipUniforms(0, [0]), Filters())


@torch.inference_mode()
def plain_rate(model: CausalModel, heard: np.ndarray) -> float:
    """Tokens per second with one forward over the receptive field, or over half an image, for each."""
    tokens = torch.from_numpy(heard)[None]
    uniforms = ClipUniforms(0, [0])
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        drawn = model.head.sample(model(tokens, last=1)[:, -1], torch.from_numpy(uniforms.draw(model.head.draws)))
        if model.longest is None:
            tokens = torch.cat([tokens[:, 1:], drawn[:, None]], dim=1)
        count += 1
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure the presets named on the command line."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ["sequnet-demo", "sequnet-small", "wavenet-small", "samplernn-small"]:
        settings = load_project(base={}, preset=name).model
        model = preset_model(name, settings.model_copy(update={"classes": 0}), 16000).build().eval().fold()
        field = model.receptive_field
        length = model.longest // 2 if model.longest is not None else field or 1
        heard = random_tokens(model.tokens, 1, length, torch.Generator().manual_seed(0))[0].numpy()
        cached = sorted(cached_rate(model, heard) for _ in range(ROUNDS))[ROUNDS // 2]
        if field is None:
            print(f"{name}: cached {cached:,.0f} tokens/s; no plain forward is enough for a recurrent model")
            continue
        plain = sorted(plain_rate(model, heard) for _ in range(ROUNDS))[ROUNDS // 2]
        print(f"{name}: cached {cached:,.0f} tokens/s, plain {plain:,.1f} tokens/s, ratio {cached / plain:,.1f}")


if __name__ == "__main__":
    main()
