"""From one file of raw sound to its tokens: decode, mix to mono, resample, cut silence, quantise, in constant memory.

What comes of a file lies in the work folder: `NAME.tokens` (little-endian) and `NAME.json`, the second written after
the first, both atomically. A file whose JSON is there is done; a kill at any moment leaves it done or not begun.
Where more than the tokens of single samples is wanted of an item, the sound itself waits there instead, as
`NAME.sound` (float32): only when items are cut is it known what they are, and so their extremes and their features.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import SoundFile, UnreadableSoundError
from seqgen_core.audio.resample import ResampleStream
from seqgen_core.audio.silence import SilenceTrimmer
from seqgen_core.data.workers import stop_wanted
from seqgen_core.files import temporary_sibling, write_text_atomically
from seqgen_core.settings.base import Settings
from seqgen_core.settings.preprocess import PreprocessSettings

FULL_SCALE = 0.9999  # from here up a sample counts as standing at full scale; 32767 / 32768 does
_CLIPPED_SHARE = 0.001  # of the samples at full scale or clamped, from which a person is told
_DC_SHARE = 0.05  # mean of the samples, from which a person is told


class Prepared(Settings):
    """What came of one file."""

    outcome: Literal["used", "rejected", "short"]
    """Whether there are tokens, or why not."""
    reason: str = ""
    """Why it was set aside."""
    lasting: bool = True
    """False for a fault that may not come again, so that the next run tries the file anew."""
    content: str = ""
    """SHA-256 of the file's bytes."""
    length: int = 0
    """Number of tokens."""
    dropped: int = 0
    """Samples of silence that were cut, at the codec's rate."""
    peak: float = 0.0
    """Largest amplitude before any gain."""
    power: float = 0.0
    """Sum of the squared samples before any gain."""
    warnings: tuple[str, ...] = ()
    """Phrases about damage and the like."""


@dataclass(frozen=True)
class Task:
    """One file to prepare. gain: None to measure peak and power alone, without tokens."""

    path: Path
    stem: Path
    settings: PreprocessSettings
    gain: float | None

    @property
    def account(self) -> Path:
        """Where what came of it is written."""
        return self.stem.with_name(self.stem.name + ".json")

    @property
    def keeps_sound(self) -> bool:
        """Whether the sound waits to be quantised until items are cut."""
        return self.settings.features != "none" or AudioCodec(self.settings.sound_codec).rescales

    @property
    def product(self) -> Path:
        """Where its tokens, or its sound, are written."""
        return self.stem.with_name(self.stem.name + (".sound" if self.keeps_sound else ".tokens"))

    @property
    def dtype(self) -> np.dtype:
        """Of the product, little-endian."""
        if self.keeps_sound:
            return np.dtype("<f4")
        return AudioCodec(self.settings.sound_codec).dtype.newbyteorder("<")


class Interrupted(Exception):  # noqa: N818 (no error: the work is no longer wanted)
    """The run was interrupted while the file was read."""


def finished(task: Task) -> Prepared | None:
    """What an earlier run left of this task, None where it is to be done."""
    try:
        prepared = Prepared.model_validate_json(task.account.read_text(encoding="utf-8"))
        if prepared.outcome == "used" and task.gain is not None:
            whole = task.product.stat().st_size == prepared.length * task.dtype.itemsize
            return prepared if whole else None
        return prepared
    except (OSError, ValueError):
        return None


def prepare_file(task: Task) -> Prepared:
    """Do one task and leave its account in the work folder. Raises OSError where that folder cannot be written to."""
    try:
        prepared = _prepare(task)
    except UnreadableSoundError as problem:
        prepared = Prepared(outcome="rejected", reason=problem.reason)
    except (OSError, Interrupted):
        raise
    except Exception as problem:  # a decoder's surprise must not end the work on the other files
        said = " ".join(str(problem).split())[:200]
        return Prepared(outcome="rejected", reason=f"unexpected {type(problem).__name__}: {said}", lasting=False)
    write_text_atomically(task.account, prepared.model_dump_json())
    return prepared


