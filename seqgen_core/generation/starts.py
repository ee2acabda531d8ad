"""What clips start from: nothing, excerpts of held-out recordings, a person's own file or text; how long they get.

Axes: P tokens of the prime.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqgen_core import codecs
from seqgen_core.errors import UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.codec import CodecSettings, PixelsCodecSettings, TextCodecSettings
from seqgen_core.settings.run import DataAccount
from seqgen_core.streams import Stream, Upsampled

SOUND_PRIME_SECONDS = 2.0
SOUND_SECONDS = 2.0
NOTES_SECONDS = 30.0
TEXT_TOKENS = 500
FILE_SUFFIXES = {".txt", ".text", ".md", ".wav", ".flac", ".mp3", ".mid", ".midi", ".png", ".jpg"}
"""A prime for text that ends so is meant as a file."""


@dataclass(frozen=True)
class Prime(Stream):
    """What a clip continues: tokens (P, *shape), and the place of the first one in the recording of `origin`.

    Its features, where there are any, reach beyond its tokens, as far as the recording does.
    """

    start: int = 0


def from_nothing(
    codec: CodecSettings, count: int, label: int | None = None, features: Upsampled | None = None
) -> list[Prime]:
    """Primes of the one token that generation from nothing begins with."""
    token = codecs.start_token(codec)[None]  # (1, *shape)
    return [Prime("", token, label, features)] * count


def prime_length(model: CausalModel, codec: CodecSettings, seconds: float | None, rows: int | None = None) -> int:
    """Tokens of a prime: seconds or rows as asked; else half an image, or the receptive field where that is longer
    than two seconds of sound or notes, or than a hundred characters or words.

    Raises UsageError where seconds are asked of what takes no time, or rows of what is no image.
    """
    if isinstance(codec, PixelsCodecSettings):
        if seconds is not None:
            raise UsageError("Images take no time, so prime_seconds means nothing here.", hint="Use --rows N.")
        rows = codec.height // 2 if rows is None else rows
        if rows >= codec.height:
            raise UsageError(
                f"rows = {rows}, but the images have {codec.height}: nothing is left to draw.", hint="Name fewer."
            )
        return 1 + rows * codec.width * codec.channels
    if rows is not None:
        raise UsageError(f"--rows is of images; the run was trained on {codec}.", hint="Leave it out.")
    reach = model.receptive_field or 1
    rate = codec.tokens_per_second
    if rate is None:
        if seconds is not None:
            raise UsageError("Text takes no time, so prime_seconds means nothing here.", hint="Leave it out.")
        return max(reach, 100)
    return max(1, round(seconds * rate)) if seconds is not None else max(reach, round(SOUND_PRIME_SECONDS * rate))


def draw_primes(streams: Sequence[Stream], length: int, count: int, seed: int, *, whole: bool = False) -> list[Prime]:
    """Excerpts of `length` tokens for clips 0 to count − 1, each place picked by (seed, clip number) alone.

    Every place of the recordings is equally likely; whole: every recording is, and its beginning is taken, as with
    images. Where tokens at a recording's start are given, as in a task, they are the prime. Where features tell how a
    recording goes on, its beginning is, and no more than half of it. Where most recordings are shorter than `length`,
    as with spoken digits, excerpts are as long as the median recording, so that not one of them is continued alone.
    Raises UsageError when there is none at all.
    """
    usable = [stream for stream in streams if len(stream.tokens) >= 1]
    if not usable:
        raise UsageError(
            "The split holds no recording to continue.", hint="Choose another with --split, or use --prime."
        )
    given = min(stream.given for stream in usable)
    told = all(stream.features is not None for stream in usable)
    median = int(np.median([len(stream.tokens) for stream in usable]))
    if given > 1:
        length, whole = given, True
    elif told:
        length, whole = max(1, min(length, median // 2)), True
    length = min(length, median)
    usable = [stream for stream in usable if len(stream.tokens) >= length]
    places = np.cumsum([1 if whole else len(stream.tokens) - length + 1 for stream in usable])
    primes = []
    for clip in range(count):
        rng = np.random.default_rng([seed, clip, 1])  # the 1 sets it apart from the clip's sampling stream
        pick = int(rng.integers(places[-1]))
        which = int(np.searchsorted(places, pick, side="right"))
        start = pick - (int(places[which - 1]) if which else 0)
        stream = usable[which]
        features = None if stream.features is None else stream.features[start:]
        heard = np.asarray(stream.tokens[start : start + length], np.int64)
        primes.append(Prime(stream.origin, heard, stream.label, features, given, start))
    return primes


def own_prime(source: str, account: DataAccount, length: int, label: int | None = None) -> Prime:
    """A person's own beginning: for text the words themselves or a file of them, else a file of the run's kind.

    Sound and notes: its last `length` tokens; an image: its first; sound with features, which tell how it goes on: its
    first, and no more than half. Raises UsageError or SeqgenError for one of no use.
    """
    codec, path = account.codec, Path(source)
    if isinstance(codec, TextCodecSettings):
        is_file = "\n" not in source and len(source) < 255 and path.is_file()
        if not is_file and " " not in source and path.suffix.lower() in FILE_SUFFIXES:
            raise UsageError(f"There is no file {source}.", hint="Check the name; words are continued as they are.")
        tokens = codecs.read_stream(path, codec).tokens if is_file else codecs.encode_text(source, codec)
        if not len(tokens):
            raise UsageError("The prime is empty.", hint="Leave --prime out to start from nothing.")
        return Prime(source if is_file else "", np.asarray(tokens, np.int64), label)
    if isinstance(codec, PixelsCodecSettings):
        rows = (length - 1) // (codec.width * codec.channels)
        return Prime(source, np.asarray(codecs.read_image_tokens(path, codec, rows), np.int64), label)
    stream = codecs.read_stream(path, codec, account.gain, account.features)
    if stream.features is not None:
        beginning = stream.tokens[: min(length, len(stream.tokens) // 2)]
        return Prime(source, np.asarray(beginning, np.int64), label, stream.features)
    start = max(0, len(stream.tokens) - length)
    return Prime(source, np.asarray(stream.tokens[start:], np.int64), label, start=start)


def clip_length(codec: CodecSettings, primes: Sequence[Prime], *, length: int | None, seconds: float | None) -> int:
    """New tokens of each clip: as asked, else what is usual for its kind. Raises UsageError where it cannot be."""
    rate = codec.tokens_per_second
    if seconds is not None and isinstance(codec, TextCodecSettings):
        raise UsageError("Text takes no time, so --seconds means nothing here.", hint="Use --length N.")
    if isinstance(codec, PixelsCodecSettings):
        left = codec.tokens.length - len(primes[0].tokens)
        if length is not None and length > left:
            raise UsageError(f"length = {length}, but {left} intensities complete the image.", hint="Leave it out.")
        if seconds is not None:
            raise UsageError("Images take no time, so --seconds means nothing here.", hint="Leave it out.")
        return length if length is not None else left
    if length is not None:
        return length
    if rate is None:
        return TEXT_TOKENS
    if seconds is None:
        told = [len(prime.features) - len(prime.tokens) for prime in primes if prime.features is not None]
        if told:
            return max(1, *told)
        seconds = SOUND_SECONDS if codec.unit == "sample" else NOTES_SECONDS
    return max(1, round(seconds * rate))
