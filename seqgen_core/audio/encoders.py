"""Sound to files: WAV of 16, 24 or 32 bits, FLAC, MP3 and Opus, piece by piece, with a few words about what it is.

wav, flac: 16-bit PCM; wav24: 24-bit PCM; float: 32-bit floating point WAV, nothing clamped. These come back from
reading exactly to their depth; a WAV beyond 4 GiB is RF64 (EBU Tech 3306), which states such sizes. mp3 (LAME) and opus
(libopus, in Ogg) lose what is hard to hear, and know few sampling rates; sound of another rate is resampled to the next
one that they know. Loudness is left alone.
Axes: T time in frames, C channels.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from seqgen_core.audio.codec import first_non_finite
from seqgen_core.audio.resample import ResampleStream
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import written_atomically
from seqgen_core.settings.generate import SoundFormat

_PCM = {"wav": ("WAV", "PCM_16"), "wav24": ("WAV", "PCM_24"), "float": ("WAV", "FLOAT"), "flac": ("FLAC", "PCM_16")}
"""Container and kind of sample for libsndfile."""
_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
"""Of one sample."""
RIFF_LIMIT = 2**32 - 2**16
"""Bytes of samples that a WAV file surely holds beside what it says of itself, as it states its size in 32 bits."""
_LOSSY = {"mp3": ("libmp3lame", "mp3", "fltp"), "opus": ("libopus", "ogg", "flt")}
"""Encoder, container and kind of sample for FFmpeg."""
_RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (8000, 12000, 16000, 24000, 48000),
}
"""Hz that the encoders take; MPEG-1 and 2 layer III with the extension to half the rates, and RFC 6716, section 2."""


@dataclass(frozen=True)
class Tags:
    """What a file says of itself: RIFF INFO, Vorbis comments, ID3, PNG text, or the name of a MIDI track."""

    title: str = ""
    software: str = ""
    comment: str = ""

    def of(self, part: str) -> "Tags":
        """The same of one part of what these are about."""
        return Tags(f"{self.title}, {part}", self.software, self.comment)


@dataclass(frozen=True)
class Encoding:
    """How sound is written. bitrate: kbit/s of mp3 or opus; None takes what suits the rate."""

    format: SoundFormat = "wav"
    bitrate: int | None = None

    @property
    def suffix(self) -> str:
        """What the names of such files end in, without the dot."""
        return "wav" if self.format in ("wav24", "float") else self.format

    def rate(self, rate: int) -> int:
        """Hz at which sound of `rate` Hz is written: the same, or the next one up that the encoder knows."""
        known = _RATES.get(self.format)
        return rate if known is None else next((one for one in known if one >= rate), known[-1])

    def kbits(self, rate: int) -> int | None:
        """kbit/s for sound of `rate` Hz, the nearest that the encoder knows; None where it has none."""
        if self.format not in _LOSSY:
            return None
        known = self.rate(rate)
        wanted = self.bitrate or _usual_bitrate(self.format, known)
        return min(_bitrates(self.format, known), key=lambda possible: abs(possible - wanted))

    def check(self, rate: int) -> None:
        """Raise UsageError where a bit rate cannot be meant for sound of `rate` Hz in this format."""
        if self.bitrate is None:
            return
        if self.format not in _LOSSY:
            raise UsageError(
                f"bitrate = {self.bitrate} is of mp3 and opus, not of {self.format}.", hint="Leave it out."
            )
        lowest, *_, highest = _bitrates(self.format, self.rate(rate))
        if not lowest <= self.bitrate <= highest:
            raise UsageError(
                f"bitrate = {self.bitrate} kbit/s; {self.format} at {self.rate(rate)} Hz takes {lowest} to {highest}.",
                hint="Name one of these, or leave it out.",
            )


def write_sound(
    path: Path,
    waveform: NDArray[np.floating] | Iterable[NDArray[np.floating]],
    rate: int,
    encoding: Encoding | None = None,
    tags: Tags | None = None,
    *,
    length: int | None = None,
) -> None:
    """Write a waveform (T,), or (T, C) where nothing is lost, in [-1, 1] at `rate` Hz, atomically.

    It may come in pieces, none of which is kept; length: T, which a WAV file of pieces must know beforehand to hold
    more than 4 GiB. What is beyond full scale is clamped, but for 32-bit floats.
    Raises SeqgenError where a sample is not finite or the file could not hold more, UsageError as Encoding.check does,
    OSError.
    """
    encoding = encoding or Encoding()
    encoding.check(rate)
    if isinstance(waveform, np.ndarray):
        waveform, length = [waveform], len(waveform)
    pieces = _finite(iter(waveform), path)
    first = next(pieces, np.zeros(0))
    pieces = itertools.chain([first], pieces)
    if encoding.format in _LOSSY:
        _write_lossy(Path(path), pieces, rate, encoding, tags)
    else:
        _write_pcm(Path(path), pieces, rate, first[:1].size or 1, encoding, tags, length or 0)


def pcm16(waveform: NDArray[np.floating]) -> NDArray[np.int16]:
    """Amplitudes in [-1, 1], of any shape, as 16-bit samples; k / 32768 becomes k, and what is beyond is clamped."""
    return np.clip(np.round(np.asarray(waveform, np.float64) * 32768), -32768, 32767).astype("<i2")


class _Checked:
    """A stream for libraries that cannot hear of an OSError in the middle of their work: it is raised by `check`."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.read, self.tell, self.flush = stream.read, stream.tell, stream.flush
        self._write, self._seek, self._path = stream.write, stream.seek, path
        self._problem: OSError | None = None

    def write(self, data: bytes) -> int:
        if self._problem is None:
            try:
                return self._write(data)
            except OSError as problem:
                self._problem = problem
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        if self._problem is None:
            try:
                return self._seek(offset, whence)  # writes what was held back
            except OSError as problem:
                self._problem = problem
        return 0

    def check(self) -> None:
        """Raise the OSError that a write met, naming the file."""
        if self._problem is not None:
            raise OSError(self._problem.errno, self._problem.strerror, str(self._path))