def _prepare(task: Task) -> Prepared:
    settings = task.settings
    codec = AudioCodec(settings.sound_codec)
    meter = _Meter(task.gain or 1.0, clamps=not codec.rescales)
    temporary = temporary_sibling(task.product)
    with SoundFile(task.path) as sound:
        trimmer = None
        if settings.trim_silence is not None:
            trimmer = SilenceTrimmer(settings.rate, settings.trim_silence, settings.longest_silence)
        waveform = _mono(sound, settings.rate, trimmer)
        try:
            if task.gain is None:
                for block in waveform:
                    meter.see(block)
            else:
                with temporary.open("wb") as stream:
                    for block in waveform:
                        meter.see(block)
                        heard = block * np.float32(task.gain)
                        stream.write((heard if task.keeps_sound else codec.encode(heard)).astype(task.dtype).tobytes())
                    stream.flush()
                    os.fsync(stream.fileno())
            warnings, dropped = (*sound.warnings, *meter.warnings()), trimmer.dropped if trimmer else 0
            outcome, reason = _judge(meter, dropped, settings)
            if task.gain is not None and outcome == "used":
                temporary.replace(task.product)
        finally:
            temporary.unlink(missing_ok=True)
    return Prepared(
        outcome=outcome,
        reason=reason,
        content=_sha256(task.path),
        length=meter.count,
        dropped=dropped,
        peak=meter.peak,
        power=meter.power,
        warnings=warnings,
    )


def _mono(sound: SoundFile, rate: int, trimmer: SilenceTrimmer | None) -> Iterator[NDArray[np.float32]]:
    """The sound as mono blocks (T,) at `rate`, its silence cut."""
    stream = ResampleStream(sound.info.rate, rate)
    for block in sound.blocks():
        if stop_wanted():
            raise Interrupted
        samples = stream.push(block.mean(axis=1, dtype=np.float32))
        yield trimmer.push(samples) if trimmer else samples
    samples = stream.finish()
    yield trimmer.push(samples) if trimmer else samples
    if trimmer:
        yield trimmer.finish()


class _Meter:
    """Counts over the samples of one file."""

    def __init__(self, gain: float, clamps: bool) -> None:
        self.gain, self.clamps = gain, clamps
        self.count, self.total, self.power, self.peak = 0, 0.0, 0.0, 0.0
        self.low, self.high = np.inf, -np.inf
        self.at_full_scale, self.clamped = 0, 0

    def see(self, block: NDArray[np.float32]) -> None:
        if not len(block):
            return
        self.count += len(block)
        self.total += float(block.sum(dtype=np.float64))
        self.power += float(np.square(block, dtype=np.float64).sum())
        self.low, self.high = min(self.low, float(block.min())), max(self.high, float(block.max()))
        self.peak = max(self.peak, -self.low, self.high)
        magnitude = np.abs(block)
        self.at_full_scale += int((magnitude >= FULL_SCALE).sum())
        if self.clamps:
            self.clamped += int((magnitude * np.float32(self.gain) > 1).sum())

    def warnings(self) -> list[str]:
        """Phrases about what a person would want to know."""
        found = []
        if self.clamped > _CLIPPED_SHARE * self.count:
            found.append(
                f"{self.clamped} samples ({self.clamped / self.count:.1%}) beyond full scale were clamped "
                f"(peak {self.peak * self.gain:.2f})"
            )
        elif self.at_full_scale > _CLIPPED_SHARE * self.count:
            share = self.at_full_scale / self.count
            found.append(f"clipped: {self.at_full_scale} samples ({share:.1%}) stand at full scale")
        if self.count and abs(self.total / self.count) > _DC_SHARE:
            found.append(f"its mean is {self.total / self.count:.3f}, not 0 (DC offset)")
        return found


def _judge(
    meter: _Meter, dropped: int, settings: PreprocessSettings
) -> tuple[Literal["used", "rejected", "short"], str]:
    seconds, shortest = meter.count / settings.rate, settings.minimum_seconds
    if not meter.count and dropped:
        return "rejected", f"all {dropped / settings.rate:.2f} s are silence below {settings.trim_silence:g} dBFS"
    if meter.count < max(2, shortest * settings.rate):
        after = f" after {dropped / settings.rate:.2f} s of silence were cut" if dropped else ""
        return (
            "short",
            f"too short: {seconds:.4g} s{after}, the shortest used is {max(shortest, 2 / settings.rate):.4g} s",
        )
    if meter.low == meter.high:
        return "rejected", f"silent: every sample is {meter.low:g}"
    return "used", ""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
