"""Sound files in and out: any common format as blocks of float32, 16-bit WAV as output (encoders.py has others).

What a damaged file gives is decided here. Sound that decodes is used, with a warning that says what is missing: a file
that was cut, that states a wrong length, or whose decoding stops half-way. A file is set aside, with
UnreadableSoundError, where no sample can be decoded, a sample is not a finite number, or its sampling rate cannot be
meant.
Axes: T time in frames, C channels.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.codec import first_non_finite
from seqgen_core.audio.containers import mp3_states_its_length, ogg_lacks_its_end, starts_like_mp3, wav_data
from seqgen_core.audio.decoders import AvDecoder, DecodeError, Decoder, SoundfileDecoder
from seqgen_core.audio.encoders import pcm16 as pcm16
from seqgen_core.audio.encoders import write_sound
from seqgen_core.audio.resample import ResampleStream
from seqgen_core.errors import SeqgenError

SLOWEST_RATE, FASTEST_RATE = 1000, 768_000  # Hz
BLOCK = 65536  # frames of a block, about; memory use does not depend on the file's length
_SHORTFALL = 0.1  # seconds less than stated that are no damage: encoders' padding and rounded durations


class UnreadableSoundError(SeqgenError):
    """A file that gives no usable sound; `reason` is a phrase about it that does not repeat its name."""

    def __init__(self, path: Path, reason: str) -> None:
        name = str(path).encode("utf-8", "backslashreplace").decode()
        super().__init__(f"{name}: {reason}.", "A sound file that decodes (wav, flac, ogg, opus, mp3, m4a, webm, …).")
        self.reason = reason


@dataclass(frozen=True)
class SoundInfo:
    """What a header says: rate in Hz, channels, frames (None where it does not say) and the kind of container."""

    rate: int
    channels: int
    frames: int | None
    container: str

    @property
    def seconds(self) -> float | None:
        """Length as stated, None where the header does not say."""
        return None if self.frames is None else self.frames / self.rate


class SoundFile:
    """A file open for one pass over its sound.

    Raises UnreadableSoundError where it cannot be opened. `warnings` holds phrases about damage once
    `blocks` has ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.warnings: list[str] = []
        self._decoder, frames = self._open()
        self.info = SoundInfo(self._decoder.rate, self._decoder.channels, frames, self._decoder.container)
        if not SLOWEST_RATE <= self.info.rate <= FASTEST_RATE:
            self.close()
            raise UnreadableSoundError(
                self.path,
                f"its header says {self.info.rate} Hz; {SLOWEST_RATE} to {FASTEST_RATE} Hz can be meant",
            )

    def __enter__(self) -> "SoundFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """float32 (T, C) in order, T about 65536.

        Raises UnreadableSoundError where there is no sound or a sample is not finite.
        """
        done, held, waiting = 0, 0, []
        stopped = ""
        source = self._decoder.blocks()
        while True:
            try:
                block = next(source, None)
            except DecodeError as problem:
                block, stopped = None, str(problem)
            if block is not None:
                bad = first_non_finite(block.reshape(-1))
                if bad is not None:
                    frame = done + held + bad // self.info.channels
                    value, second = block.reshape(-1)[bad], frame / self.info.rate
                    raise UnreadableSoundError(
                        self.path, f"sample {frame} (at {second:.4f} s) is {value}, not a finite number"
                    )
                waiting.append(block)
                held += len(block)
            if held and (block is None or held >= BLOCK):
                yield np.concatenate(waiting)
                done, held, waiting = done + held, 0, []
            if block is None:
                break
        if not done:
            raise UnreadableSoundError(
                self.path, f"no sound could be decoded: {stopped}" if stopped else "it has no samples"
            )
        self._look_at_the_end(done, stopped)

    def _open(self) -> tuple[Decoder, int | None]:
        """The decoder that reads the file, and the number of frames that the header states."""
        try:
            if self.path.is_dir():
                raise UnreadableSoundError(self.path, "it is a folder")
            if self.path.stat().st_size == 0:
                raise UnreadableSoundError(self.path, "it is empty (0 bytes)")
            mp3 = starts_like_mp3(self.path)
            decoder = (
                self._decoder_for(AvDecoder, SoundfileDecoder)
                if mp3
                else self._decoder_for(SoundfileDecoder, AvDecoder)
            )
            return decoder, self._stated_frames(decoder)
        except OSError as problem:
            raise UnreadableSoundError(self.path, f"it cannot be read: {problem.strerror or problem}") from None

    def _decoder_for(self, first: type[Decoder], second: type[Decoder]) -> Decoder:
        """The first decoder that takes the file; the other one where the first sees no frame in it."""
        try:
            decoder = first(self.path)
        except DecodeError as refusal:
            try:
                return second(self.path)
            except DecodeError as other:
                raise UnreadableSoundError(self.path, _refusal(str(refusal), str(other))) from None
        if decoder.frames == 0:
            with contextlib.suppress(DecodeError):
                other = second(self.path)
                decoder.close()
                if other.frames:
                    self.warnings.append("its header states a length of 0; what is there was used")
                return other
        return decoder

    def _stated_frames(self, decoder: Decoder) -> int | None:
        data = wav_data(self.path)
        if data is not None and decoder.frames:
            if data.promised is None:
                self.warnings.append("its header does not state the true length; what is there was used")
            elif data.promised > data.present > 0:
                return round(decoder.frames * data.promised / data.present)
            return decoder.frames
        if decoder.container in ("mp3", "mpeg") and not mp3_states_its_length(self.path):
            return None  # the decoder guesses from the bit rate
        return decoder.frames

    def _look_at_the_end(self, done: int, stopped: str) -> None:
        rate, stated = self.info.rate, self.info.frames
        short = stated is not None and stated - done > max(_SHORTFALL * rate, 0.01 * stated)
        if stopped:
            of = f" of {stated / rate:.2f} s" if stated else ""
            why = "" if stopped.startswith("Internal") else f" ({stopped})"  # libsndfile's words for a missing end
            self.warnings.append(f"damaged: decoding stopped after {done / rate:.2f} s{of}{why}")
        elif short and stated is not None:
            self.warnings.append(f"cut short: {done / rate:.2f} s of the {stated / rate:.2f} s that its header states")
        elif ogg_lacks_its_end(self.path):
            self.warnings.append(f"cut short: its last page is missing ({done / rate:.2f} s were there)")


def probe(path: Path) -> SoundInfo:
    """What the header of a file says. Raises UnreadableSoundError."""
    with SoundFile(path) as sound:
        return sound.info


def read_blocks(path: Path) -> Iterator[NDArray[np.float32]]:
    """float32 (T, C) blocks of a whole file in constant memory. Raises UnreadableSoundError."""
    with SoundFile(path) as sound:
        yield from sound.blocks()


def read_mono(path: Path, rate: int) -> NDArray[np.float32]:
    """A whole file of any format as float32 (T,): channels averaged, then resampled.

    Raises UnreadableSoundError.
    """
    with SoundFile(path) as sound:
        stream = ResampleStream(sound.info.rate, rate)
        parts = [stream.push(block.mean(axis=1, dtype=np.float32)) for block in sound.blocks()]
        return np.concatenate([*parts, stream.finish()])


def write_wav(path: Path, waveform: NDArray[np.floating] | Iterable[NDArray[np.floating]], rate: int) -> None:
    """Write a waveform (T,) or (T, C) in [-1, 1] as 16-bit PCM, atomically; what is beyond full scale is clamped.

    It may come in pieces, none of which is kept. A sample k / 32768 comes back from reading exactly.
    Raises SeqgenError where a sample is not finite, OSError.
    """
    write_sound(path, waveform, rate)


def _refusal(first: str, second: str) -> str:
    """One phrase from what two decoders said; general words add nothing to particular ones."""
    general = ("Format not recognised", "Invalid data found when processing input", "Invalid argument")
    particular = list(dict.fromkeys(said for said in (first, second) if said not in general))
    if not particular:
        return "its content is no sound in a known format, or its beginning is damaged"
    return f"it cannot be decoded: {'; '.join(particular)}"
