"""Which recording is for training, validation and test: given splits first, the rest drawn by the files' bytes.

A recording's place in the draw is a hash of (seed, its bytes), so files that come later do not move those that are
there, and two copies of one file never lie on both sides. Where that leaves valid or test empty, the recordings that
came closest are taken, as long as one is left for training, and of recordings of unequal lengths those that come near
the share of all sound, or text; where there are too few recordings for that, each is cut along time, or, where a part
of a recording makes no sense, as of an image, nothing is held out.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from seqgen_core.data.store import Split

FOLDER_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
LITTLE = 20.0
"""Seconds of held-out sound below which figures on it say little."""
MUCH = 4
"""A warning is due where training has at least so many times what is held out."""
ALIKE = 2.0
"""Recordings up to so many times as long as the shortest stand for it."""


@dataclass(frozen=True)
class Recording:
    """What the split of one recording depends on: the hash of its bytes, the split it was given, if any, its length.

    length: in any unit that all of them share; 0 where it is not known.
    """

    content: str
    given: Split | None = None
    length: int = 0


@dataclass(frozen=True)
class Assignment:
    """splits: one for each recording, None where it is to be cut along time by `shares`; notes: for a person."""

    splits: list[Split | None]
    shares: dict[Split, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assign(
    recordings: Sequence[Recording], *, valid_share: float, test_share: float, seed: int, divisible: bool = True
) -> Assignment:
    """Place every recording. Shares are of recordings; a share of 0 leaves that split empty.

    A share of less than one recording, where their lengths are known and not all the same, is of the sum of lengths.
    divisible: whether too few recordings may be cut along time.
    """
    notes: list[str] = []
    given: dict[str, Split] = {}
    for recording in recordings:
        if recording.given is not None:
            before = given.setdefault(recording.content, recording.given)
            if before != recording.given:
                notes.append(f"the same recording is given for {before} and for {recording.given}")
    taken = set(given.values())
    wanted = {split: share for split, share in _shares(valid_share, test_share).items() if share and split not in taken}
    pool = sorted(
        {r.content for r in recordings if given.get(r.content, "train") == "train"}, key=lambda c: _place(c, seed)
    )
    drawn: dict[str, Split | None] = {}
    what = "one recording" if len(pool) == 1 else f"{len(pool)} recordings"
    if wanted and pool and len(pool) <= len(wanted) and not divisible:
        notes.append(f"only {what} to split: all for training, none for {' or '.join(wanted)}")
    elif wanted and pool and len(pool) <= len(wanted):
        drawn = dict.fromkeys(pool)
        parts = ", ".join(f"{_percent(share)} {split}" for split, share in _along_time(wanted).items())
        notes.append(
            f"only {what} to split: cut along time into {parts}. "
            "The parts are of the same recording, so held-out figures look better than on new recordings."
        )
    elif wanted and pool:
        lengths = {recording.content: recording.length for recording in recordings}
        drawn = dict(_draw(pool, wanted, seed, lengths))
        if "train" in taken:
            notes.append(f"no {' or '.join(wanted)} recordings were given: drawn from those for training")
    splits = [_home(recording, given, drawn) for recording in recordings]
    if recordings and None not in splits and "train" not in splits:
        notes.append("nothing is left for training: every recording is given for validation or test")
    return Assignment(splits, _along_time(wanted), notes)


def cut(length: int, shares: dict[Split, float]) -> list[tuple[Split, int, int]]:
    """Cut [0, length) into contiguous (split, start, stop) by shares, in their order, each at least two tokens long.

    What is too short for that is left whole, for the first of them.
    """
    if length < 2 * len(shares):
        return [(next(iter(shares)), 0, length)]
    parts, start, left = [], 0, len(shares)
    for split, share in shares.items():
        left -= 1
        stop = length if left == 0 else min(max(start + 2, start + round(share * length)), length - 2 * left)
        parts.append((split, start, stop))
        start = stop
    return parts


def little_held_out(seconds: Sequence[tuple[Split, float]], asked_for: bool = False) -> list[str]:
    """A sentence for each held-out split of sound that is too small for its figures to say much.

    seconds: the split of each whole recording and how long it is. asked_for: whether folders or lists said the splits.
    """
    notes, trained = [], [length for split, length in seconds if split == "train"]
    for name in ("valid", "test"):
        held = [length for split, length in seconds if split == name]
        few = len(held) < 2 and len(trained) >= 2
        if held and (sum(held) < LITTLE or few) and sum(trained) >= MUCH * max(sum(held), LITTLE):
            what = "one recording" if len(held) == 1 else f"{len(held)} recordings"
            more = f"a larger --{name}-share, or folders named train, valid and test, would hold more out"
            more = f"give more for {name}" if asked_for else more
            notes.append(f"the {name} split is {what} of {sum(held):.1f} s: figures on it say little; {more}")
    return notes


def _home(recording: Recording, given: dict[str, Split], drawn: dict[str, Split | None]) -> Split | None:
    """A copy of a recording that was given for a split goes there too, unless it was itself given for another."""
    place = recording.given or given.get(recording.content, "train")
    return drawn.get(recording.content, "train") if place == "train" else place


def _shares(valid_share: float, test_share: float) -> dict[Split, float]:
    return {"test": test_share, "valid": valid_share}


def _along_time(wanted: dict[Split, float]) -> dict[Split, float]:
    """Train first, then valid, then test, summing to one."""
    later: dict[Split, float] = {split: wanted[split] for split in ("valid", "test") if split in wanted}
    return {"train": 1 - sum(later.values()), **later}


def _draw(pool: list[str], wanted: dict[Split, float], seed: int, lengths: dict[str, int]) -> list[tuple[str, Split]]:
    known = [lengths[content] for content in pool]
    if min(known) > 0 and min(known) < max(known) and min(wanted.values()) * len(pool) < 1:
        return _draw_by_length(pool, wanted, lengths)
    places = [_place(content, seed) for content in pool]
    counts: dict[Split, int] = {}
    low = 0.0
    for split, share in wanted.items():
        counts[split] = max(1, sum(low <= place < low + share for place in places))
        low += share
    while sum(counts.values()) > len(pool) - 1:
        largest = max(counts, key=lambda split: counts[split])
        counts[largest] -= 1
    order: list[Split] = [split for split, count in counts.items() for _ in range(count)]
    order += ["train"] * (len(pool) - len(order))
    return list(zip(pool, order, strict=True))


def _draw_by_length(pool: list[str], wanted: dict[Split, float], lengths: dict[str, int]) -> list[tuple[str, Split]]:
    """Of few recordings each split takes, in the order of the draw, those that bring it nearer to its share of all.

    Where each is too long for that, it takes the first that is about as short as the shortest.
    """
    total, homes, left = sum(lengths[content] for content in pool), dict[str, Split](), len(wanted)
    for split, share in wanted.items():
        left -= 1
        rest = [content for content in pool if content not in homes]
        room, missing = len(rest) - left - 1, share * total
        chosen = []
        for content in rest:
            if len(chosen) < room and lengths[content] < 2 * missing:
                chosen.append(content)
                missing -= lengths[content]
        if not chosen:
            shortest = min(lengths[content] for content in rest)
            chosen = [next(content for content in rest if lengths[content] <= ALIKE * shortest)]
        homes.update(dict.fromkeys(chosen, split))
    return [(content, homes.get(content, "train")) for content in pool]


def _place(content: str, seed: int) -> float:
    """A number in [0, 1) that depends on the recording's bytes and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{content}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
