"""Sound: tokens to files of sound."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.encoders import Encoding, Tags, write_sound
from seqgen_core.generation.kept import Tokens, pieces
from seqgen_core.previews import Preview
from seqgen_core.settings.codec import AudioCodecSettings


class SoundRenderer:
    """Writes each clip as one file of the encoding."""

    separable = True

    def __init__(self, settings: AudioCodecSettings, encoding: Encoding) -> None:
        self.codec, self.encoding = AudioCodec(settings), encoding

    def write(self, tokens: Tokens, stem: Path, tags: Tags | None = None) -> dict[str, str]:
        """Write tokens (N,) as stem.wav, stem.flac or the like, piece by piece."""
        suffix, waveform = self.encoding.suffix, (self.codec.decode(piece) for piece in pieces(tokens))
        name = f"{stem.name}.{suffix}"
        write_sound(stem.with_name(name), waveform, self.codec.rate, self.encoding, tags, length=len(tokens))
        return {suffix: name}

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
