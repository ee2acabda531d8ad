"""Settings of `seqgen preprocess`: from raw files to tokens on disk."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from seqgen_core.settings.base import Settings
from seqgen_core.settings.codec import SOUND_NAMES, AudioCodecSettings, CodecName

_ADDRESS = re.compile(r"^(tcp|tls|ucx|ws|wss)://[^\s/]+:\d{1,5}/?$")  # the protocols that Dask speaks


class PreprocessSettings(Settings):
    """How raw files become tokens. Amplitude is never rescaled per item but by the samplernn-… codecs."""

    inputs: tuple[Path, ...] = (Path("data/raw"),)
    """Folders (searched in depth) and files: sound, text, piano rolls or images."""
    out: Path = Path("data/prepared")
    """Folder for the prepared data."""
    rate: int = Field(16000, ge=100, le=768000)
    """Sampling rate in Hz that all sound is resampled to."""
    codec: CodecName | None = None
    """Kind of token; unset takes mu-law for sound, characters for text, piano-roll for notes, pixels for images."""
    levels: int | None = Field(None, ge=2, le=65536)
    """Number of codes of sound, 2 to 65536, or of intensities, 2 to 256; unset is 256, or 65536 with pcm16."""
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
    """Share of recordings (of few, of their duration) drawn for validation, unless folders or lists say which."""
    test_share: float = Field(0.05, ge=0, le=0.9)
    """Share of recordings (of few, of their duration) drawn for the test, unless folders or lists say which."""
    seed: int = Field(0, ge=0)
    """Seed of the draw; it depends on this and the recording's bytes alone, so new files do not reshuffle old ones."""
    labels: str = Field("none", min_length=1)
    """Class labels: none, folder (its name), a pattern of names such as "{label}_{}_{}.wav", or a CSV of file,label."""
    features: Literal["none", "mel"] = "none"
    """With mel, log-mel spectra are stored beside the sound, for a model with local conditioning."""
    mel_bands: int = Field(80, ge=1, le=1024)
    """Bands of the mel spectra."""
    mel_hop: int = Field(200, ge=1, le=65536)
    """Samples from one mel spectrum to the next."""
    mel_window: int = Field(800, ge=2, le=65536)
    """Samples that each mel spectrum looks at."""
    frames_per_second: float = Field(4.0, gt=0, le=1000)
    """Frames of a piano roll per second: MIDI files are sampled so; rolls that come as such are played so."""
    image_size: str | None = Field(None, pattern=r"^[1-9]\d*x[1-9]\d*$")
    """Height x width that images are scaled to, such as 32x32; unset, all images must have one size."""
    grey: bool = False
    """Make images grey."""
    task: Literal["none", "copy-memory", "adding"] = "none"
    """Generate a synthetic data set in place of reading inputs: copy-memory or adding."""
    task_length: int = Field(100, ge=1, le=1_000_000)
    """Steps over which a synthetic task asks the model to remember."""
    task_count: int = Field(1000, ge=3, le=1_000_000)
    """Sequences of a synthetic task, all splits together."""
    jobs: int = Field(0, ge=0, le=1024)
    """Processes at work; 0 takes one per core, 1 works without further processes."""
    cluster: str | None = None
    """Dask scheduler whose workers prepare sound in place of processes of this machine, such as tcp://host:8786."""

    @field_validator("cluster")
    @classmethod
    def _address(cls, cluster: str | None) -> str | None:
        if cluster is not None and not _ADDRESS.match(cluster):
            raise ValueError("a scheduler's address is written tcp://host:port, or tls://host:port")
        return cluster

    @model_validator(mode="after")
    def _leaves_training_data(self) -> "PreprocessSettings":
        if self.valid_share + self.test_share >= 1:
            total = self.valid_share + self.test_share
            raise ValueError(f"valid_share + test_share is {total:g}; below 1 is needed, to leave training data")
        return self

    @model_validator(mode="after")
    def _levels_fit(self) -> "PreprocessSettings":
        if self.codec == "pcm16" and self.levels not in (None, 65536):
            raise ValueError(f"pcm16 has 65536 levels, not {self.levels}; for other numbers there is codec=linear")
        return self

    @property
    def sound_codec(self) -> AudioCodecSettings:
        """The codec of sound that these settings describe."""
        kind = self.codec if self.codec in SOUND_NAMES else "mu-law"
        levels = self.levels or (65536 if kind == "pcm16" else 256)
        return AudioCodecSettings.model_validate({"kind": kind, "rate": self.rate, "levels": levels})
