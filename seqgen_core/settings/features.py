"""Settings of features that a model is told beside the tokens."""

from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings


class MelSettings(Settings):
    """Log-mel spectra of sound, one frame every `hop` samples."""

    kind: Literal["mel"] = "mel"
    """Sort of features."""
    rate: int = Field(16000, ge=100, le=768000)
    """Sampling rate of the sound in Hz."""
    bands: int = Field(80, ge=1, le=1024)
    """Bands, the numbers of each frame."""
    hop: int = Field(200, ge=1, le=65536)
    """Samples from one frame to the next; frame k is centred at sample k * hop."""
    window: int = Field(800, ge=2, le=65536)
    """Samples that each frame looks at."""
