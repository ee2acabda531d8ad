"""One sound file of a model, read at the rate that it was drawn at whatever format it came in, and all checks of it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqgen_core.audio.resample import ResampleStream
from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis import clips, measures, sound
from seqgen_core.diagnosis.finding import Finding
from seqgen_core.diagnosis.pieces import RawSound, code_step, read_beginning
from seqgen_core.diagnosis.sound_data import BAND_DROP
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import AudioCodecSettings

READ_SECONDS = 10 * measures.MOST_SECONDS


class Beside:
    """What clips of a codec stand beside: pieces of real sound as long as they are, measured once for each length."""

    def __init__(self, codec: AudioCodecSettings, data: PreparedData | None) -> None:
        self.codec, self._data = codec, data
        self._known: dict[float, measures.Real] = {}

    def real(self, seconds: float) -> measures.Real | None:
        """What real pieces of that length measure; None without data, or without training sound in them."""
        if self._data is None or not self._data.items("train"):
            return None
        kept = round(seconds, 2)
        if kept not in self._known:
            self._known[kept] = measures.real_measures(self._data, seconds)
        return self._known[kept]


def check_sound_file(file: Path, beside: Beside | None) -> Iterator[Finding]:
    """All checks of a sound file. beside: the codec that it was drawn in, and real sound; None where no such is known,
    so that the file is taken by itself, up to the end of the band that it fills."""
    rate = None if beside is None else beside.codec.rate
    try:
        clip = read_beginning(file, rate, READ_SECONDS)
    except SeqgenError as error:
        yield clips.UNREADABLE.found("warning", error.got.rstrip("."), file)
        return
    if beside is None or rate is None:
        yield from clips.check_clip(*filled(clip), file)
        return
    # A lossy format, or another rate, leaves nothing on the codec's own steps.
    step = max(2**-15, code_step(beside.codec, clip.waveform)) if clip.native_rate == rate else 2**-15
    yield from clips.check_clip(clip.waveform, rate, file, beside.real(len(clip.waveform) / rate), step)


def filled(clip: RawSound) -> tuple[np.ndarray, int]:
    """Waveform and rate of a sound read at its own rate, without the empty end of its band where its spectrum falls off
    a cliff: so does what was drawn at a lower rate and written in a format that knows few rates (Opus: 48 kHz)."""
    rate = clip.native_rate
    limit = sound.band_limit(clip.waveform[-round(measures.MOST_SECONDS * rate) :], rate)
    lower = max(1000, 1000 * round(2 * limit.hertz / 1000))  # a ratio of small numbers
    if limit.drop < BAND_DROP or lower >= 0.9 * rate:
        return clip.waveform, rate
    stream = ResampleStream(rate, lower)
    return np.concatenate([stream.push(clip.waveform), stream.finish()]), lower
