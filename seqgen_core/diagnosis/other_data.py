"""Checks of prepared text, notes and images."""

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np

from seqgen_core.data.store import PreparedData, Split
from seqgen_core.diagnosis.finding import Finding, check, graded
from seqgen_core.diagnosis.pieces import pieces
from seqgen_core.settings.codec import NotesCodecSettings, PixelsCodecSettings, TextCodecSettings

MOST_TOKENS = 2_000_000
"""Tokens of a split that are looked at."""
MOST_IMAGES = 5000
UNSEEN_WARNING, UNSEEN_SEVERE = 0.001, 0.05
UNKNOWN_WARNING, UNKNOWN_SEVERE = 0.1, 0.5
EMPTY_WARNING, EMPTY_SEVERE = 0.5, 0.9
STUCK = 0.9
BLANK_WARNING, BLANK_SEVERE = 0.01, 0.5
_UNKNOWN_WORDS = ("<unk>", "<UNK>", "[UNK]")
_MISREAD = ("Ã", "â€", "Â")
"""What UTF-8 looks like when it was read as Latin-1 and written again."""

UNSEEN = check(
    "unseen-symbols",
    "data",
    looks_at="characters or words that are held out and never occur in the training split; no model can know them",
    thresholds=f"{UNSEEN_WARNING:.1%} of the held-out tokens a warning, {UNSEEN_SEVERE:.0%} severe",
    advice="Give training more of the same sort of text, or take the odd file out.",
)
UNKNOWN = check(
    "unknown-symbols",
    "data",
    looks_at="text that was lost on its way: unknown words (<unk>), replacement characters (U+FFFD), and UTF-8 that "
    "was once read as Latin-1 (Ã©, â€™)",
    thresholds=f"{UNKNOWN_WARNING:.0%} of the words a warning, {UNKNOWN_SEVERE:.0%} severe; a replacement character or "
    "misread UTF-8 in one of 10,000 characters a warning",
    advice="Convert the files to UTF-8 from what they are in, or take text that was not cut to a vocabulary.",
)
ROLLS = check(
    "empty-rolls",
    "data",
    looks_at="the share of frames without a note, and recordings without any",
    thresholds=f"{EMPTY_WARNING:.0%} of the frames a warning, {EMPTY_SEVERE:.0%} severe; an empty recording a warning",
    advice="Look at the files: the rate (frames_per_second), drum tracks, or notes beyond the keys that are kept?",
)
STUCK_KEYS = check(
    "stuck-keys",
    "data",
    looks_at="keys that sound nearly all the time, as where a MIDI file never ends a note",
    thresholds=f"a key that sounds in {STUCK:.0%} of the training frames a warning",
    advice="Find the file whose note is not ended, and leave it out.",
)
BLANK = check(
    "blank-images",
    "data",
    looks_at="images whose pixels are all the same",
    thresholds=f"{BLANK_WARNING:.0%} of {MOST_IMAGES:,} images, evenly chosen, a warning; {BLANK_SEVERE:.0%} severe",
    advice="Take them out: a model that is shown blanks draws blanks.",
)
INTENSITIES = check(
    "intensities",
    "data",
    looks_at="how many of the intensities ever occur",
    thresholds="a single one severe; an eighth of them or fewer a warning",
    advice="Prepare with fewer levels (levels=4), or find out why the images are so dull.",
)


def check_text(data: PreparedData) -> Iterator[Finding]:
    """Checks of characters and words."""
    codec = data.manifest.codec
    assert isinstance(codec, TextCodecSettings)
    counts = {split: _histogram(data, split) for split in ("train", "valid", "test")}
    held_out = counts["valid"] + counts["test"]
    unseen = (counts["train"] == 0) & (held_out > 0)
    whole = sum(item.length for item in data.items("train")) <= MOST_TOKENS
    share = float(held_out[unseen].sum() / max(1, held_out.sum()))
    if whole:
        shown = ", ".join(repr(codec.vocabulary[place]) for place in islice(np.flatnonzero(unseen), 3))
        named = f", such as {shown}" if shown else ""
        yield UNSEEN.found(
            graded(share, UNSEEN_WARNING, UNSEEN_SEVERE),
            f"{share:.2%} of the held-out {codec.unit}s never occur in training{named}",
            data.path,
            share=share,
        )
    total = sum(counts.values())
    assert not isinstance(total, int)
    yield _unknown(data, codec, total)


