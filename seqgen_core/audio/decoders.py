"""Two decoders behind one face: libsndfile through soundfile, FFmpeg's libraries through PyAV.

libsndfile goes first; MP3 goes straight to PyAV, since libsndfile's decoder writes its complaints to the terminal.
Axes: T time in frames, C channels.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import av
import av.error
import numpy as np
import soundfile
from numpy.typing import NDArray

# Demuxers of plain sound files. Playlists (hls, concat and the like) are left out: one named .wav could make the
# library open other files, or addresses on the network.
_DEMUXERS = (
    "wav,w64,flac,ogg,mp3,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,aiff,au,caf,asf,ac3,eac3,amr,ape,wv,tta,mpeg,mpegts"
)
_SMALL_BLOCK = 4096  # frames; a decoder that fails loses the block it fails in


class DecodeError(Exception):
    """A decoder could not open or go on with a file; the text says why."""


class SoundfileDecoder:
    """Frames by libsndfile."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # takes names that are not valid Unicode
        try:
            self._file = soundfile.SoundFile(descriptor, closefd=True)
        except (soundfile.SoundFileError, TypeError, ValueError) as problem:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise DecodeError(_plain(problem)) from None
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.frames: int | None = self._file.frames
        self.container: str = self._file.format.lower()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """float32 (T, C), T at most 4096. Raises DecodeError."""
        while True:
            try:
                block = self._file.read(_SMALL_BLOCK, dtype="float32", always_2d=True).astype(np.float32, copy=False)
            except soundfile.SoundFileError as problem:
                raise DecodeError(_plain(problem)) from None
            if not len(block):
                return
            yield block

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class _Seekable:
    """A file whose seek answers -1 for a place before the start, where PyAV would put a traceback on the screen."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read, self.tell, self.close = stream.read, stream.tell, stream.close
        self._seek = stream.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except OSError:
            return -1


class AvDecoder:
    """Frames by FFmpeg's libraries; the first frame, not the header, tells rate and channels (as HE-AAC needs)."""

    def __init__(self, path: Path) -> None:
        self._stack = contextlib.ExitStack()
        try:
            stream = _Seekable(self._stack.enter_context(path.open("rb")))
            container: Any = av.open(
                stream, mode="r", metadata_errors="ignore", options={"format_whitelist": _DEMUXERS}
            )
            self._stack.enter_context(container)
            if not container.streams.audio:
                raise DecodeError("it holds no sound")
            sound = container.streams.audio[0]
            self._frames = container.decode(sound)
            self._first: Any = next(self._frames, None)
        except DecodeError:
            self.close()
            raise
        except (av.error.FFmpegError, OSError, ValueError, AttributeError) as problem:
            self.close()
            raise DecodeError(_plain(problem)) from None
        frame = self._first
        self.rate: int = frame.sample_rate if frame else sound.rate or 0
        self.channels: int = len(frame.layout.channels) if frame else sound.channels
        self.container: str = container.format.name.split(",")[0]
        self.frames: int | None = None
        if sound.duration is not None and sound.time_base is not None:
            self.frames = round(float(sound.duration * sound.time_base) * self.rate)
        elif container.duration is not None:
            self.frames = round(container.duration / av.time_base * self.rate)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """float32 (T, C), T as the codec cuts its frames. Raises DecodeError."""
        frame = self._first
        while frame is not None:
            channels = len(frame.layout.channels)
            if (frame.sample_rate, channels) != (self.rate, self.channels):
                raise DecodeError(
                    f"its sound changes from {self.rate} Hz with {self.channels} channels "
                    f"to {frame.sample_rate} Hz with {channels}"
                )
            yield _frame_to_float(frame, channels)
            try:
                frame = next(self._frames, None)
            except (av.error.FFmpegError, OSError, ValueError) as problem:
                raise DecodeError(_plain(problem)) from None

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()


Decoder = SoundfileDecoder | AvDecoder


def _frame_to_float(frame: Any, channels: int) -> NDArray[np.float32]:
    samples = frame.to_ndarray()  # planar (C, T), packed (1, T * C)
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, channels)  # (T, C)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
        samples = samples.astype(np.float64) / full_scale
    return np.ascontiguousarray(samples, dtype=np.float32)


def _plain(problem: Exception) -> str:
    """The library's own words, without its numbers and the name of the file."""
    text = getattr(problem, "error_string", None) or getattr(problem, "strerror", None) or str(problem)
    return " ".join(text.split()).rstrip(".") or type(problem).__name__
