"""Measures of piano rolls: which pitch classes sound, how many notes, how many at once.

Axes: T frames, K keys.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.embedding import Scaling
from seqgen_core.evaluation.fidelity.measure import Measure
from seqgen_core.evaluation.fidelity.texts import histogram_distances
from seqgen_core.evaluation.fidelity.vectors import diversity_measures, frechet_measure
from seqgen_core.notes.rolls import held_notes
from seqgen_core.settings.codec import NotesCodecSettings

Rolls = Sequence[NDArray[np.integer]]


def roll_measures(
    drawn: Rolls, real: Rolls, reference: Rolls, codec: NotesCodecSettings, sure: Bootstrap
) -> list[Measure]:
    """Of rolls (T, K). Held notes count once; a clip is embedded as its pitch-class histogram, notes per second, keys
    that sound at once, and the mean and standard deviation of the keys."""
    drawn_classes, real_classes, usual = (
        np.stack([pitch_classes(roll, codec.lowest) for roll in rolls]) for rolls in (drawn, real, reference)
    )
    both = (drawn, [*real, *reference])
    rates = [sure.mean([notes_per_second(roll, codec.rate) for roll in rolls]) for rolls in both]
    polyphony = [sure.mean([keys_at_once(roll) for roll in rolls]) for rolls in both]
    raw = [np.stack([_vector(roll, codec) for roll in rolls]) for rolls in (drawn, real, reference)]
    scaling = Scaling(raw[2])
    sets = [scaling(vectors) for vectors in raw]
    classes = histogram_distances(drawn_classes, real_classes, usual, sure)
    return [
        Measure.of("pitch-class histogram", "lower", classes, unit="%", decimals=1),
        Measure.of("notes per second", "as real", rates),
        Measure.of("keys at once", "as real", polyphony),
        frechet_measure(*([row[None] for row in rows] for rows in sets), sure),
        *diversity_measures(*sets, sure),
    ]


def pitch_classes(roll: NDArray[np.integer], lowest: int) -> NDArray[np.float64]:
    """Frames in which each pitch class sounds (12,), C first, summed over its keys."""
    keys = np.asarray(roll).sum(axis=0)
    return np.array([keys[(lowest + np.arange(len(keys))) % 12 == place].sum() for place in range(12)], np.float64)


def notes_per_second(roll: NDArray[np.integer], rate: float) -> float:
    """Notes that begin in a second."""
    return len(held_notes(np.asarray(roll))) * rate / len(roll)


def keys_at_once(roll: NDArray[np.integer]) -> float:
    """Keys that sound in a frame, on average."""
    return float(np.asarray(roll).sum() / len(roll))


def _vector(roll: NDArray[np.integer], codec: NotesCodecSettings) -> NDArray[np.float64]:
    classes = pitch_classes(roll, codec.lowest)
    keys = np.nonzero(np.asarray(roll))[1]
    centre, spread = (float(keys.mean()), float(keys.std())) if len(keys) else (0.0, 0.0)
    rates = [notes_per_second(roll, codec.rate), keys_at_once(roll), centre, spread]
    return np.concatenate([classes / max(1.0, classes.sum()), rates])
