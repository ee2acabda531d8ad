"""Settings of generation: what it starts from, how much, how it samples."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.durations import Duration
from seqgen_core.settings.train import DEVICE_PATTERN

SoundFormat = Literal["wav", "wav24", "float", "flac", "mp3", "opus"]
"""How sound is written; the plain wav is of 16 bits, float of 32."""


class GenerateSettings(Settings):
    """How clips are drawn from a trained model."""

    conditional: bool = False
    """Continue real excerpts drawn from the test split."""
    prime: str | None = None
    """Continue this: a file of sound, notes or an image, of any format, or a text (the words themselves or a file)."""
    prime_seconds: Duration | None = Field(None, gt=0)
    """Length of the excerpt that is continued; without it two seconds, or the receptive field where that is longer."""
    rows: int | None = Field(None, ge=0)
    """Rows of an image that are given; without it half of them."""
    features: Path | None = None
    """Features for a model with local conditioning: a sound file to take them from, or .npy of (frames, numbers)."""
    split: Literal["train", "valid", "test"] = "test"
    """Split from which excerpts are drawn."""
    seconds: Duration | None = Field(None, gt=0)
    """Length of each clip; without it 2 s of sound or as long as the features, 30 s of notes."""
    length: int | None = Field(None, ge=1)
    """Length of each clip in tokens, in place of seconds; without it 500 of text, or the whole image."""
    count: int = Field(1, ge=1)
    """Clips to draw."""
    batch_size: int = Field(8, ge=1)
    """Clips drawn side by side."""
    temperature: float = Field(1.0, ge=0, le=100)
    """Below 1 more conservative, above 1 wilder; 0 always takes the likeliest token."""
    top_k: int = Field(0, ge=0)
    """Sample among the k likeliest tokens only (of piano rolls: at most k keys a frame); 0 means all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample among the likeliest tokens that together hold this probability; keys below 1 - p stay silent."""
    rank: int = Field(0, ge=0)
    """Draw so many candidates per start; of all but the least likely 40 % and likeliest 5 % keep the best; 0: off."""
    dither: bool = False
    """Free sound that is trapped: after 50 ms within one code either way, the next 10 ms are drawn at temperature 1."""
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
    engine: Literal["auto", "cpu", "torch", "cuda"] = "auto"
    """What steps the model: auto takes the fastest that fits; cpu, compiled loops; torch; cuda, one kernel for all."""
    weights: Literal["fp32", "bf16", "int8"] = "fp32"
    """Weights while drawing: fp32 is exact; bf16 and int8 are faster for large models; --verify tells the cost."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 takes one, or for large models more, but leaves a core free."""
    block: Duration = Field(0.05, gt=0, le=10)
    """Seconds of sound that --stream writes at a time; texts come token by token."""
    format: SoundFormat = "wav"
    """Files of sound: wav (16 bits), wav24, float (32-bit), flac, mp3 or opus."""
    bitrate: int | None = Field(None, ge=6, le=320)
    """kbit/s of mp3 and opus; without it what suits the sampling rate."""
    out: Path | None = None
    """Folder for the clips; without it samples/<time> in the run, or NAME-samples/<time> beside an exported file."""
