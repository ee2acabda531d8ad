"""Settings of `seqgen export`: which weights, in which form, where to."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings


class ExportSettings(Settings):
    """How a trained model becomes one file."""

    to: Literal["safetensors", "onnx"] = "safetensors"
    """safetensors: weights and settings, for seqgen generate FILE; onnx: one step of the model, for ONNX Runtime."""
    out: Path | None = None
    """The file to write; without it one with the run's name, in the current folder."""
    checkpoint: str = Field("best", pattern=r"^(best|last|\d+)$")
    """Which checkpoint: best, last, or a step number."""
    ema: bool = True
    """Take the moving average of the weights where the run has one."""
