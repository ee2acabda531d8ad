"""What tests of findings share: real sound, prepared data and runs made of it, and what was found by name."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import read_mono
from seqgen_core.audio.resample import ResampleStream
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.diagnosis.finding import Finding
from seqgen_core.settings.codec import AudioCodecSettings

RATE = 16000
SPEECH = ("speech/librispeech/198-209-0000.flac", "speech/librispeech/3436-172162-0000.flac")
MUSIC = (
    "music/strings/hungarian_dance_5_part1.flac",
    "music/song/lets_go_fishin_part1.flac",
    "music/produced/vibe_ace_part1.flac",
)


@cache
def real(path: Path, rate: int = RATE, seconds: float = 60.0) -> np.ndarray:
    """The first seconds of a recording, float32 (N,), read once; not to be written to."""
    wave = read_mono(path, rate)[: round(seconds * rate)]
    wave.setflags(write=False)
    return wave


def resampled(wave: np.ndarray, before: int, after: int) -> np.ndarray:
    stream = ResampleStream(before, after)
    return np.concatenate([stream.push(np.asarray(wave, np.float32)), stream.finish()])


def prepared(
    path: Path,
    train: Sequence[np.ndarray],
    valid: Sequence[np.ndarray] = (),
    test: Sequence[np.ndarray] = (),
    *,
    codec: AudioCodecSettings | None = None,
    origins: Sequence[object] = (),
    **manifest,
) -> PreparedData:
    """Prepared data of these waveforms; origins: of the training ones, such as raw files."""
    codec = codec or AudioCodecSettings(rate=RATE)
    coder = AudioCodec(codec)
    with PreparedWriter(path, codec) as writer:
        for split, waves in (("train", train), ("valid", valid), ("test", test)):
            for number, wave in enumerate(waves):
                origin = str(origins[number]) if split == "train" and origins else f"{split} {number}"
                writer.add(coder.encode(wave), origin=origin, split=split)
        writer.finish(**manifest)
    return PreparedData.open(path)


def only(findings: Iterable[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def alarms(findings: Iterable[Finding]) -> dict[str, str]:
    """Warnings and worse: check → sentence."""
    return {finding.check: finding.sentence for finding in findings if finding.alarming}
