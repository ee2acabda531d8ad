"""The check that a fetched file passes before it is accepted: all of it decodes, and it is as long as its header says.

A body cut short without a Content-Length, a page of HTML named .mp3 and a lying Content-Length all look like success to
an HTTP client. Decoders are lenient too: cut WAV, MP3, Ogg and Opus files decode without an error, only shorter. So the
decoded length is compared with what the container promises; where it promises nothing, its last piece must be whole.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seqgen_core.data.fetching.reasons import AGAIN, ItemError, Reason

TOLERANCE = 0.1  # seconds that decoded sound may lack: encoders' delay and padding
EXACT_TOLERANCE = 0.02  # seconds; headers that miscount their own bytes are common
EXACT = ("wav", "aiff", "au", "flac")
PICTURE_TOLERANCE = 2.0  # seconds; with a video only its length may be declared, and sound may end before the picture
TOLERANCE_SHARE = 0.001
BAD_PACKETS_SHARE = 0.01  # packets that may fail to decode, as at the start of a recorded stream
SUFFIXES = {
    "wav": ("wav",),
    "w64": ("w64",),
    "aiff": ("aiff", "aif"),
    "au": ("au", "snd"),
    "flac": ("flac",),
    "mp3": ("mp3",),
    "ogg": ("ogg", "opus", "oga"),
    "aac": ("aac",),
    "mov,mp4,m4a,3gp,3g2,mj2": ("m4a", "mp4", "m4b", "mov", "3gp"),
    "matroska,webm": ("webm", "mka", "mkv"),
    "mpegts": ("ts", "aac"),
    "asf": ("wma", "asf"),
    "flv": ("flv",),
    "caf": ("caf",),
}
"""Container, as FFmpeg's libraries name it, to the suffixes that fit it, the usual one first."""


@dataclass(frozen=True)
class Sound:
    """What a complete file holds. suffix: fits the container, whatever the file was called on its server."""

    suffix: str
    rate: int
    channels: int
    seconds: float


def examine(path: Path, suffix: str = "", whole: bool = False) -> Sound:
    """Decode a whole file in constant memory.

    suffix: what its server called it, kept where it fits the container. whole: its length in bytes was confirmed by
    the server, so that a missing end mark is the recording's own.
    Raises ItemError: kind "not-sound", "no-samples", "damaged" or "truncated".
    """
    import av

    samples = packets = bad = 0
    last = None
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise ItemError(NOT_SOUND)
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise ItemError(NOT_SOUND)
            for packet in container.demux(stream):
                if packet.size:
                    packets += 1
                    last = packet.pos, packet.size
                try:
                    samples += sum(frame.samples for frame in packet.decode())
                except av.FFmpegError:
                    bad += 1
            format_name, declared = container.format.name, (container.duration or 0) / av.time_base
            tolerance = PICTURE_TOLERANCE if container.streams.video else TOLERANCE
            if stream.duration and stream.time_base:
                declared, tolerance = float(stream.duration * stream.time_base), TOLERANCE
            rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    except (av.FFmpegError, ValueError, UnicodeDecodeError) as error:
        raise ItemError(_unreadable(path)) from error
    if not samples or not rate:
        raise ItemError(_unreadable(path) if bad else _reason("no-samples", "it holds no samples"))
    seconds = samples / rate
    promised = _promised_seconds(path, format_name, declared, rate)
    tolerance = EXACT_TOLERANCE if format_name in EXACT else tolerance + TOLERANCE_SHARE * (promised or 0)
    if promised is not None and seconds < promised - tolerance:
        raise ItemError(_truncated(f"it holds {seconds:.1f} of the {promised:.1f} seconds that its header says"))
    if not whole and _ends_torn(path, format_name, last):
        raise ItemError(_truncated("its end is missing"))
    if bad > max(1, BAD_PACKETS_SHARE * packets):
        raise ItemError(_reason("damaged", f"{bad} of its {packets} packets do not decode"))
    fitting = SUFFIXES.get(format_name, ())
    chosen = suffix if suffix in fitting else (fitting[0] if fitting else "sound")
    return Sound(chosen, rate, channels, seconds)


