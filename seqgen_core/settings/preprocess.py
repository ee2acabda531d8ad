"""Settings of `seqgen preprocess`: from raw files to tokens on disk."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from seqgen_core.settings.base import Settings
from seqgen_core.settings.codec import AudioCodecSettings, Companding


class PreprocessSettings(Settings):
    """How raw sound becomes tokens. Amplitude is never rescaled per file."""

    inputs: tuple[Path, ...] = (Path("data/raw"),)
    """Folders (searched in depth) and files of sound."""
    out: Path = Path("data/prepared")
    """Folder for the prepared data."""
    rate: int = Field(16000, ge=100, le=768000)
    """Sampling rate in Hz that everything is resampled to."""
    companding: Companding = "mu-law"
    """Curve between amplitude and code: mu-law, a-law or linear."""
    levels: int = Field(256, ge=2, le=65536)
    """Number of codes, 2 to 65536."""
    trim_silence: float | None = Field(None, ge=-120, lt=0)
    """Cut silence below this level in dBFS (RMS over 20 ms): at both ends, and inside beyond `longest_silence`."""
    longest_silence: float = Field(1.0, ge=0.1, le=3600)
    """Seconds that are kept of a silence inside a recording when `trim_silence` is set."""
    minimum_seconds: float = Field(0.1, ge=0, le=3600)
    """Shorter recordings (after trimming) are set aside and reported."""
    chunk_seconds: float | None = Field(None, ge=0.1)
    """Cut recordings into items of this many seconds after the split; unset keeps each recording whole."""
    normalise: Literal["none", "peak", "rms"] = "none"
    """One gain for the whole data set: its peak to 0.95, or its RMS to -20 dBFS (louder peaks are clamped)."""
    valid_share: float = Field(0.05, ge=0, le=0.9)
    """Share of recordings drawn for validation, unless folders or download lists say which."""
    test_share: float = Field(0.05, ge=0, le=0.9)
    """Share of recordings drawn for the test, unless folders or download lists say which."""
    seed: int = Field(0, ge=0)
    """Seed of the draw; it depends on this and the recording's bytes alone, so new files do not reshuffle old ones."""
    labels: Literal["none", "folder"] = "none"
    """With folder, the name of the folder that a file is in becomes its class label."""
    jobs: int = Field(0, ge=0, le=1024)
    """Processes at work; 0 takes one per core, 1 works without further processes."""

    @model_validator(mode="after")
    def _leaves_training_data(self) -> "PreprocessSettings":
        if self.valid_share + self.test_share >= 1:
            total = self.valid_share + self.test_share
            raise ValueError(f"valid_share + test_share is {total:g}; below 1 is needed, to leave training data")
        return self

    @property
    def codec(self) -> AudioCodecSettings:
        """The codec that these settings describe."""
        return AudioCodecSettings(rate=self.rate, companding=self.companding, levels=self.levels)
