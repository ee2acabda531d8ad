"""Checks of prepared sound: silence, clipping, offset, band limit, level, noise of the codec, copies, trimming.

What concerns the recordings themselves is asked of the raw files where they still are, else of the tokens; findings
say which.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.data.store import SPLITS, PreparedData
from seqgen_core.diagnosis import sound
from seqgen_core.diagnosis.finding import Finding, check, graded
from seqgen_core.diagnosis.pieces import Piece, RawSound, code_step, raw_sounds, sound_pieces
from seqgen_core.settings.codec import AudioCodecSettings

SILENT_DB = -60.0
SILENT_WARNING, SILENT_SEVERE = 0.5, 0.8  # share of the frames
CLIPPED_WARNING, CLIPPED_SEVERE, PILE, RUNS = 5e-4, 0.01, 4.0, 3
OFFSET_WARNING, OFFSET_SEVERE, OFFSET_SHARE = 0.02, 0.1, 0.1
BAND_DROP, BAND_DROP_TOKENS = 25.0, 20.0  # dB; what lies above drowns in the noise of mu-law
QUIET_WARNING, QUIET_SEVERE = -50.0, -65.0  # dBFS
NOISE_WARNING, NOISE_SEVERE = 20.0, 10.0  # dB
TRIMMED_WARNING, TRIMMED_SEVERE = 0.6, 0.9

SILENCE = check(
    "silence",
    "data",
    looks_at="the share of frames of 20 ms that are silent; a model that is shown much silence learns to be silent",
    thresholds=f"frames below {SILENT_DB:g} dBFS: {SILENT_WARNING:.0%} a warning, {SILENT_SEVERE:.0%} severe",
    advice="Cut it: `seqgen preprocess … trim_silence=-50`.",
)
CLIPPING = check(
    "clipping",
    "data",
    looks_at="samples in runs of three or more at a recording's own highest or lowest value, and whether samples pile "
    "up there, as they do where a recording was too loud",
    thresholds=f"{CLIPPED_WARNING:.2%} of the samples of a recording (severe: {CLIPPED_SEVERE:.0%} of all), and "
    f"{PILE:g} times as many at the extreme as just below it, in {RUNS} runs or more",
    advice="Take a copy that was recorded or exported at a lower gain; where normalise=rms cut them, normalise=peak.",
)
OFFSET = check(
    "offset",
    "data",
    looks_at="the mean of the waveform; mu-law and a-law are finest around zero and coarse where an offset "
    "puts silence",
    thresholds=f"a mean of {OFFSET_WARNING:g} of full scale (severe: {OFFSET_SEVERE:g}) that is {OFFSET_SHARE:.0%} of "
    "the RMS",
    advice="Take it off with a high-pass filter before preparing, such as `sox IN OUT highpass 20`.",
)
BAND = check(
    "band-limit",
    "data",
    looks_at="whether the files come at a lower rate than the data's, and whether the mean spectrum falls off a cliff "
    "with nothing above it, as in sound that was up-sampled or went through MP3",
    thresholds=f"a file's rate below the data's, or a fall of {BAND_DROP:g} dB (of tokens {BAND_DROP_TOKENS:g} dB, "
    "where the codec's noise does not hide it) below 0.75 of half the rate; above that a remark",
    advice="Prepare at the rate that the sound fills, so that no samples are spent on an empty band.",
)
LEVEL = check(
    "level",
    "data",
    looks_at="the level of the training sound; what is quiet has few codes",
    thresholds=f"below {QUIET_WARNING:g} dBFS a warning, below {QUIET_SEVERE:g} severe",
    advice="Amplify it as a whole: `seqgen preprocess … normalise=rms`.",
)
NOISE = check(
    "codec-noise",
    "data",
    looks_at="the signal-to-noise ratio of the way through the codec and back: of raw files where they are still "
    "there, else estimated as the mean of step²/12 over the tokens (Bennett 1948)",
    thresholds=f"below {NOISE_WARNING:g} dB a warning, below {NOISE_SEVERE:g} dB severe",
    advice="More levels or another codec (levels=1024, codec=mu-law), or amplify quiet sound with normalise=rms.",
)
TRIMMED = check(
    "trimming",
    "data",
    looks_at="how much of the sound the trimming of silence took",
    thresholds=f"{TRIMMED_WARNING:.0%} a warning, {TRIMMED_SEVERE:.0%} severe",
    advice="Listen to what is left; a lower trim_silence (such as -60) keeps more.",
)


def check_sound_data(data: PreparedData) -> Iterator[Finding]:
    """All checks of prepared sound, but for those of any data and of copies."""
    codec = data.manifest.codec
    assert isinstance(codec, AudioCodecSettings)
    heard = {split: sound_pieces(data, split) for split in SPLITS}
    waves = {split: [AudioCodec(codec).decode(piece.tokens) for piece in found] for split, found in heard.items()}
    raw = list(raw_sounds(data, codec.rate))
    yield _silence(data, waves["train"], codec.rate)
    yield _clipping(data, raw, heard["train"], waves["train"], codec)
    yield _offset(data, [p for found in heard.values() for p in found], [w for found in waves.values() for w in found])
    yield from _bands(data, raw, heard["train"], waves["train"], codec)
    yield _level(data, waves["train"], AudioCodec(codec).rescales)
    yield from _noise(data, raw, waves["train"], heard["train"], codec)
    yield _trimmed(data, codec.rate)


def _silence(data: PreparedData, waves: list[np.ndarray], rate: int) -> Finding:
    levels = np.concatenate([sound.frame_levels(wave, rate) for wave in waves] or [np.zeros(0)])
    share = float(np.mean(levels < SILENT_DB)) if len(levels) else 0.0
    sentence = f"{share:.0%} of the training sound is silence (below {SILENT_DB:g} dBFS)"
    return SILENCE.found(graded(share, SILENT_WARNING, SILENT_SEVERE), sentence, data.path, share=share)


def _clipping(
    data: PreparedData, raw: list[RawSound], heard: list[Piece], waves: list[np.ndarray], codec: AudioCodecSettings
) -> Finding:
    if raw:
        measured = [(str(one.path), len(one.waveform), sound.clipping(np.clip(one.waveform, -1, 1))) for one in raw]
    else:
        measured = [
            (piece.item.origin, len(wave), sound.clipping(wave, code_step(codec, wave)))
            for piece, wave in zip(heard, waves, strict=True)
        ]
    cut = [(name, count, one) for name, count, one in measured if is_cut(one, CLIPPED_WARNING)]
    total = sum(count for _, count, _ in measured)
    share = sum(one.share * count for _, count, one in cut) / max(1, total)
    if not cut:
        return CLIPPING.found("healthy", f"no recording of {_asked(raw, len(measured))} is cut off", data.path)
    name, _, worst = max(cut, key=lambda one: one[2].share)
    return CLIPPING.found(
        "severe" if share >= CLIPPED_SEVERE else "warning",
        f"{len(cut)} of {_asked(raw, len(measured))} are cut off at their extremes, "
        f"most {Path(name).name} with {worst.share:.1%} of its samples",
        data.path,
        share=share,
        worst=worst.share,
        recordings=len(cut),
    )


def is_cut(found: sound.Clipping, least: float) -> bool:
    """Whether a sound was cut off: one peak alone can stand on one value for three samples."""
    return found.share >= least and found.pile >= PILE and found.runs >= RUNS


def _offset(data: PreparedData, heard: list[Piece], waves: list[np.ndarray]) -> Finding:
    measured = [(*sound.offset(wave), piece.item.origin) for piece, wave in zip(heard, waves, strict=True) if len(wave)]
    far = [one for one in measured if abs(one[0]) >= OFFSET_WARNING and one[1] >= OFFSET_SHARE]
    mean = float(np.mean([one[0] for one in measured])) if measured else 0.0
    if not far:
        return OFFSET.found("healthy", f"the mean of the sound is {mean:+.4f}", data.path, mean=mean)
    worst = max(far, key=lambda one: abs(one[0]))
    severe = abs(mean) >= OFFSET_SEVERE or (len(far) > len(measured) / 2 and abs(worst[0]) >= OFFSET_SEVERE)
    return OFFSET.found(
        "severe" if severe else "warning",
        f"{len(far)} of {len(measured)} stretches lie off zero, most {Path(worst[2]).name} by {worst[0]:+.3f}",
        data.path,
        mean=mean,
        worst=worst[0],
    )


def _bands(
    data: PreparedData, raw: list[RawSound], heard: list[Piece], waves: list[np.ndarray], codec: AudioCodecSettings
) -> Iterator[Finding]:
    slower = [one for one in raw if one.native_rate < codec.rate]
    if slower:
        rate = max(one.native_rate for one in slower)
        yield BAND.found(
            "warning",
            f"{len(slower)} of {_asked(raw, len(raw))} come at {rate:,} Hz or less and were up-sampled to "
            f"{codec.rate:,} Hz",
            data.path,
            file_rate=rate,
            rate=codec.rate,
        ).advising(f"Prepare them at their own rate: `seqgen preprocess … --rate {rate}`.")
        return
    named = [(str(one.path), one.waveform) for one in raw]
    named = named or [(piece.item.origin, wave) for piece, wave in zip(heard, waves, strict=True)]
    limits = [(sound.band_limit(wave, codec.rate), len(wave), name) for name, wave in named if len(wave) > 4096]
    cut = [one for one in limits if one[0].drop >= (BAND_DROP if raw else BAND_DROP_TOKENS)]
    share = sum(one[1] for one in cut) / max(1, sum(one[1] for one in limits))
    if not cut or share < 0.1:
        yield BAND.found(
            "healthy", f"{_asked(raw, len(limits))} fill the band up to {codec.rate / 2:,.0f} Hz", data.path
        )
        return
    hertz = float(np.median([one[0].hertz for one in cut]))
    drop = max(one[0].drop for one in cut)
    low = hertz < 0.75 * codec.rate / 2
    yield BAND.found(
        "warning" if low else "info",
        f"{share:.0%} of the sound ends at {hertz:,.0f} Hz (a fall of {drop:.0f} dB) of the {codec.rate / 2:,.0f} Hz "
        "that its rate allows",
        data.path,
        hertz=hertz,
        drop=drop,
    ).advising(f"Prepare it at a lower rate: `seqgen preprocess … --rate {_common_rate(2 * hertz)}`." if low else "")


def _common_rate(least: float) -> int:
    """The lowest of the usual rates that holds a band."""
    return next((rate for rate in (8000, 11025, 16000, 22050, 24000, 32000, 44100) if rate >= 0.98 * least), 48000)


def _level(data: PreparedData, waves: list[np.ndarray], rescales: bool) -> Finding:
    power = float(np.mean([np.var(wave) for wave in waves])) if waves else 0.0
    level = float(sound.decibels(power))
    severity = graded(-level, -QUIET_WARNING, -QUIET_SEVERE) if not rescales else "healthy"
    return LEVEL.found(severity, f"the training sound has {level:.0f} dBFS", data.path, level=level)


def _noise(
    data: PreparedData, raw: list[RawSound], waves: list[np.ndarray], heard: list[Piece], codec: AudioCodecSettings
) -> Iterator[Finding]:
    coder = AudioCodec(codec)
    if coder.rescales:
        yield NOISE.found("healthy", f"{codec.kind} rescales every clip, so there is no way back to compare", data.path)
        return
    if raw:
        signal = sum(float(np.var(one.waveform, dtype=np.float64)) * len(one.waveform) for one in raw)
        error = (one.waveform - coder.decode(coder.encode(one.waveform)) for one in raw)
        noise, how = sum(float(np.square(e, dtype=np.float64).sum()) for e in error), f"{len(raw)} raw files"
    else:
        amplitudes = coder.decode(np.arange(codec.levels)).astype(np.float64)
        step = np.gradient(amplitudes)
        counts = np.zeros(codec.levels)
        for piece in heard:
            counts += np.bincount(piece.tokens, minlength=codec.levels)
        noise, how = float(np.dot(counts, np.square(step) / 12)), "the tokens' histogram, estimated"
        signal = sum(float(np.var(wave, dtype=np.float64)) * len(wave) for wave in waves)
    if signal <= 0 or noise <= 0:
        yield NOISE.found("healthy", "the codec loses nothing", data.path)
        return
    ratio = float(10 * np.log10(signal / noise))
    sentence = f"the codec leaves a signal-to-noise ratio of {ratio:.0f} dB (by {how})"
    yield NOISE.found(graded(-ratio, -NOISE_WARNING, -NOISE_SEVERE), sentence, data.path, decibels=ratio)


def _trimmed(data: PreparedData, rate: int) -> Finding:
    dropped = data.manifest.silence_dropped_seconds
    kept = sum(item.length for item in data.manifest.items) / rate
    share = dropped / max(1e-9, dropped + kept)
    severity = graded(share, TRIMMED_WARNING, TRIMMED_SEVERE)
    sentence = f"trimming took {dropped:,.0f} s, {share:.0%} of the sound" if dropped else "no silence was trimmed"
    return TRIMMED.found(severity, sentence, data.path, seconds=dropped, share=share)


def _asked(raw: list[RawSound], count: int) -> str:
    return f"{count} raw files" if raw else f"{count} stretches of tokens"