NOT_SOUND = Reason("not-sound", "what came is not sound", "Check the address in a browser: it may lead to a page.")


def _reason(kind: str, text: str) -> Reason:
    return Reason(kind, text, "Check the file at its source, or take it off the list.")


def _truncated(how: str) -> Reason:
    return Reason("truncated", f"the file is cut short: {how}", AGAIN, passing=True)


def _unreadable(path: Path) -> Reason:
    """The reason behind a file that no decoder reads: not sound at all, or sound without its header or index."""
    with path.open("rb") as stream:
        head = stream.read(12)
    is_sound = head[4:8] == b"ftyp" or head[:4] in (b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"RIFF", b"FORM")
    return _truncated("its header or index is incomplete") if is_sound else NOT_SOUND


def _promised_seconds(path: Path, format_name: str, declared: float, rate: int) -> float | None:
    """Seconds that the header says, None where it says nothing that can be trusted."""
    with path.open("rb") as stream:
        if format_name == "wav":
            return _promised_by_wav(stream)
        if format_name == "mp3" and not _has_frame_count(stream):
            return None  # a guess from the first frame's bit rate
    return declared if declared > 0 and format_name not in ("ogg", "aac", "mpegts") else None


def _promised_by_wav(stream: BinaryIO) -> float | None:
    """RIFF: what a data chunk that is not all there would last; streams of unknown length say nearly 2 or 4 GB."""
    if stream.read(12)[:4] != b"RIFF":
        return None
    per_second = 0
    while len(head := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt ":
            per_second = struct.unpack("<I", stream.read(size)[8:12])[0]
            stream.seek(size % 2, os.SEEK_CUR)
        elif name == b"data":
            start = stream.tell()
            there = stream.seek(0, os.SEEK_END) - start
            if size >= 0x7FFFF000 or there >= size or not per_second:
                return None
            return size / per_second
        else:
            stream.seek(size + size % 2, os.SEEK_CUR)
    return None


def _has_frame_count(stream: BinaryIO) -> bool:
    """MP3: whether the first frame is a Xing, Info or VBRI header with the number of frames."""
    head = stream.read(10)
    start = 0
    if head[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    stream.seek(start)
    first = stream.read(2048)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _ends_torn(path: Path, format_name: str, last: tuple[int | None, int] | None) -> bool:
    """Whether the last piece of a stream without a promised length is incomplete."""
    with path.open("rb") as stream:
        if format_name == "ogg":
            return not _ogg_has_end(stream)
        if format_name in ("mp3", "aac") and last is not None and last[0] is not None:
            stream.seek(last[0])
            expected = _frame_bytes(stream.read(6), format_name)
            return expected is not None and last[1] < expected
    return False


def _ogg_has_end(stream: BinaryIO) -> bool:
    """Ogg (RFC 3533, section 6): whether the last page is whole and marked as the end of its stream."""
    size = stream.seek(0, os.SEEK_END)
    start = max(0, size - 65536 - 512)  # more than the longest page
    stream.seek(start)
    tail = stream.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    flags, segments = tail[page + 5], tail[page + 26]
    body = page + 27 + segments
    return bool(flags & 4) and len(tail) >= body + sum(tail[page + 27 : body])


_BIT_RATES = {  # kilobits a second by index (ISO 11172-3, table in 2.4.2.3; ISO 13818-3), layer III
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _frame_bytes(head: bytes, format_name: str) -> int | None:
    """Length of an MP3 (layer III) or ADTS frame by its header, None where that is no such header."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if format_name == "aac":
        return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rates = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}.get(version)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if rates is None or layer != 1 or not 0 < bits < 15 or rate == 3:
        return None
    first = version == 3  # MPEG-1: 1152 samples a frame, else 576
    return (144 if first else 72) * _BIT_RATES[1 if first else 2][bits] * 1000 // rates[rate] + padding
