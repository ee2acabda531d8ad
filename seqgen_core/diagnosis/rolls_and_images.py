"""Checks of piano rolls and images that a model made, by what their sheet says of each."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis.finding import Finding, Severity, check
from seqgen_core.diagnosis.pieces import pieces

MOST_FRAMES = 100_000
SPARSE, CROWDED = 0.25, 4.0

EMPTY = check(
    "empty-clips",
    "samples",
    looks_at="piano rolls without notes, or with far fewer or more keys in a frame than the training rolls; images "
    "without contrast",
    thresholds=f"no note, or no contrast, severe; fewer than {SPARSE:g} or more than {CROWDED:g} times the keys per "
    "frame of training a warning",
    advice="Draw at --temperature 1, or continue real ones by --conditional; where that is empty too, train longer.",
)


def check_entries(entries: Sequence[dict[str, Any]], data: PreparedData | None, where: object) -> Iterator[Finding]:
    """The check of a sheet's clips; none where they are neither rolls nor images."""
    keys = [float(entry["keys_per_frame"]) for entry in entries if "keys_per_frame" in entry]
    contrasts = [float(entry["contrast"]) for entry in entries if "contrast" in entry]
    if keys:
        yield _rolls(keys, data, where)
    elif contrasts:
        blank = sum(contrast <= 0 for contrast in contrasts)
        severity: Severity = "severe" if blank else "healthy"
        yield EMPTY.found(severity, f"{blank} of {len(contrasts)} images are blank", where, clips=blank)


def _rolls(keys: list[float], data: PreparedData | None, where: object) -> Finding:
    silent = sum(count <= 0 for count in keys)
    usual = None
    if data is not None and data.manifest.codec.kind == "piano-roll":
        found = [piece.tokens for piece in pieces(data, "train", most=MOST_FRAMES, longest=MOST_FRAMES)]
        usual = sum(int(roll.sum()) for roll in found) / max(1, sum(len(roll) for roll in found))
    beside = "" if usual is None else f"; training rolls have {usual:.1f} keys per frame"
    mean = float(np.mean(keys))
    if silent:
        return EMPTY.found("severe", f"{silent} of {len(keys)} rolls are without a note{beside}", where, clips=silent)
    far = usual is not None and not SPARSE * usual <= mean <= CROWDED * usual
    sentence = f"the rolls have {mean:.1f} keys per frame{beside}"
    return EMPTY.found("warning" if far else "healthy", sentence, where, keys=mean)
