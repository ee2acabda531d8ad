"""Checks of texts that a model wrote."""

from collections.abc import Iterator
from pathlib import Path

from seqgen_core.diagnosis.finding import Finding, check

MOST_CHARACTERS = 20_000
"""Of a text that are looked at, its last ones."""
LEAST, COPIES = 40, 3
SEVERE = 0.5
GRAM, REPEATED = 24, 0.4

TEXT_LOOP = check(
    "text-loop",
    "samples",
    looks_at="whether a text ends in one passage over and over, and what share of its stretches of "
    f"{GRAM} characters occur before",
    thresholds=f"{COPIES} copies and {LEAST} characters at the end a warning, half of the text severe; {REPEATED:.0%} "
    "of the stretches repeated a warning",
    advice="Raise --temperature or drop --top-k/--top-p; train longer where it loops at temperature 1, too.",
)


def check_text_clip(text: str, where: Path) -> Iterator[Finding]:
    """The check of one text."""
    text = text[-MOST_CHARACTERS:]
    period, length = final_loop(text)
    share = length / max(1, len(text))
    repeated = repeated_share(text)
    figures = {"period": period, "characters": length, "repeated": repeated}
    if length >= LEAST and length >= COPIES * period:
        passage = " ".join(text[-period:].split()) or "blank"
        shown = passage if len(passage) <= 30 else passage[:29] + "…"
        sentence = f"its last {length} characters ({share:.0%}) repeat {shown!r}"
        yield TEXT_LOOP.found("severe" if share >= SEVERE else "warning", sentence, where, **figures)
    elif repeated >= REPEATED:
        sentence = f"{repeated:.0%} of its stretches of {GRAM} characters occur before"
        yield TEXT_LOOP.found("warning", sentence, where, **figures)
    else:
        sentence = f"{repeated:.0%} of its stretches of {GRAM} characters occur before"
        yield TEXT_LOOP.found("healthy", sentence, where, **figures)


def final_loop(text: str) -> tuple[int, int]:
    """Period and length in characters of the longest end that repeats itself at least COPIES times; (1, 0) without."""
    backwards = text[::-1]
    best = (1, 0)
    for period in range(1, len(text) // COPIES + 1):
        if backwards[:period] != backwards[period : 2 * period]:
            continue
        length = 2 * period
        while length < len(text) and backwards[length] == backwards[length - period]:
            length += 1
        if length >= COPIES * period and length > best[1]:
            best = (period, length)
    return best


def repeated_share(text: str) -> float:
    """1 - distinct stretches of GRAM characters / all of them, after Welleck et al. 2020 (arXiv:1908.04319)."""
    count = len(text) - GRAM + 1
    if count < GRAM:
        return 0.0
    return 1 - len({text[place : place + GRAM] for place in range(count)}) / count
