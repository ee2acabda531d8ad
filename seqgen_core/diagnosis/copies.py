"""Whether what is held out was trained on: equal tokens anywhere, and sound that is the same but for gain or offset."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.data.store import Item, PreparedData
from seqgen_core.diagnosis.finding import Finding, check
from seqgen_core.diagnosis.fingerprint import Fingerprint, fingerprint, match
from seqgen_core.diagnosis.pieces import RAW_SECONDS
from seqgen_core.settings.codec import AudioCodecSettings

COMPARED_SECONDS = 600.0
"""Of sound, of the training split and of what is held out, that are compared."""
MOST_PAIRS = 20_000
WITHIN_WARNING = 0.2

ACROSS = check(
    "copies-across-splits",
    "data",
    looks_at="recordings of the validation and test splits that are also trained on: equal tokens, and, of sound, the "
    "same recording at another gain, offset or quantisation by its fingerprint (Haitsma and Kalker 2002), for sounds "
    f"longer than about half a second, over up to {COMPARED_SECONDS / 60:g} minutes of each side",
    thresholds="one recording a warning; more than a tenth of those held out severe",
    advice="Remove the copies and prepare again: held-out bits are too good while they are there.",
)
WITHIN = check(
    "copies-within",
    "data",
    looks_at="recordings that stand in the data several times with equal tokens",
    thresholds=f"{WITHIN_WARNING:.0%} of all a warning",
    advice="Remove the copies, unless you want them to weigh more.",
)


def check_copies(data: PreparedData) -> Iterator[Finding]:
    """Both checks of copies."""
    groups: dict[tuple[str, int | None], list[Item]] = defaultdict(list)
    for item in data.manifest.items:
        groups[item.sha256, None].append(item)
    extra = sum(len(group) - 1 for group in groups.values())
    share = extra / max(1, len(data.manifest.items))
    trained = {item.sha256: item for item in data.items("train")}
    held_out = [*data.items("valid"), *data.items("test")]
    found = [(item.origin, trained[item.sha256].origin, "equal tokens") for item in held_out if item.sha256 in trained]
    seen = 1.0
    if isinstance(data.manifest.codec, AudioCodecSettings):
        equal = {origin for origin, _, _ in found}
        near, seen = _near_copies(data, [item for item in held_out if item.origin not in equal], data.manifest.codec)
        found += near
    part = "" if seen >= 1 else f" ({seen:.0%} of the sound was compared)"
    if found:
        held, train, how = found[0]
        yield ACROSS.found(
            "severe" if len(found) > 0.1 * len(held_out) else "warning",
            f"{len(found)} of {len(held_out)} held-out recordings are trained on, such as {held}, which is {train} "
            f"({how}){part}",
            data.path,
            recordings=len(found),
            share=len(found) / len(held_out),
        )
    else:
        yield ACROSS.found("healthy", f"no held-out recording is trained on{part}", data.path, compared=seen)
    yield WITHIN.found(
        "warning" if share >= WITHIN_WARNING else "info" if extra else "healthy",
        f"{extra:,} of {len(data.manifest.items):,} recordings are copies of another",
        data.path,
        copies=extra,
        share=share,
    )


def _near_copies(
    data: PreparedData, held_out: list[Item], codec: AudioCodecSettings
) -> tuple[list[tuple[str, str, str]], float]:
    """(held out, trained on, how) of each pair, and the share of the sound that was compared."""
    rest, rest_seen = _prints(data, held_out, codec)
    train, train_seen = _prints(data, list(data.items("train")), codec)
    if rest and len(rest) * len(train) > MOST_PAIRS:
        every = np.linspace(0, len(train) - 1, max(1, MOST_PAIRS // len(rest))).astype(int)
        train_seen *= len(every) / len(train)
        train = [train[place] for place in every]
    found: dict[str, tuple[str, str, str]] = {}
    for item, printed in rest:
        for other, other_print in train:
            # Parts of one file that was cut for the splits follow one another and are not copies.
            if item.origin in found or _file(item) == _file(other):
                continue
            same = match(printed, other_print)
            if same is not None:
                how = f"{same.errors:.0%} of the fingerprint's bits differ, {same.seconds:+.2f} s apart"
                found[item.origin] = (item.origin, other.origin, how)
    return list(found.values()), min(rest_seen, train_seen)


def _file(item: Item) -> str:
    return item.origin.partition(" [")[0]


def _prints(
    data: PreparedData, items: list[Item], codec: AudioCodecSettings
) -> tuple[list[tuple[Item, Fingerprint]], float]:
    """Fingerprints of items, of the beginning of each where they are long, and the share of their sound in them."""
    total = sum(item.length for item in items)
    budget = COMPARED_SECONDS * codec.rate
    longest = round(max(4 * RAW_SECONDS * codec.rate, budget / max(1, len(items))))
    chosen, taken = [], 0
    places = range(len(items))
    taken_of_each = sum(min(item.length, longest) for item in items) / max(1, len(items))
    if len(items) * taken_of_each > budget:
        places = np.unique(np.linspace(0, len(items) - 1, max(1, int(budget // taken_of_each))).astype(int))
    for place in places:
        tokens = data.tokens(items[place])[:longest]
        taken += len(tokens)
        chosen.append((items[place], fingerprint(AudioCodec(codec).decode(np.asarray(tokens)), codec.rate)))
    return chosen, taken / max(1, total)
