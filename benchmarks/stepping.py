"""How much does cached stepping save? Samples per second by `advance`, beside a plain forward for every sample.

    python benchmarks/stepping.py [PRESET …]      (without names: the small presets)

Both sides run in this process, in turn, on one CPU thread, batch 1, with random weights and sampling included; the
plain side hears exactly the receptive field, as sampling without a cache must. Prints both rates and their ratio.
"""

import sys
import time

import numpy as np
import torch

from seqgen_core import models
from seqgen_core.generation.sampling import ClipUniforms
from seqgen_core.generation.stream import Filters, draw_tokens
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.project import load_project
from seqgen_core.streams import Stream

CODEC = AudioCodecSettings()
SECONDS = 5.0
"""Time spent on each side of each round."""
ROUNDS = 3


def cached_rate(model: CausalModel, heard: np.ndarray) -> float:
    """Samples per second by stepping, after priming."""
    steps = draw_tokens(model, [Stream("", heard)], 1_000_000, ClipUniforms(0, [0]), Filters())
    next(steps)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        next(steps)
        count += 1
    return count / (time.perf_counter() - started)


@torch.inference_mode()
def plain_rate(model: CausalModel, heard: np.ndarray) -> float:
    """Samples per second with one forward over the receptive field for each."""
    tokens = torch.from_numpy(heard)[None]
    uniforms = ClipUniforms(0, [0])
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        drawn = model.head.sample(model(tokens, last=1)[:, -1], torch.from_numpy(uniforms.draw(1)))
        tokens = torch.cat([tokens[:, 1:], drawn[:, None]], dim=1)
        count += 1
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure the presets named on the command line."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ["sequnet-demo", "sequnet-small", "wavenet-small"]:
        model = models.build(load_project(base={}, preset=name).model, CODEC.tokens).eval()
        assert model.receptive_field is not None
        heard = np.random.default_rng(0).integers(0, CODEC.levels, model.receptive_field)
        rounds = [(cached_rate(model, heard), plain_rate(model, heard)) for _ in range(ROUNDS)]
        cached, plain = (sorted(side)[ROUNDS // 2] for side in zip(*rounds, strict=True))
        print(f"{name}: cached {cached:,.0f} samples/s, plain {plain:,.1f} samples/s, ratio {cached / plain:,.1f}")


if __name__ == "__main__":
    main()
