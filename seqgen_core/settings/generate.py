"""Settings of generation: what it starts from, how much, how it samples."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.durations import Duration
from seqgen_core.settings.train import DEVICE_PATTERN


class GenerateSettings(Settings):
    """How clips are drawn from a trained model."""

    conditional: bool = False
    """Continue real excerpts drawn from the test split."""
    prime: Path | None = None
    """Continue this sound file, of any format and rate."""
    prime_seconds: Duration | None = Field(None, gt=0)
    """Length of the excerpt that is continued; without it two seconds, or the receptive field where that is longer."""
    split: Literal["train", "valid", "test"] = "test"
    """Split from which excerpts are drawn."""
    seconds: Duration = Field(2.0, gt=0)
    """Length of each clip."""
    length: int | None = Field(None, ge=1)
    """Length of each clip in tokens, in place of seconds."""
    count: int = Field(1, ge=1)
    """Clips to draw."""
    batch_size: int = Field(8, ge=1)
    """Clips drawn side by side."""
    temperature: float = Field(1.0, ge=0, le=100)
    """Below 1 more conservative, above 1 wilder; 0 always takes the likeliest token."""
    top_k: int = Field(0, ge=0)
    """Sample among the k likeliest tokens only; 0 means all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample among the likeliest tokens that together hold this probability."""
    seed: int = Field(0, ge=0)
    """Seed; a clip depends on it and on its own number alone."""
    label: str | None = None
    """Class to generate, by name or number, for a model trained with labels."""
    checkpoint: str = Field("best", pattern=r"^(best|last|\d+)$")
    """Which checkpoint: best, last, or a step number."""
    ema: bool = True
    """Use the moving average of the weights where the run has one."""
    device: str = Field("auto", pattern=DEVICE_PATTERN)
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 takes one for small batches, and one for each core but one for larger ones."""
    out: Path | None = None
    """Folder for the clips; without it samples/<time> in the run."""
