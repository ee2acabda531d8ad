"""Files and tokens as what a page shows: sound with what is embedded of it, rolls, texts, images.

Axes: N samples, F frames, K keys, H rows, W columns, C colours.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import pcm16, read_mono
from seqgen_core.audio.resample import ResampleStream
from seqgen_core.images.codec import PixelsCodec
from seqgen_core.images.files import read_image
from seqgen_core.notes.midi import read_piece
from seqgen_core.notes.sound import render_sound
from seqgen_core.reporting.specimens import Image, Recording, Roll, Sound, Text
from seqgen_core.settings.codec import (
    AudioCodecSettings,
    CodecSettings,
    NotesCodecSettings,
    PixelsCodecSettings,
    TextCodecSettings,
)
from seqgen_core.streams import Stream
from seqgen_core.text.codec import TextCodec
from seqgen_core.text.files import read_text

MIME_TYPES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg",
    ".ogg": "audio/ogg",
}
"""Sound files that browsers play as they are. Not FLAC, in short files of which Chromium cannot seek."""
_OWN_RATE = ("audio/mpeg", "audio/ogg")  # formats that have rates of their own
SLOWEST, FASTEST = 8000, 48000
"""Sampling rates in Hz that every browser plays: Chromium, for one, refuses what is below 3000 Hz."""
MOST_SECONDS = 12.0
"""Of one clip on the page; of a longer one, a stretch around its seam."""
MOST_BEFORE = 3.0
"""Seconds of the prime that are kept of a clip that is cut."""
MOST_NOTES = 60.0
"""Seconds of one piece of notes, from its beginning."""
MOST_BYTES = 1_500_000
"""Of one sound file; a larger one is embedded with 16 bits."""
MOST_CHARACTERS = 3000
"""Of one text."""
NOTES_RATE = 16000  # Hz


def as_wav(waveform: np.ndarray, rate: int) -> Recording:
    """A waveform (N,) as a WAV file of 16 bits, at a rate that browsers play."""
    seconds = len(waveform) / rate
    if not SLOWEST <= rate <= FASTEST:
        stream = ResampleStream(rate, played := SLOWEST if rate < SLOWEST else FASTEST)
        waveform, rate = np.concatenate([stream.push(waveform), stream.finish()]), played
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm16(waveform), rate, format="WAV", subtype="PCM_16")
    return Recording(buffer.getvalue(), "audio/wav", seconds)


def sound_of_file(path: Path, codec: AudioCodecSettings, seam: float) -> Sound:
    """A sound file, embedded as it is where browsers play it and it is not too long. seam: seconds that were given."""
    waveform = read_mono(path, codec.rate)
    first, last = _shown(len(waveform) / codec.rate, seam)
    mime = MIME_TYPES.get(path.suffix.lower())
    playable = mime is not None and (mime in _OWN_RATE or SLOWEST <= codec.rate <= FASTEST)
    if not playable or path.stat().st_size > MOST_BYTES or last - first < len(waveform) / codec.rate:
        waveform = waveform[round(first * codec.rate) : round(last * codec.rate)]
        return Sound(waveform, codec.rate, as_wav(waveform, codec.rate), seam - first)
    return Sound(waveform, codec.rate, Recording(path.read_bytes(), mime, len(waveform) / codec.rate), seam)


def roll_of_files(midi: Path, wav: Path, codec: NotesCodecSettings, given: int, frames: int) -> Roll:
    """A piece as its MIDI and sound files hold it. given: frames of the prime; frames: in all, rests at the end too."""
    read = read_piece(midi, codec).roll[:frames]
    roll = np.zeros((frames, codec.keys), np.uint8)
    roll[: len(read)] = read
    sound = read_mono(wav, NOTES_RATE)[: round(MOST_NOTES * NOTES_RATE)]
    return Roll(roll[: round(MOST_NOTES * codec.rate)], codec, as_wav(sound, NOTES_RATE), given / codec.rate)


def text_of_files(given: Sequence[Path], new: Path, codec: TextCodecSettings) -> Text:
    """What was given and how it goes on, each cut to MOST_CHARACTERS."""
    return _text("".join(read_text(path) for path in given), read_text(new), codec)


def image_of_file(path: Path, rows: int) -> Image:
    """An image file. rows: how many of it were given."""
    return Image(read_image(path), rows)


def content_of(stream: Stream, codec: CodecSettings) -> Sound | Roll | Text | Image:
    """A real excerpt, of which stream.given tokens count as given; one is what everything begins with."""
    tokens = np.asarray(stream.tokens)
    given = stream.given if stream.given > 1 else 0
    if isinstance(codec, AudioCodecSettings):
        first, last = _shown(len(tokens) / codec.rate, given / codec.rate)
        waveform = AudioCodec(codec).decode(tokens)[round(first * codec.rate) : round(last * codec.rate)]
        return Sound(waveform, codec.rate, as_wav(waveform, codec.rate), given / codec.rate - first)
    if isinstance(codec, TextCodecSettings):
        decode = TextCodec(codec).decode
        return _text(decode(tokens[:given]), decode(tokens[given:]), codec)
    if isinstance(codec, NotesCodecSettings):
        tokens = tokens[: round(MOST_NOTES * codec.rate)]
        sound = render_sound(tokens, codec, NOTES_RATE)
        return Roll(tokens.astype(np.uint8), codec, as_wav(sound, NOTES_RATE), given / codec.rate)
    assert isinstance(codec, PixelsCodecSettings)
    return Image(PixelsCodec(codec).decode(tokens), max(0, given - 1) // (codec.width * codec.channels))


def cut(stream: Stream, start: int, stop: int, given: int = 1) -> Stream:
    """Tokens start to stop - 1 of a stream, of which `given` are given."""
    features = None if stream.features is None else stream.features[start:stop]
    return replace(stream, tokens=np.asarray(stream.tokens[start:stop]), features=features, given=given)


def _shown(seconds: float, seam: float) -> tuple[float, float]:
    """From where to where a clip is shown, in seconds."""
    if seconds <= MOST_SECONDS:
        return 0.0, seconds
    first = max(0.0, min(seam - MOST_BEFORE, seconds - MOST_SECONDS))
    return first, first + MOST_SECONDS


def _text(given: str, new: str, codec: TextCodecSettings) -> Text:
    if given and codec.kind == "words" and not given[-1].isspace():
        given += " "
    return Text(
        given if len(given) <= MOST_CHARACTERS else "…" + given[-MOST_CHARACTERS:],
        new if len(new) <= MOST_CHARACTERS else new[:MOST_CHARACTERS] + "…",
    )
