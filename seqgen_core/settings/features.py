"""Settings of features that a model is told beside the tokens."""

from typing import Literal

from pydantic import Field, model_validator

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
    low: float = Field(0.0, ge=0)
    """Where the lowest band begins, in Hz."""
    high: float | None = Field(None, gt=0)
    """Where the highest band ends, in Hz; unset is half the rate."""

    @model_validator(mode="after")
    def _bands_within_the_sound(self) -> "MelSettings":
        if not self.low < self.top <= self.rate / 2:
            raise ValueError(
                f"bands from {self.low:g} to {self.top:g} Hz; sound at {self.rate} Hz has 0 to {self.rate / 2:g} Hz"
            )
        return self

    @property
    def top(self) -> float:
        """Where the highest band ends, in Hz."""
        return self.rate / 2 if self.high is None else self.high

    def __str__(self) -> str:
        return f"mel spectra of {self.bands} bands every {self.hop} samples at {self.rate} Hz"