@contextlib.contextmanager
def _written(path: Path) -> Generator[_Checked]:
    """A stream whose content replaces `path` at the end. Raises OSError, leaving what was there."""
    with written_atomically(path) as stream:
        checked = _Checked(stream, path)
        yield checked
        checked.check()


def _finite(pieces: Iterator[NDArray[np.floating]], path: Path) -> Iterator[NDArray[np.float64]]:
    written = 0
    for piece in pieces:
        samples = np.asarray(piece, np.float64)
        bad = first_non_finite(samples.reshape(-1))
        if bad is not None:
            raise SeqgenError(
                f"sample {written + bad} for {path} is {samples.reshape(-1)[bad]}.", "A waveform of finite numbers."
            )
        yield samples
        written += samples.size


def _write_pcm(
    path: Path,
    pieces: Iterable[NDArray[np.float64]],
    rate: int,
    channels: int,
    encoding: Encoding,
    tags: Tags | None,
    length: int,
) -> None:
    container, subtype = _PCM[encoding.format]
    most = RIFF_LIMIT // (channels * _BYTES[subtype])
    if container == "WAV" and length > most:
        container = "RF64"
    with (
        _written(path) as stream,
        soundfile.SoundFile(cast(BinaryIO, stream), "w", rate, channels, format=container, subtype=subtype) as sound,
    ):
        if tags is not None:  # before the first sample, so that they stand at the beginning
            for name, text in dataclasses.asdict(tags).items():
                if text:
                    setattr(sound, name, text)
        written = 0
        for samples in pieces:
            written += len(samples)
            if container == "WAV" and written > most:
                raise SeqgenError(
                    f"{path}: a WAV file holds {most:,} samples of {_BYTES[subtype]} bytes; here are more.",
                    hint="Write another format, such as flac.",
                )
            sound.write(_samples(samples, subtype))
            stream.check()


def _samples(samples: NDArray[np.float64], subtype: str) -> NDArray:
    if subtype == "FLOAT":
        return samples.astype(np.float32)
    if subtype == "PCM_16":
        return pcm16(samples)
    return np.clip(np.round(samples * 2**23), -(2**23), 2**23 - 1).astype(np.int32) << 8  # its upper 24 bits are taken


def _write_lossy(
    path: Path, pieces: Iterable[NDArray[np.float64]], rate: int, encoding: Encoding, tags: Tags | None
) -> None:
    codec, container, samples = _LOSSY[encoding.format]
    known = encoding.rate(rate)
    kbits = encoding.kbits(rate)
    assert kbits is not None
    gain = 1 / _lame_scale(kbits) if encoding.format == "mp3" else 1.0
    resampler = ResampleStream(rate, known)
    with _written(path) as stream, av.open(stream, "w", format=container) as out:
        if tags is not None:
            out.metadata.update(title=tags.title, comment=tags.comment, encoded_by=tags.software)
        track = out.add_stream(codec, rate=known, layout="mono")
        assert isinstance(track, av.AudioStream)
        track.bit_rate = 1000 * kbits
        done = 0
        for part in itertools.chain((resampler.push(_mono(piece)) for piece in pieces), _late(resampler)):
            if len(part):
                loud = np.float32(gain) * np.clip(part, -1, 1)
                frame = av.AudioFrame.from_ndarray(loud[None], format=samples, layout="mono")
                frame.sample_rate, frame.pts = known, done
                out.mux(track.encode(frame))
                stream.check()
                done += len(part)
        out.mux(track.encode(None))


def _mono(piece: NDArray[np.float64]) -> NDArray[np.float32]:
    if piece.ndim != 1:
        raise ValueError(f"a waveform {piece.shape}; mp3 and opus are written from (T,)")
    return piece.astype(np.float32)


def _late(resampler: ResampleStream) -> Iterator[NDArray[np.float32]]:
    """What the resampler still holds, asked for when all else was taken."""
    yield resampler.finish()


def _bitrates(name: str, rate: int) -> Sequence[int]:
    """The kbit/s that there are; of MP3 by ISO 11172-3 and 13818-3, of mono Opus by RFC 6716, section 2."""
    if name == "opus":
        return range(6, 257)
    if rate >= 32000:
        return (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    halved = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    return halved if rate >= 16000 else halved[:8]


def _usual_bitrate(name: str, rate: int) -> int:
    """kbit/s at which little of a mono recording is missed."""
    if name == "opus":
        return 64 if rate >= 24000 else 48 if rate >= 16000 else 32
    return 128 if rate >= 32000 else 96 if rate >= 16000 else 64


def _lame_scale(kbits: int) -> float:
    """What LAME multiplies samples by at a constant bit rate, against clipping; undone, as loudness is left alone."""
    return next((scale for most, scale in ((160, 0.95), (192, 0.97), (224, 0.98)) if kbits <= most), 1.0)
