"""Files of any kind as streams of tokens, by the codec of a run; every kind of data meets here."""

from pathlib import Path

import numpy as np

from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)
from seqgen_core.settings.features import MelSettings
from seqgen_core.streams import Stream, Upsampled


def start_token(codec: CodecSettings) -> np.ndarray:
    """What generation from nothing begins with, int64 (*shape): silence, the end of a line, no keys, a blank."""
    if isinstance(codec, AudioCodecSettings):
        from seqgen_core.audio.codec import AudioCodec

        return np.array(AudioCodec(codec).silence, np.int64)
    if isinstance(codec, TextCodecSettings):
        from seqgen_core.text.codec import TextCodec

        return TextCodec(codec).start
    return np.zeros(codec.tokens.shape, np.int64)


def read_stream(path: Path, codec: CodecSettings, gain: float = 1.0, features: MelSettings | None = None) -> Stream:
    """A person's own file, of any format of its kind, as the codec's tokens.

    gain: factor of amplitudes, that of the training data. features: how features are made of it, if the run has any.
    Raises SeqgenError or UsageError, naming the file, for one of no use.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", hint="Check the name.")
    told = None
    if isinstance(codec, AudioCodecSettings):
        from seqgen_core.audio.codec import AudioCodec
        from seqgen_core.audio.features import mel_spectra
        from seqgen_core.audio.files import read_mono

        waveform = read_mono(path, codec.rate) * np.float32(gain)
        tokens = AudioCodec(codec).encode(waveform)
        if features is not None:  # of the sound itself, as in the training data, not of what its tokens leave of it
            told = Upsampled(mel_spectra(waveform, features), features.hop, len(tokens))
    elif isinstance(codec, TextCodecSettings):
        from seqgen_core.text.codec import TextCodec

        tokens = TextCodec(codec).read(path)
    elif isinstance(codec, NotesCodecSettings):
        from seqgen_core.notes.codec import NotesCodec

        tokens = NotesCodec(codec).read(path)
    else:
        tokens = read_image_tokens(path, codec, codec.height)
    if len(tokens) < 2:
        raise SeqgenError(
            f"{path} holds {len(tokens)} {codec.unit}{'' if len(tokens) == 1 else 's'}; nothing can be predicted.",
            f"At least two {codec.unit}s.",
        )
    return Stream(str(path), tokens, features=told)


def read_streams(
    path: Path, codec: CodecSettings, gain: float = 1.0, features: MelSettings | None = None
) -> list[Stream]:
    """All recordings of a person's own file: as `read_stream`, but every test sequence of a file of piano rolls."""
    if isinstance(codec, NotesCodecSettings) and path.suffix.lower() == ".mat":
        from seqgen_core.notes.mat import read_mat

        read_stream(path, codec)  # raises where the keys are not the codec's
        rolls = read_mat(path)["test"]
        return [Stream(f"{path} test {number}", roll) for number, roll in enumerate(rolls, start=1) if len(roll) > 1]
    return [read_stream(path, codec, gain, features)]


def read_image_tokens(path: Path, codec: PixelsCodecSettings, rows: int) -> np.ndarray:
    """The first `rows` rows of an image as tokens. Raises SeqgenError where it is no image of the codec's size."""
    from seqgen_core.images.codec import PixelsCodec

    return PixelsCodec(codec).read(path, rows)


def encode_text(text: str, codec: TextCodecSettings) -> np.ndarray:
    """A text as tokens (N,). Raises SeqgenError that names what the codec does not know."""
    from seqgen_core.text.codec import TextCodec

    return TextCodec(codec).encode(text)
