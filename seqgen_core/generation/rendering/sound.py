"""Sound: tokens to 16-bit WAV files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import write_wav
from seqgen_core.previews import Preview
from seqgen_core.settings.codec import AudioCodecSettings


class SoundRenderer:
    """Writes each clip as one WAV file."""

    separable = True

    def __init__(self, settings: AudioCodecSettings) -> None:
        self.codec = AudioCodec(settings)

    def write(self, tokens: np.ndarray, stem: Path) -> dict[str, str]:
        """Write tokens (N,) as stem.wav."""
        name = f"{stem.name}.wav"
        write_wav(stem.with_name(name), self.codec.decode(tokens), self.codec.rate)
        return {"wav": name}

    def measures(self, tokens: np.ndarray) -> dict[str, float | str]:
        """Seconds, and the peak and root mean square of the amplitudes."""
        waveform = self.codec.decode(tokens)
        return {
            "seconds": len(tokens) / self.codec.rate,
            "peak": float(np.abs(waveform).max()),
            "rms": float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))),
        }

    def finish(self, folder: Path, clips: Sequence[np.ndarray]) -> dict[str, str]:
        """Nothing shows all sounds at once."""
        return {}

    def preview(self, tokens: np.ndarray, name: str) -> Preview:
        """The waveform."""
        return Preview(name, "sound", self.codec.decode(tokens), self.codec.rate)
