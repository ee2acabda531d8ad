"""Settings of evaluation: which recordings are scored, and with which weights."""

from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.train import DEVICE_PATTERN


class EvaluateSettings(Settings):
    """How a trained model is scored."""

    split: Literal["train", "valid", "test"] = "test"
    """Split of the prepared data whose recordings are scored."""
    chunk: int = Field(16384, ge=1)
    """Tokens scored at a time; changes memory and speed, not the result."""
    batch_size: int = Field(4, ge=1)
    """Recordings scored side by side."""
    checkpoint: str = Field("best", pattern=r"^(best|last|\d+)$")
    """Which checkpoint: best, last, or a step number."""
    ema: bool = True
    """Use the moving average of the weights where the run has one."""
    device: str = Field("auto", pattern=DEVICE_PATTERN)
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 takes one for each core but one, since a core that is busy otherwise holds all of them up."""
