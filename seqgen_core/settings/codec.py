"""Settings of the codecs: how the outside world becomes tokens and back."""

from typing import Literal

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.tokens import CategoricalTokens, TokenSpec

Companding = Literal["mu-law", "a-law", "linear"]


class AudioCodecSettings(Settings):
    """Mono sound at one rate, each sample one of `levels` codes."""

    kind: Literal["audio"] = "audio"
    """Sort of codec."""
    rate: int = Field(16000, ge=100, le=768000)
    """Sampling rate in Hz."""
    companding: Companding = "mu-law"
    """Curve between amplitude and code: mu-law, a-law or linear."""
    levels: int = Field(256, ge=2, le=65536)
    """Number of codes, 2 to 65536."""

    @property
    def tokens(self) -> TokenSpec:
        """What one token of this codec is."""
        return CategoricalTokens(values=self.levels, ordered=True)
