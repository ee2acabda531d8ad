"""Sound: tokens to 16-bit WAV files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import write_wav
from seqgen_core.generation.kept import Tokens, pieces
from seqgen_core.previews import Preview
from seqgen_core.settings.codec import AudioCodecSettings


class SoundRenderer:
    """Writes each clip as one WAV file."""

    separable = True

    def __init__(self, settings: AudioCodecSettings) -> None:
        self.codec = AudioCodec(settings)

    def write(self, tokens: Tokens, stem: Path) -> dict[str, str]:
        """Write tokens (N,) as stem.wav, piece by piece."""
        name = f"{stem.name}.wav"
        write_wav(stem.with_name(name), (self.codec.decode(piece) for piece in pieces(tokens)), self.codec.rate)
        return {"wav": name}

    def measures(self, tokens: Tokens) -> dict[str, float | str]:
        """Seconds, and the peak and root mean square of the amplitudes."""
        peak, energy = 0.0, 0.0
        for piece in pieces(tokens):
            waveform = self.codec.decode(piece)
            peak = max(peak, float(np.abs(waveform).max()))
            energy += float(np.sum(np.square(waveform, dtype=np.float64)))
        return {
            "seconds": len(tokens) / self.codec.rate,
            "peak": peak,
            "rms": float(np.sqrt(energy / max(1, len(tokens)))),
        }

    def finish(self, folder: Path, clips: Sequence[Tokens]) -> dict[str, str]:
        """Nothing shows all sounds at once."""
        return {}

    def preview(self, tokens: Tokens, name: str) -> Preview:
        """The waveform."""
        return Preview(name, "sound", self.codec.decode(np.asarray(tokens)), self.codec.rate)
