"""Text files to recordings: one vocabulary over all of them, each file one stream of characters or words.

A file whose name says a split (train.txt, ptb.valid.txt) belongs there, unless its folder or a list says otherwise.
The vocabulary is taken over all splits, as is usual on the Penn Treebank: what is unknown has no probability to score.
"""

import hashlib
from collections.abc import Sequence

from seqgen_core.data.discover import RawFile
from seqgen_core.data.kinds.base import Gathered, Recording
from seqgen_core.data.splits import FOLDER_SPLITS
from seqgen_core.data.store import Rejected, Split
from seqgen_core.errors import SeqgenError
from seqgen_core.progress import Progress
from seqgen_core.settings.codec import TextCodecSettings, TextName
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.text.codec import TextCodec
from seqgen_core.text.files import UnreadableTextError, read_text
from seqgen_core.text.vocabulary import vocabulary

LARGEST_VOCABULARY = 65536  # tokens are 16 bits


def gather(settings: PreprocessSettings, files: Sequence[RawFile], progress: Progress) -> Gathered:
    """Every file as characters, or as words where `codec` says so.

    Raises SeqgenError where not one file is a text, or all of them together make no vocabulary.
    """
    kind: TextName = "words" if settings.codec == "words" else "characters"
    texts: list[tuple[RawFile, str]] = []
    rejected: list[Rejected] = []
    progress.begin("reading", len(files), "files")
    try:
        for done, file in enumerate(files, start=1):
            try:
                texts.append((file, read_text(file.path)))
            except UnreadableTextError as problem:
                rejected.append(Rejected(origin=file.origin, reason=problem.reason))
            progress.update(done)
    finally:
        progress.end()
    codec = TextCodec(TextCodecSettings(kind=kind, vocabulary=_vocabulary(kind, [text for _, text in texts], rejected)))
    gathered = Gathered(codec.settings, rejected=rejected)
    for file, text in texts:
        tokens = codec.encode(text, file.origin)
        if len(tokens) < 2:
            reason = f"too short: {len(tokens)} {codec.settings.unit}{'' if len(tokens) == 1 else 's'}; 2 are needed"
            rejected.append(Rejected(origin=file.origin, reason=reason))
            continue
        content = hashlib.sha256(text.encode()).hexdigest()
        split = file.given or split_of_name(file.path.stem)
        gathered.recordings.append(Recording(tokens, file.origin, content, split, file.label))
    return gathered


def split_of_name(stem: str) -> Split | None:
    """The split that a file's name without its suffix says: train, or ptb.train; None where it says none."""
    return FOLDER_SPLITS.get(stem.rpartition(".")[2].lower())


def _vocabulary(kind: TextName, texts: Sequence[str], rejected: Sequence[Rejected]) -> tuple[str, ...]:
    if not texts:
        shown = "; ".join(f"{r.origin}: {r.reason}" for r in rejected[:5])
        more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
        raise SeqgenError(
            f"None of {len(rejected)} files could be used: {shown}{more}.", "At least one file of UTF-8 text."
        )
    symbols = vocabulary(kind, texts)
    if len(symbols) < 2:
        held = f"the one {kind.removesuffix('s')} {symbols[0]!r} alone" if symbols else f"no {kind} at all"
        raise SeqgenError(f"The text holds {held}; nothing can be predicted.", f"Two {kind} or more.")
    if len(symbols) > LARGEST_VOCABULARY:
        raise SeqgenError(
            f"The text has {len(symbols):,} different {kind}.",
            f"At most {LARGEST_VOCABULARY:,}.",
            "Put <unk> in place of the rare ones, or take characters: `--codec characters`."
            if kind == "words"
            else "Leave out files that are not text.",
        )
    return symbols
