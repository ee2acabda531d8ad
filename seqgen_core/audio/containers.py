"""What the bytes of a sound file say about it before anything is decoded: its kind, and whether its end is there.

Decoders hide truncation: a WAV, MP3 or Ogg that was cut decodes short without an error, so the headers are read here.
Sources: RIFF (Microsoft, Multimedia Programming Interface 1.0) with RF64 (EBU Tech 3306), Ogg (RFC 3533, section 6).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("wav", "wave", "w64", "rf64", "flac", "ogg", "oga", "opus", "mp3", "mp2", "m4a", "m4b", "mp4", "aac", "webm"),
        *("mka", "mkv", "mov", "aif", "aiff", "aifc", "au", "snd", "caf", "wma", "ac3", "amr"),
    )
)
# From here up are the sizes (0x7FFFFFFF, 0xFFFFFFFF and near) of programs that cannot seek back to state the length.
_UNKNOWN_SIZE = 0x7FFF0000
_OGG_LAST_PAGE = 4  # header_type flag of RFC 3533
_OGG_LARGEST_PAGE = 65307  # bytes, RFC 3533


def looks_like_sound(path: Path) -> bool:
    """Whether the name's suffix, or else the first bytes, are those of a sound file. Raises OSError."""
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as stream:
        start = stream.read(16)
    return (
        (start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE")
        or (start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"))
        or start[:4] in (b"fLaC", b"OggS", b".snd", b"caff", b"\x1aE\xdf\xa3")  # the last is Matroska and WebM
        or start[:3] == b"ID3"
        or start[4:8] == b"ftyp"
    )


@dataclass(frozen=True)
class WavData:
    """The data chunk of a WAV file: bytes that its header promises (None where unknown) and bytes that are there."""

    promised: int | None
    present: int


def wav_data(path: Path) -> WavData | None:
    """The data chunk of a RIFF or RF64 file, None where it has none or is of another kind. Raises OSError."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(12)
        if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
            return None
        return _data_chunk(stream, size)


def _data_chunk(stream: IO[bytes], size: int) -> WavData | None:
    long_size: int | None = None
    while True:
        head = stream.read(8)
        if len(head) < 8:
            return None
        name, length = head[:4], int.from_bytes(head[4:], "little")
        start = stream.tell()
        if name == b"ds64":
            long_size = int.from_bytes(stream.read(24)[8:16], "little")
        elif name == b"data":
            present = size - start
            if length == 0xFFFFFFFF and long_size:
                return WavData(long_size, min(long_size, present))
            if length >= _UNKNOWN_SIZE and length > present:
                return WavData(None, present)
            return WavData(length, present if length == 0 else min(length, present))
        stream.seek(start + length + length % 2)


def ogg_lacks_its_end(path: Path) -> bool:
    """Whether a file of Ogg pages does not close with a whole page marked as the last one. Raises OSError."""
    with path.open("rb") as stream:
        if stream.read(4) != b"OggS":
            return False
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - 2 * _OGG_LARGEST_PAGE))
        tail = stream.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return True
    segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + segments]
    whole = len(table) == segments and len(tail) >= page + 27 + segments + sum(table)
    return not (whole and tail[page + 5] & _OGG_LAST_PAGE)


def starts_like_mp3(path: Path) -> bool:
    """Whether a file opens with an ID3v2 tag or the header of an MPEG audio frame. Raises OSError."""
    with path.open("rb") as stream:
        head = stream.read(4)
    has_layer = len(head) == 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06  # AAC has layer 0
    return head[:3] == b"ID3" or bool(has_layer)


def mp3_states_its_length(path: Path) -> bool:
    """Whether an MP3 states its length in a Xing, Info or VBRI table. Raises OSError."""
    with path.open("rb") as stream:
        head = stream.read(10)
        start = 0
        if head[:3] == b"ID3" and len(head) == 10:
            start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        stream.seek(start)
        first_frame = stream.read(4096)
    return any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))
