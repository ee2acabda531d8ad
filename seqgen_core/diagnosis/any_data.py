"""Checks that hold for data of any kind: how much there is, how it is shared out, what its symbols alone would cost."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from seqgen_core.data import splits
from seqgen_core.data.store import SPLITS, PreparedData, Split
from seqgen_core.data.yardsticks import Yardsticks, yardsticks
from seqgen_core.diagnosis.finding import Finding, check, graded

FEW_SECONDS, VERY_FEW_SECONDS, SHORT_SECONDS = 10.0, 2.0, 600.0
PAPERS = "papers use hours, such as 24.6 of speech and 60 of piano (WaveNet), 10 of piano (SampleRNN)"
FEW_TOKENS = 10_000
"""Of text and notes; images are counted whole."""
FEW_IMAGES = 100
HELD_OUT_SECONDS, HELD_OUT_TOKENS = 1.0, 200
VERY_LITTLE_SECONDS = 5.0
FEW_EXAMPLES, UNBALANCED = 5, 10.0
SET_ASIDE_WARNING, SET_ASIDE_SEVERE = 0.2, 0.6
PREDICTABLE = 0.2  # of the uniform bits

ENTROPY = check(
    "entropy",
    "data",
    looks_at="the entropy of the training tokens: of their histogram (order 0), and given the token before (order 1); "
    "where one value is nearly all there is, there is little to learn but that value",
    thresholds=f"order 0 below {PREDICTABLE:.0%} of the bits of a uniform distribution a warning, zero severe",
    advice="See what the tokens are with `seqgen info data`: silence, blanks, or the wrong files?",
)
AMOUNT = check(
    "amount",
    "data",
    looks_at="how much there is to learn from",
    thresholds=f"sound: below {FEW_SECONDS:g} s of training a warning, below {VERY_FEW_SECONDS:g} s severe, below "
    f"{SHORT_SECONDS / 60:g} min a remark ({PAPERS}); below {FEW_TOKENS:,} tokens of text or notes, or "
    f"{FEW_IMAGES} images, a warning",
    advice="Find more; a model learns so little by heart.",
)
SPLITS_CHECK = check(
    "splits",
    "data",
    looks_at="whether enough is held out to measure anything by",
    thresholds=f"an empty validation or test split a warning; below {HELD_OUT_SECONDS:g} s of sound, or "
    f"{HELD_OUT_TOKENS} other tokens, a warning; no training split severe; where training has {splits.MUCH} times as "
    f"much sound, and {splits.MUCH * splits.LITTLE:g} s, less than {splits.LITTLE:g} s or one recording of several a "
    f"remark, less than {VERY_LITTLE_SECONDS:g} s a warning",
    advice="Hold out more: `seqgen preprocess … --valid-share 0.1 --test-share 0.1`, or sort the recordings into "
    "folders named train, valid and test.",
)
LABELS = check(
    "labels",
    "data",
    looks_at="how the classes share the training recordings",
    thresholds=f"a class with fewer than {FEW_EXAMPLES} a warning, one with none severe; one with {UNBALANCED:g} times "
    "as many as another a warning",
    advice="Add recordings of the rare classes, or leave these classes out.",
)
ASIDE = check(
    "set-aside",
    "data",
    looks_at="files that could not be used",
    thresholds=f"{SET_ASIDE_WARNING:.0%} of all a warning, {SET_ASIDE_SEVERE:.0%} severe",
    advice="`seqgen info data` lists them with their reasons.",
)


def check_any_data(data: PreparedData) -> Iterator[Finding]:
    """All checks of this module."""
    yield _entropy(data, yardsticks(data))
    yield _amount(data)
    yield _splits(data)
    if data.manifest.label_names:
        yield _labels(data)
    yield _set_aside(data)


def _entropy(data: PreparedData, known: Yardsticks) -> Finding:
    named = known.named()
    sentence = "bits per token: " + ", ".join(f"{name} {bits:.2f}" for name, bits in named.items())
    severity = "healthy"
    # A key of a piano roll is silent nearly always, and the background of digits is black: that is as it should be.
    if known.order0 is not None and not data.manifest.tokens.shape and data.manifest.codec.kind != "pixels":
        share = known.order0 / known.uniform
        severity = "severe" if share <= 0.01 else "warning" if share < PREDICTABLE else "healthy"
    figures = {name.replace("-", ""): bits for name, bits in named.items()}
    return ENTROPY.found(severity, sentence, data.path, **figures)


def _amount(data: PreparedData) -> Finding:
    codec, items = data.manifest.codec, data.items("train")
    tokens = sum(item.length for item in items)
    if codec.unit == "sample":
        seconds = tokens / (codec.tokens_per_second or 1)
        severity = graded(-seconds, -FEW_SECONDS, -VERY_FEW_SECONDS)
        if severity == "healthy" and seconds < SHORT_SECONDS:
            severity = "info"
        heart = f"; a model soon knows it by heart, and {PAPERS}" if severity == "info" else ""
        sentence = f"{in_words(seconds)} of sound to train on{heart}"
        return AMOUNT.found(severity, sentence, data.path, seconds=seconds, recordings=len(items))
    few = len(items) < FEW_IMAGES if codec.kind == "pixels" else tokens < FEW_TOKENS and not _is_task(data)
    what = f"{len(items):,} images" if codec.kind == "pixels" else f"{tokens:,} {codec.unit}s"
    severity = "warning" if few else "healthy"
    return AMOUNT.found(severity, f"{what} to train on", data.path, tokens=tokens, recordings=len(items))


def _is_task(data: PreparedData) -> bool:
    return data.manifest.settings.task != "none"


def _splits(data: PreparedData) -> Finding:
    rate, codec = data.manifest.codec.tokens_per_second, data.manifest.codec
    least = HELD_OUT_SECONDS * rate if codec.unit == "sample" and rate else HELD_OUT_TOKENS
    lengths = {split: sum(item.length for item in data.items(split)) for split in SPLITS}
    figures = {split: float(length) for split, length in lengths.items()}
    if not lengths["train"]:
        found = SPLITS_CHECK.found("severe", "there is no training split", data.path, **figures)
        return found.advising("Lower valid_share and test_share.")
    small = [split for split in SPLITS[1:] if lengths[split] < least]
    if small:
        told = " and ".join(f"{split} holds {lengths[split]:,} {codec.unit}s" for split in small)
        return SPLITS_CHECK.found("warning", f"too little is held out: {told}", data.path, **figures)
    little = splits.little_held_out(_whole(data, rate)) if codec.unit == "sample" and rate else []
    if little and rate:
        very = min(lengths[split] for split in SPLITS[1:]) < VERY_LITTLE_SECONDS * rate
        told = " and ".join(one.partition(":")[0] for one in little)  # what follows is said once
        sentence = f"{told}: figures on {'it' if len(little) == 1 else 'them'} say little"
        return SPLITS_CHECK.found("warning" if very else "info", sentence, data.path, **figures).advising(
            SPLITS_CHECK.advice
        )
    shares = ", ".join(f"{split} {length / sum(lengths.values()):.0%}" for split, length in lengths.items())
    return SPLITS_CHECK.found("healthy", f"shares of the splits: {shares}", data.path, **figures)


def _whole(data: PreparedData, rate: float) -> list[tuple[Split, float]]:
    """The split of each recording, of one that was cut each, and its seconds in it."""
    seconds: Counter[tuple[Split, str]] = Counter()
    for item in data.manifest.items:
        seconds[item.split, item.origin.partition(" [")[0]] += item.length
    return [(split, length / rate) for (split, _), length in seconds.items()]


def _labels(data: PreparedData) -> Finding:
    names = data.manifest.label_names
    counts = Counter(item.label for item in data.items("train"))
    each = np.array([counts.get(number, 0) for number in range(len(names))])
    rarest, commonest = names[int(each.argmin())], names[int(each.argmax())]
    figures = {"fewest": float(each.min()), "most": float(each.max())}
    sentence = f"{each.min()} training recordings of class {rarest}, {each.max()} of class {commonest}"
    if each.min() == 0:
        return LABELS.found("severe", f"no training recording of class {rarest}", data.path, **figures)
    # Splits are drawn by recording, so ten of each may leave eight of one and eleven of another.
    poor = each.min() < FEW_EXAMPLES or each.max() / each.min() >= UNBALANCED
    return LABELS.found("warning" if poor else "healthy", sentence, data.path, **figures)


def _set_aside(data: PreparedData) -> Finding:
    rejected = len(data.manifest.rejected)
    files = len({item.origin.partition(" [")[0] for item in data.manifest.items}) + rejected
    share = rejected / max(1, files)
    severity = graded(share, SET_ASIDE_WARNING, SET_ASIDE_SEVERE)
    if severity == "healthy" and rejected:
        severity = "info"
    first = f", such as {data.manifest.rejected[0].origin}" if rejected else ""
    return ASIDE.found(severity, f"{rejected} of {files} files could not be used{first}", data.path, share=share)


def in_words(seconds: float) -> str:
    """3 s, 14 min, 2 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{math.floor(minutes / 60)} h"
