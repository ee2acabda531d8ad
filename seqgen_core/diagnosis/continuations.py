"""Whether continuations are louder than what they continue, beside how much real sound changes from piece to piece."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis import sound
from seqgen_core.diagnosis.finding import Finding, check
from seqgen_core.diagnosis.measures import HEARD_DB, REAL_PIECES
from seqgen_core.diagnosis.pieces import pieces, read_beginning
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.codec import AudioCodecSettings

MOST_SECONDS = 2.0
"""On either side of the seam."""
READ_SECONDS = 300.0
MOST_CLIPS = 16
LEAST_DB, ONE_DB, SPREADS = 5.0, 11.0, 3.0  # ONE_DB: a forte after a piano, of the recordings of docs/doctor.md
ALONE_DB = 12.0

LOUDER = check(
    "louder-than-prime",
    "samples",
    looks_at=f"how far the level rises at the seam, from the last {MOST_SECONDS:g} s of the primes (less where "
    f"either side is shorter) to as long a stretch of what was drawn; of primes above {HEARD_DB:g} dBFS",
    thresholds=f"a mean rise of {LEAST_DB:g} dB; of {ONE_DB:g} dB, of {SPREADS:g} times the spread of real rises from "
    "one stretch to the next, and of the largest of these, each over the root of the number of primes: a warning; "
    f"{ALONE_DB:g} dB, where nothing real is known, a remark",
    advice="Train longer: a model that loses the thread falls into the mean level of all it has heard. Lower "
    "--temperature (0.95), or prime with more sound, and louder.",
)


@dataclass(frozen=True)
class Seam:
    """A continuation: by how many decibels it is louder than its prime, and which excerpt that was."""

    rise: float
    seconds: float
    excerpt: str


def check_seams(
    folder: Path, entries: Iterable[dict[str, Any]], codec: AudioCodecSettings | None, data: PreparedData | None
) -> Iterator[Finding]:
    """The check of a sheet's clips; none where nothing was continued. data: what the run was trained on, if known."""
    seams = list(_seams(folder, entries))
    if not seams:
        return
    rise = float(np.mean([seam.rise for seam in seams]))
    count = len({seam.excerpt for seam in seams})  # clips of one and the same prime tell no more than one
    figures = {"rise": rise, "primes": float(count)}
    change = "louder" if rise >= 0 else "quieter"
    sentence = f"continuations are {abs(rise):.1f} dB {change} than their {count} primes"
    sentence = sentence.replace("their 1 primes", "their prime")
    seconds = float(np.median([seam.seconds for seam in seams]))
    real = real_rises(data, seconds) if data is not None and codec is not None else np.empty(0)
    if len(real) < 4:
        yield LOUDER.found("info" if rise >= ALONE_DB else "healthy", sentence, folder, **figures)
        return
    spread = float(real.std())
    limit = max(LEAST_DB, max(ONE_DB, SPREADS * spread, float(real.max())) / math.sqrt(count))
    sentence += f"; real sound changes by {spread:.1f} dB from one stretch of {seconds:.2g} s to the next"
    yield LOUDER.found("warning" if rise > limit else "healthy", sentence, folder, **figures, real=spread, limit=limit)


def _seams(folder: Path, entries: Iterable[dict[str, Any]]) -> Iterator[Seam]:
    taken = 0
    for number, entry in enumerate(entries):
        files = {str(part).split()[0]: str(name) for part, name in (entry.get("files") or {}).items()}
        if not {"prime", "continuation"} <= files.keys() or taken == MOST_CLIPS:
            continue
        try:
            before, after = (
                read_beginning(folder / files[part], None, READ_SECONDS) for part in ("prime", "continuation")
            )
        except (SeqgenError, OSError):
            continue  # what cannot be read is another finding's
        rate = before.native_rate
        if len(before.waveform) >= READ_SECONDS * rate:
            continue  # its end was not read
        taken += 1
        length = min(len(before.waveform), len(after.waveform), round(MOST_SECONDS * rate))
        level = sound.level(before.waveform[-length:]) if length else sound.FLOOR_DB
        if level > HEARD_DB:
            told = entry.get("prime")
            excerpt = f"{told.get('origin')} {told.get('start')}" if isinstance(told, dict) else f"clip {number}"
            yield Seam(sound.level(after.waveform[:length]) - level, length / rate, excerpt)


def real_rises(data: PreparedData, seconds: float) -> np.ndarray:
    """Rises in dB (K,) from a stretch of training sound to the next, over up to REAL_PIECES seams, evenly spread."""
    codec = data.manifest.codec
    assert isinstance(codec, AudioCodecSettings)
    lengths = [item.length for item in data.items("train")] or [0]
    half = max(16, min(round(seconds * codec.rate), int(np.median(lengths)) // 2))  # words are short
    waves: Sequence[np.ndarray] = [
        AudioCodec(codec).decode(piece.tokens)
        for piece in pieces(data, "train", most=REAL_PIECES * 2 * half, longest=2 * half)
        if len(piece.tokens) == 2 * half
    ]
    levels = [(sound.level(wave[:half]), sound.level(wave[half:])) for wave in waves]
    return np.array([after - before for before, after in levels if before > HEARD_DB])
