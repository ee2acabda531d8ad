"""Clips that are drawn for the page, of lengths that suit the recordings, kept in the run like any others."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen_core.data.store import Item, PreparedData, Split
from seqgen_core.library.prime_places import seed_of_primes
from seqgen_core.progress import Progress
from seqgen_core.settings.codec import AudioCodecSettings, NotesCodecSettings
from seqgen_core.settings.report import ReportSettings

if TYPE_CHECKING:
    from seqgen_core.library import Run
    from seqgen_core.library.generation import Generation

PRIME_SECONDS = {"sample": 2.0, "frame": 8.0}
"""Of what is continued, by what a token is called; less where recordings are short."""
NOTES_SECONDS = 20.0
HELD_OUT: tuple[Split, ...] = ("test", "valid", "train")
"""Splits that real excerpts are taken from: the first that holds any."""
EACH = 0.4
"""Of a usual recording, what the prime has at most, and what is drawn; the rest leaves room for other places."""
MOST_CLASSES = 10
"""Classes of which a clip is drawn."""


def held_out(data: PreparedData) -> list[Item]:
    """Items of the first split of HELD_OUT that holds something to predict."""
    for split in HELD_OUT:
        found = [item for item in data.items(split) if item.length > item.given]
        if found:
            return found
    return []


def draw_continued(run: "Run", data: PreparedData, settings: ReportSettings, spare: Path, progress: Progress) -> None:
    """Continue held-out excerpts. Raises SeqgenError where that cannot be done."""
    split = next((item.split for item in held_out(data)), "test")
    changes: dict[str, Any] = {"conditional": True, "split": split, **_lengths(run, data, settings, primed=True)}
    streams = [replace(data.stream(item), features=None) for item in data.items(split)]
    places = {name: changes[name] for name in ("seconds", "prime_seconds") if name in changes}
    seed = settings.seed  # one that was asked for is kept
    if seed == ReportSettings().seed:
        seed = seed_of_primes(run, streams, settings.count, seed, device=settings.device, **places)
    common: dict[str, Any] = {**_common(settings), "seed": seed}
    _keep(run.generate(**common, **changes, count=settings.count, progress=progress), spare)


def draw_from_nothing(
    run: "Run", data: PreparedData | None, settings: ReportSettings, spare: Path, progress: Progress
) -> None:
    """Draw from nothing; of a model with classes, one clip of each. Raises SeqgenError where that cannot be done."""
    lengths = _lengths(run, data, settings, primed=False)
    classes = getattr(run.settings.model, "classes", 0)
    if not classes:
        _keep(run.generate(**_common(settings), **lengths, count=settings.count, progress=progress), spare)
    names = run.settings.data.label_names or tuple(map(str, range(classes)))
    for name in names[:MOST_CLASSES] if classes else ():
        _keep(run.generate(**_common(settings), **lengths, label=name, progress=progress), spare)


def _common(settings: ReportSettings) -> dict[str, Any]:
    return {"seed": settings.seed, "device": settings.device, "threads": settings.threads}


def _lengths(run: "Run", data: PreparedData | None, settings: ReportSettings, *, primed: bool) -> dict[str, float]:
    """Seconds of primes and of what is drawn: together no more than the held-out recordings commonly have.

    Nothing for what takes no time, and for tasks, whose answers have a length of their own.
    """
    codec = run.settings.data.codec
    if not isinstance(codec, AudioCodecSettings | NotesCodecSettings):
        return {}
    prime, new = PRIME_SECONDS[codec.unit], settings.seconds if codec.unit == "sample" else NOTES_SECONDS
    items = [] if data is None else held_out(data)
    if any(item.given > 1 for item in items):
        return {}
    if items:
        median = float(np.median([item.length for item in items])) / codec.tokens_per_second
        each = EACH if len(items) >= settings.count else EACH / 2  # several places of the same recording
        prime = min(prime, each * median) if primed else 0.0
        new = min(new, each * median if primed else median)
    return {"seconds": round(new, 3) or new, **({"prime_seconds": round(prime, 3) or prime} if primed else {})}


def _keep(generation: "Generation", spare: Path) -> None:
    """Write clips into the run; where that cannot be written, into a folder that lasts as long as the work."""
    try:
        generation.write()
    except OSError:
        generation.write(spare / f"{len(list(spare.iterdir()))}" if spare.is_dir() else spare / "0")
