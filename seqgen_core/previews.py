"""Preview: one thing to show while a model trains, handed from generation to training without tying the two."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Preview:
    """kind says what value is: sound, a float32 waveform (n,) at `rate` Hz; image, uint8 (H, W, 3); text, a str."""

    name: str
    kind: Literal["sound", "image", "text"]
    value: Any
    rate: int = 0
