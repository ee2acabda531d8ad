"""Checks of a file that a run is to continue, beside what the run was trained on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.features import mel_spectra
from seqgen_core.codecs import read_stream
from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis import sound
from seqgen_core.diagnosis.finding import Finding, Severity, check
from seqgen_core.diagnosis.pieces import pieces, read_beginning
from seqgen_core.diagnosis.sound_data import PILE, is_cut
from seqgen_core.errors import SeqgenError
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.features import MelSettings

MOST_SECONDS = 30.0
REAL_PIECES, BANDS = 40, 24
SILENT_SHARE, SILENT_DB = 0.8, -60.0
LEVEL_DB = 12.0
FAR = 1.5
CLIPPED = 5e-4
HEARD_DB = -50.0

UNREADABLE = check(
    "prime-unreadable",
    "prime",
    looks_at="whether the file can be read as what the run speaks",
    thresholds="a file that cannot is severe",
    advice="Choose a file of the run's kind.",
)
RATE = check(
    "prime-rate",
    "prime",
    looks_at="the sampling rate of the file beside the run's",
    thresholds="a lower rate a warning: its upper band is empty, which the model has never heard",
    advice="Take a recording at the run's rate or above.",
)
SILENT = check(
    "prime-silent",
    "prime",
    looks_at="silence, above all at the end, from where it is continued",
    thresholds=f"{SILENT_SHARE:.0%} of the file below {SILENT_DB:g} dBFS severe; half a second of it at the end a "
    "warning",
    advice="Cut the silence, or take another stretch.",
)
CLIPPED_CHECK = check(
    "prime-clipped",
    "prime",
    looks_at="samples that pile up at its extremes",
    thresholds=f"{CLIPPED:.2%} of them, {PILE:g} times as many as just below, a warning",
    advice="Take a copy that was recorded at a lower gain.",
)
LEVEL = check(
    "prime-level",
    "prime",
    looks_at="its level beside those of the training sound",
    thresholds=f"{LEVEL_DB:g} dB below the quietest twentieth or above the loudest a warning",
    advice="Change its volume by the difference before priming with it.",
)
SPECTRUM = check(
    "prime-spectrum",
    "prime",
    looks_at=f"its mean log-mel spectrum in {BANDS} bands, its level taken off, beside those of training pieces: the "
    "distance in dB (root mean square over the bands) from their mean",
    thresholds=f"{FAR:g} times as far as the farthest training piece a warning",
    advice="Expect little: the model was trained on other sound.",
)


def check_prime(path: Path, run: RunFolder, data: PreparedData | None) -> Iterator[Finding]:
    """All checks of a file beside a run. data: what the run was trained on, where it still is."""
    account = run.settings.data
    codec = account.codec
    if not isinstance(codec, AudioCodecSettings):
        try:
            stream = read_stream(path, codec)
        except SeqgenError as error:
            yield UNREADABLE.found("severe", error.got.rstrip("."), path).advising(error.hint or UNREADABLE.advice)
            return
        yield UNREADABLE.found("healthy", f"{len(stream.tokens):,} {codec.unit}s can be read", path)
        return
    try:
        told = read_beginning(path, codec.rate, MOST_SECONDS, account.gain)
    except SeqgenError as error:
        yield UNREADABLE.found("severe", error.got.rstrip("."), path)
        return
    wave, rate = told.waveform, codec.rate
    yield UNREADABLE.found("healthy", f"{len(wave) / rate:.1f} s can be read", path, seconds=len(wave) / rate)
    sentence = f"it comes at {told.native_rate:,} Hz; the run speaks {rate:,} Hz"
    severity: Severity = "warning" if told.native_rate < rate else "healthy"
    yield RATE.found(severity, sentence, path, file_rate=told.native_rate, rate=rate)
    yield _silent(wave, rate, path)
    cut = sound.clipping(np.clip(wave, -1, 1))
    severity = "warning" if is_cut(cut, CLIPPED) else "healthy"
    yield CLIPPED_CHECK.found(severity, f"{cut.share:.2%} of its samples are cut off", path, share=cut.share)
    if data is not None and isinstance(data.manifest.codec, AudioCodecSettings) and sound.level(wave) > SILENT_DB:
        yield from _beside(wave, path, data, data.manifest.codec)


def _silent(wave: NDArray[np.floating], rate: int, path: Path) -> Finding:
    quiet = sound.frame_levels(wave, rate) < SILENT_DB
    share = float(quiet.mean()) if len(quiet) else 1.0
    loud = np.flatnonzero(~quiet)
    ending = (len(quiet) - 1 - int(loud[-1])) * sound.FRAME_SECONDS if len(loud) else len(wave) / rate
    severity: Severity = "severe" if share >= SILENT_SHARE else "warning" if ending >= 0.5 else "healthy"
    sentence = f"{share:.0%} of it is silence, {ending:.1f} s of that at its end"
    return SILENT.found(severity, sentence, path, share=share, ending=ending)


def _beside(wave: NDArray[np.floating], path: Path, data: PreparedData, codec: AudioCodecSettings) -> Iterator[Finding]:
    length = max(codec.rate // 4, min(len(wave), 4 * codec.rate))
    real = [
        AudioCodec(codec).decode(p.tokens) for p in pieces(data, "train", most=REAL_PIECES * length, longest=length)
    ]
    real = [part for part in real if sound.level(part) > HEARD_DB and len(part) >= codec.rate // 8][: 4 * REAL_PIECES]
    if len(real) < 4:
        return
    levels = [sound.level(part) for part in real]
    low, high = (float(np.percentile(levels, share)) for share in (5, 95))
    level = sound.level(wave)
    off = max(low - level, level - high)
    sentence = f"it has {level:.0f} dBFS; training pieces have {low:.0f} to {high:.0f}"
    yield LEVEL.found("warning" if off > LEVEL_DB else "healthy", sentence, path, level=level, low=low, high=high)
    shapes = np.stack([spectral_shape(part, codec.rate) for part in real])
    middle = shapes.mean(axis=0)
    farthest = float(np.sqrt(np.square(shapes - middle).mean(axis=1)).max())
    distance = float(np.sqrt(np.square(spectral_shape(wave, codec.rate) - middle).mean()))
    sentence = (
        f"its spectrum is {distance:.0f} dB from the mean of training; the farthest piece there {farthest:.0f} dB"
    )
    severity: Severity = "warning" if distance > FAR * farthest else "healthy"
    yield SPECTRUM.found(severity, sentence, path, decibels=distance, farthest=farthest)


def spectral_shape(wave: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    """The mean log-mel spectrum in dB (BANDS,) of the louder half of the frames, its own mean taken off."""
    settings = MelSettings(rate=rate, bands=BANDS, hop=max(1, rate // 50), window=max(64, rate // 20))
    frames = 50 * mel_spectra(wave, settings).astype(np.float64) - 50  # dB
    loud = frames.mean(axis=1) >= np.median(frames.mean(axis=1))
    shape = frames[loud].mean(axis=0)
    return shape - shape.mean()
