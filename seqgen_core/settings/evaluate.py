"""Settings of evaluation: which recordings are scored, with which weights, and how samples are measured."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.durations import Duration
from seqgen_core.settings.train import DEVICE_PATTERN


class EvaluateSettings(Settings):
    """How a trained model is scored, and how clips of it are measured."""

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
    quality: bool = False
    """Draw clips, too, and measure them beside real ones."""
    clips: int = Field(16, ge=2)
    """Clips of each set that --quality draws: continuations, clips from nothing."""
    clips_from: Path | None = None
    """Folder of clips that `seqgen generate` wrote, to be measured in place of newly drawn ones."""
    seconds: Duration | None = Field(None, gt=0)
    """Length of the drawn clips; without it 2 s of sound, 30 s of notes, less where recordings are short."""
    length: int | None = Field(None, ge=1)
    """Length of the drawn clips in tokens, in place of seconds; without it 500 of text, or the whole image."""
    temperature: float = Field(1.0, ge=0, le=100)
    """Temperature at which clips are drawn."""
    top_k: int = Field(0, ge=0)
    """Draw among the k likeliest tokens only; 0 means all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw among the likeliest tokens that together hold this probability."""
    seed: int = Field(0, ge=0)
    """Seed of drawn clips, of the choice of real ones, and of the intervals."""
    resamples: int = Field(1000, ge=1, le=100000)
    """Resamples of the clips behind each interval."""
