"""Clips to be measured: newly drawn ones, or those that `seqgen generate` wrote.

Axes: N new tokens.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen_core.codecs import read_stream
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.generation import starts
from seqgen_core.generation.clips import Clip
from seqgen_core.generation.render import SHEET
from seqgen_core.progress import Progress, Silent
from seqgen_core.settings.codec import CodecSettings
from seqgen_core.settings.evaluate import EvaluateSettings
from seqgen_core.settings.generate import GenerateSettings
from seqgen_core.streams import Stream

if TYPE_CHECKING:
    from seqgen_core.library.run import Run

_PARTS = ("continuation", "clip")
_SUFFIXES = {"sample": (".wav", ".flac", ".ogg", ".opus", ".mp3"), "frame": (".mid",), "dimension": (".png",)}
"""Of the files that hold what was drawn, those that lose least first, by what a token is called; texts are .txt."""


@dataclass(frozen=True)
class Sample:
    """New tokens (N, *shape) of a clip; the recording that it continues (none: "") and its first place there."""

    tokens: np.ndarray
    origin: str = ""
    start: int = 0
    label: int | None = None

    @classmethod
    def of(cls, clip: Clip) -> "Sample":
        """What a drawn clip says of itself."""
        prime = clip.prime
        return cls(np.asarray(clip.tokens), prime.origin, prime.start + len(prime.tokens), prime.label)


def continuations(
    run: "Run", settings: EvaluateSettings, streams: Sequence[Stream], progress: Progress, length: int | None
) -> list[Sample]:
    """Continuations of excerpts of these recordings, picked so that each is followed by as much real sound, or text.

    A model with features continues beginnings, to their ends where length is None.
    """
    model, _ = run.model(settings.checkpoint, ema=settings.ema, device=settings.device, progress=progress)
    if model.local_features:
        told = {"conditional": True, "split": settings.split, "length": length}
        drawing = run.draw(_drawn_by(settings), **told, progress=progress)
        return [Sample.of(clip) for clip in drawing]
    assert length is not None
    codec = run.settings.data.codec
    usual = int(np.median([len(stream.tokens) for stream in streams]))
    longer = [dataclasses.replace(s, features=None) for s in streams if len(s.tokens) > length]
    heard = min(starts.prime_length(model, codec, None), max(1, usual - length))
    before = [stream.cut(len(stream.tokens) - length) for stream in longer]
    primes = starts.draw_primes(before, heard, settings.clips, settings.seed)
    drawing = run.draw(_drawn_by(settings), conditional=True, split=settings.split, length=length, progress=progress)
    return [Sample.of(clip) for clip in dataclasses.replace(drawing, primes=tuple(primes), length=length)]


def from_nothing(
    run: "Run", settings: EvaluateSettings, progress: Progress, length: int, *, named: bool
) -> list[Sample]:
    """Clips from nothing, of a model with labels as many of each.

    named: whether progress shall hear of the engine, which it may have heard of before.
    """
    codec = run.settings.data.codec
    classes = getattr(run.settings.model, "classes", 0)
    own = {"label": (run.settings.data.label_names or "0")[0]} if classes else {}  # to begin with
    drawing = run.draw(_drawn_by(settings), length=length, **own, progress=progress if named else Silent())
    if classes:
        each = -(-settings.clips // classes)
        primes = [prime for label in range(classes) for prime in starts.from_nothing(codec, each, label)]
        drawing = dataclasses.replace(drawing, primes=tuple(primes))
    return [Sample.of(clip) for clip in dataclasses.replace(drawing, progress=progress)]


def written(folder: Path, codec: CodecSettings) -> list[Sample]:
    """The clips of a folder with a sheet, of which files were kept.

    Raises UsageError where there is no sheet or its codec is another, SeqgenError where it is damaged.
    """
    path = folder / SHEET
    if not path.is_file():
        raise UsageError(f"There is no {SHEET} in {folder}.", hint="Name a folder that `seqgen generate` wrote.")
    try:
        sheet = json.loads(path.read_text(encoding="utf-8"))
        made, entries = sheet["codec"], sheet["clips"]
        files = [(entry, _file(entry, codec)) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SeqgenError(f"{path} cannot be read as a sheet of clips: {problem}.", hint="Draw them again.") from None
    if made != codec.model_dump(mode="json"):
        raise UsageError(
            f"The clips in {folder} are not of the run's codec, {codec}.", hint="Name the run that drew them."
        )
    found = [_read(folder / name, entry, codec) for entry, name in files if name is not None]
    if not found:
        raise UsageError(f"{path} names no files of clips.", hint="Name a folder that `seqgen generate` wrote.")
    return found


def _file(entry: dict[str, Any], codec: CodecSettings) -> str | None:
    """The name of the file that holds what was drawn, None where none was kept."""
    names = [name for part, name in entry.get("files", {}).items() if part.split()[0] in _PARTS]
    ordered = (name for suffix in _SUFFIXES.get(codec.unit, (".txt",)) for name in names if name.endswith(suffix))
    return next(ordered, None)


def _read(path: Path, entry: dict[str, Any], codec: CodecSettings) -> Sample:
    prime = entry.get("prime", {})
    place = prime.get("start", 0) + prime.get("tokens", 0)
    tokens = read_stream(path, codec).tokens
    drawn = tokens[1:] if codec.kind == "pixels" else tokens  # the first says nothing
    return Sample(drawn, prime.get("origin", ""), place, entry.get("label"))


def sheet_settings(folder: Path) -> dict[str, Any]:
    """How `generate` was asked for the clips of a folder, by name; empty where its sheet does not tell."""
    found = json.loads((folder / SHEET).read_text(encoding="utf-8")).get("settings")
    return found if isinstance(found, dict) else {}


def clip_length(codec: CodecSettings, settings: EvaluateSettings) -> int:
    """Tokens of a clip as asked, or as `generate` draws it unasked."""
    return starts.clip_length(codec, starts.from_nothing(codec, 1), length=settings.length, seconds=settings.seconds)


def _drawn_by(settings: EvaluateSettings) -> GenerateSettings:
    return GenerateSettings(
        count=settings.clips,
        seconds=settings.seconds,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        seed=settings.seed,
        checkpoint=settings.checkpoint,
        ema=settings.ema,
        device=settings.device,
    )