def _unknown(data: PreparedData, codec: TextCodecSettings, counts: np.ndarray) -> Finding:
    every = max(1, int(counts.sum()))
    if codec.kind == "words":
        lost = sum(int(counts[n]) for n, word in enumerate(codec.vocabulary) if word in _UNKNOWN_WORDS)
        share = lost / every
        sentence = f"{share:.1%} of the words are unknown ones"
        return UNKNOWN.found(graded(share, UNKNOWN_WARNING, UNKNOWN_SEVERE), sentence, data.path, share=share)
    bad = [n for n, character in enumerate(codec.vocabulary) if character == "\ufffd"]
    share = sum(int(counts[n]) for n in bad) / every
    misread = _misread_share(data, codec)
    severity = "warning" if share >= 1e-4 or misread >= 1e-4 else "info" if share or misread else "healthy"
    what = f"{share:.2%} replacement characters, {misread:.2%} of misread UTF-8"
    return UNKNOWN.found(severity, what if share or misread else "all characters are whole", data.path, share=share)


def _misread_share(data: PreparedData, codec: TextCodecSettings) -> float:
    if not any(mark[0] in codec.vocabulary for mark in _MISREAD):
        return 0.0
    table, found, length = np.array(codec.vocabulary), 0, 0
    for piece in pieces(data, "train", most=MOST_TOKENS, longest=MOST_TOKENS):
        text = "".join(table[piece.tokens])
        # A capital Ã or Â stands before small letters in real words; in misread text it stands before a symbol.
        found += sum(1 for a, b in pairwise(text) if a in "ÃÂ" and 0x80 <= ord(b) <= 0xBF)
        found += text.count("â€")
        length += len(text)
    return found / max(1, length)


def _histogram(data: PreparedData, split: Split) -> np.ndarray:
    values = data.manifest.tokens.values
    counts = np.zeros(values, np.int64)
    for piece in pieces(data, split, most=MOST_TOKENS, longest=MOST_TOKENS // 8):
        counts += np.bincount(piece.tokens, minlength=values)
    return counts


def check_notes(data: PreparedData) -> Iterator[Finding]:
    """Checks of piano rolls."""
    codec = data.manifest.codec
    assert isinstance(codec, NotesCodecSettings)
    rolls = [piece.tokens for piece in pieces(data, "train", most=MOST_TOKENS // 8, longest=MOST_TOKENS // 8)]
    frames = max(1, sum(len(roll) for roll in rolls))
    empty = sum(int((roll.sum(axis=1) == 0).sum()) for roll in rolls) / frames
    blank = sum(1 for roll in rolls if not roll.any())
    severity = graded(empty, EMPTY_WARNING, EMPTY_SEVERE)
    severity = "warning" if severity == "healthy" and blank else severity
    sentence = f"{empty:.0%} of the training frames are without a note, and {blank} of {len(rolls)} recordings"
    yield ROLLS.found(severity, sentence, data.path, share=empty, recordings=blank)
    sounding = sum((roll.sum(axis=0, dtype=np.int64) for roll in rolls), np.zeros(codec.keys, np.int64)) / frames
    stuck = np.flatnonzero(sounding >= STUCK)
    busiest = int(sounding.argmax())
    yield STUCK_KEYS.found(
        "warning" if len(stuck) else "healthy",
        f"MIDI key {codec.lowest + busiest} sounds in {sounding[busiest]:.0%} of the training frames",
        data.path,
        share=float(sounding[busiest]),
        keys=len(stuck),
    )


def check_images(data: PreparedData) -> Iterator[Finding]:
    """Checks of images; tasks, whose sequences have no pixels, have none of these."""
    codec = data.manifest.codec
    assert isinstance(codec, PixelsCodecSettings)
    items = data.items("train")
    chosen = np.unique(np.linspace(0, len(items) - 1, min(len(items), MOST_IMAGES)).astype(int)) if items else []
    blank, seen = 0, np.zeros(codec.levels, bool)
    for place in chosen:
        pixels = np.asarray(data.tokens(items[place]))[items[place].given :]
        blank += bool(len(pixels) and pixels.min() == pixels.max())
        seen[np.unique(pixels)] = True
    share = blank / max(1, len(chosen))
    sentence = f"{blank:,} of {len(chosen):,} training images are blank"
    yield BLANK.found(graded(share, BLANK_WARNING, BLANK_SEVERE), sentence, data.path, share=share)
    used = int(seen.sum())
    severity = "severe" if used <= 1 else "warning" if used <= codec.levels / 8 else "healthy"
    yield INTENSITIES.found(severity, f"{used} of {codec.levels} intensities occur", data.path, used=used)
