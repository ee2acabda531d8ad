"""Measures of texts: whether their words exist, whether they repeat themselves, and whether they are copied.

A word is what white space parts. The first and the last word of a clip may be cut and are left out.
Axes: V symbols.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap, Estimate
from seqgen_core.evaluation.fidelity.measure import Measure

COPIED_WORDS = 5
"""Words in a row that are looked for in the training text."""


@dataclass(frozen=True)
class Known:
    """What the training text holds: its words, and its sequences of COPIED_WORDS words, as their hashes."""

    words: frozenset[str]
    sequences: frozenset[int]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Known":
        """Read once, text by text."""
        words: set[str] = set()
        sequences: set[int] = set()
        for text in texts:
            parts = text.split()
            words.update(parts)
            sequences.update(_sequences(parts, COPIED_WORDS))
        return cls(frozenset(words), frozenset(sequences))


def text_measures(
    drawn: Sequence[str],
    real: Sequence[str],
    reference: Sequence[str],
    known: Known,
    sure: Bootstrap,
    *,
    open_vocabulary: bool,
) -> list[Measure]:
    """Of texts about equally long. open_vocabulary: whether words can be made up, as by a model of characters.

    distinct-n: distinct sequences of n words in all of them (Li et al. 2016, arXiv:1510.03055, section 5), here within
    each clip, so that the figure does not hang on the number of clips.
    """
    sets = [[text.split()[1:-1] for text in texts] for texts in (drawn, [*real, *reference])]

    def each(figure: Callable[[Sequence[str]], float]) -> list[Estimate]:
        return [sure.mean([figure(words) for words in clips]) for clips in sets]

    copied = each(lambda words: _share([found in known.sequences for found in _sequences(words, COPIED_WORDS)]))
    measures = [
        Measure.of("distinct-1", "as real", each(lambda words: distinct(words, 1)), unit="%", decimals=1),
        Measure.of("distinct-2", "as real", each(lambda words: distinct(words, 2)), unit="%", decimals=1),
        Measure.of(f"{COPIED_WORDS} words as in training", "as real", copied, unit="%", decimals=1),
        _histograms(drawn, real, reference, sure, words=not open_vocabulary),
    ]
    if open_vocabulary:
        spelt = each(lambda words: _share([word in known.words for word in words]))
        measures.insert(0, Measure.of("words from training", "as real", spelt, unit="%", decimals=1))
    return measures


def distinct(words: Sequence[str], size: int) -> float:
    """Distinct sequences of `size` words in 100 of them; NaN where there is none."""
    every = _sequences(words, size)
    return 100 * len(set(every)) / len(every) if every else math.nan


def _histograms(
    drawn: Sequence[str], real: Sequence[str], reference: Sequence[str], sure: Bootstrap, *, words: bool
) -> Measure:
    """Total variation between the histograms of symbols, in percent: the share that would have to change."""
    counts = [[Counter(text.split() if words else text) for text in texts] for texts in (drawn, real, reference)]
    symbols = {symbol: place for place, symbol in enumerate(sorted({s for clips in counts for c in clips for s in c}))}
    tables = [np.zeros((len(clips), len(symbols))) for clips in counts]
    for table, clips in zip(tables, counts, strict=True):
        for row, counted in zip(table, clips, strict=True):
            row[[symbols[symbol] for symbol in counted]] = list(counted.values())
    both = histogram_distances(tables[0], tables[1], tables[2], sure)
    return Measure.of(f"{'word' if words else 'character'} histogram", "lower", both, unit="%", decimals=1)


def histogram_distances(
    drawn: NDArray[np.float64], real: NDArray[np.float64], reference: NDArray[np.float64], sure: Bootstrap
) -> list[Estimate]:
    """Total variation in percent between the summed counts (clips, V) of drawn and of real clips and the reference's.

    Few clips look further away than many, so of the real ones no more are taken than were drawn.
    """
    usual = reference.sum(axis=0)
    return [
        sure.estimate(
            lambda chosen, of=table: 100 * total_variation(of[chosen].sum(axis=0), usual), len(table), centred=True
        )
        for table in (drawn, real[: len(drawn)])
    ]


def total_variation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Half the summed difference of two histograms (V,), each divided by its sum; NaN where one is empty."""
    if not first.sum() or not second.sum():
        return math.nan
    return float(np.abs(first / first.sum() - second / second.sum()).sum() / 2)


def _sequences(words: Sequence[str], size: int) -> list[int]:
    return [hash(tuple(words[place : place + size])) for place in range(len(words) - size + 1)]


def _share(found: Sequence[bool]) -> float:
    return 100 * sum(found) / len(found) if found else math.nan
