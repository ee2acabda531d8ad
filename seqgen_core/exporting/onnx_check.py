"""Whether ONNX Runtime computes with a file what the model computes: fed the same tokens, over several clock periods.

Axes: N tokens compared, F features.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from seqgen_core.exporting.onnx_graph import BATCH, NEXT
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition
from seqgen_core.progress import Progress, Silent

TOLERANCE = 1e-4
"""Largest difference of an output in fp32 that counts as equal (law 3)."""
LEAST_TOKENS, MOST_TOKENS = 300, 4096
TYPES = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
TOLD = ("token", "label", "features")
"""Inputs that are no part of the state."""


@dataclass(frozen=True)
class Comparison:
    """tokens that were compared; largest difference of an output; tokens that ONNX Runtime stepped in a second."""

    tokens: int
    difference: float
    tokens_per_second: float


class OnnxStep:
    """A file in ONNX Runtime, with its state in hand. Raises what ONNX Runtime raises for a file that it cannot run."""

    def __init__(self, path: Path, clips: int = 1, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.state = {
            part.name: np.zeros([clips if size == BATCH else size for size in part.shape], TYPES[part.type])
            for part in self.session.get_inputs()
            if part.name not in TOLD
        }
        self.outputs = ["outputs", *(NEXT + name for name in self.state)]

    def advance(self, told: Mapping[str, np.ndarray]) -> np.ndarray:
        """Hear a token of every clip, with label and features where the model has them: outputs (B, head.size)."""
        outputs, *state = self.session.run(self.outputs, {**told, **self.state})
        self.state = dict(zip(self.state, state, strict=True))
        return np.asarray(outputs)


@torch.inference_mode()
def compare(
    model: CausalModel, path: Path, start: np.ndarray, period: int, progress: Progress | None = None
) -> Comparison:
    """Compare over tokens that the file itself draws, from the start token (*shape) on, with the model's `forward`.

    period: tokens after which the same operations are due again; at least two of them are met where that is possible
    within MOST_TOKENS, or the longest stream of the model.
    """
    progress, told = progress or Silent(), np.random.default_rng(0)
    tokens = min(max(LEAST_TOKENS, 2 * period + 10), MOST_TOKENS, (model.longest or MOST_TOKENS + 1) - 1)
    labels = np.array([model.classes - 1]) if model.classes else None
    features = told.normal(size=(1, tokens, model.local_features)).astype(np.float32) if model.local_features else None
    step, outputs, seconds = OnnxStep(path), list[np.ndarray](), 0.0
    heard = [np.asarray(start, np.int64)[None]]
    progress.begin("comparing with the model", tokens, "tokens")
    try:
        for place in range(tokens):
            given = {"token": heard[-1]}
            if labels is not None:
                given["label"] = labels
            if features is not None:
                given["features"] = features[:, place]
            started = time.perf_counter()
            outputs.append(step.advance(given))
            seconds += time.perf_counter() - started
            if not np.isfinite(outputs[-1]).all():
                return Comparison(place + 1, math.inf, 0.0)
            uniforms = torch.from_numpy(told.random((1, model.head.draws)))
            heard.append(model.head.sample(torch.from_numpy(outputs[-1]), uniforms).numpy())
            progress.update(place + 1)
    finally:
        progress.end()
    condition = Condition(
        None if labels is None else torch.from_numpy(labels), None if features is None else torch.from_numpy(features)
    )
    expected = model(torch.from_numpy(np.stack(heard[:-1], axis=1)), condition)
    difference = np.abs(np.stack(outputs, axis=1) - expected.float().numpy()).max()
    return Comparison(tokens, float(difference), tokens / seconds)
