"""Clips into a folder: files to hear, read or see as each clip is drawn, and the sheet that says how they came."""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqgen_core.audio.encoders import Encoding, Tags
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.generation import render
from seqgen_core.generation.clips import Clip
from seqgen_core.generation.kept import Tokens
from seqgen_core.generation.ranking import HIGHEST, LOWEST, Candidate
from seqgen_core.generation.rendering import renderer_for
from seqgen_core.settings.generate import GenerateSettings

if TYPE_CHECKING:
    from seqgen_core.library.run import Run


@dataclass(frozen=True)
class Written:
    """What was written: the sheet, what it says of all clips (head) and of each (entries).

    shown: tokens, prime included, of clips that are not sound, to be shown at once.
    """

    sheet: Path
    head: dict[str, Any]
    entries: list[dict[str, Any]]
    shown: list[Tokens]

    @property
    def folder(self) -> Path:
        """Where the clips are."""
        return self.sheet.parent


class ClipWriter:
    """Writes clips of one drawing into a folder, and after each a sheet of those that are there."""

    def __init__(self, run: "Run", settings: GenerateSettings, step: int, engine: str, folder: Path) -> None:
        self._folder, self._codec = folder, run.settings.data.codec
        self._renderer = renderer_for(self._codec, Encoding(settings.format, settings.bitrate))
        self._name, self._step, self._seed = run.name, step, settings.seed
        self._head = render.sheet_head(
            run.path, run.settings, step, settings.seed, ema=run.averaged(step, ema=settings.ema)
        )
        self._head |= {"settings": settings.model_dump(mode="json"), "engine": engine}
        self._entries: list[dict[str, Any]] = []
        self._shown: list[Tokens] = []
        self._tokens, self._seconds = 0, 0.0

    def add(self, clip: Clip) -> None:
        """Write one clip, and the sheet anew, or neither. Raises OSError."""
        try:
            entry = render.write_clip(clip, self._renderer, self._folder, self._tags(clip))
            render.write_sheet(self._folder, self._head, [*self._entries, entry])
        except BaseException:
            render.remove_clip(clip, self._folder)
            raise
        self._entries.append(entry)
        self._tokens += len(clip.tokens)
        self._seconds += clip.seconds
        if self._codec.unit != "sample":  # sound is not shown all at once
            self._shown.append(render.whole(clip))

    def _tags(self, clip: Clip) -> Tags:
        comment = f"drawn by a model: run {self._name}, step {self._step}, seed {self._seed}, clip {clip.number}"
        return Tags(f"{self._name}, clip {clip.number}", f"seqgen {importlib.metadata.version('seqgen')}", comment)

    @property
    def written(self) -> int:
        """Clips that are there."""
        return len(self._entries)

    def account(self) -> str:
        """How many clips are there, and of these how many a stop left unfinished."""
        unfinished = sum("unfinished" in entry for entry in self._entries)
        clips = f"{self.written} clip{'s' * (self.written != 1)}"
        return f"{clips}, {unfinished} of them unfinished" if unfinished else clips

    def finish(self, candidates: Sequence[Candidate] = (), *, stopped: bool = False) -> Written:
        """Write what shows all clips at once, and the sheet with the speed of drawing. Raises OSError.

        candidates: from which the clips were chosen, which the sheet lists. stopped: drawing was, before its end.
        """
        head = self._head
        if stopped:
            head["stopped"] = True
        if candidates:
            head["ranking"] = {"dropped_lowest": LOWEST, "dropped_highest": HIGHEST, "source": "arXiv:2202.09729"}
            head["candidates"] = [dataclasses.asdict(candidate) for candidate in candidates]
        head["tokens_per_second"] = self._tokens / max(self._seconds, 1e-9)
        if self._codec.tokens_per_second:
            head["real_time_factor"] = head["tokens_per_second"] / self._codec.tokens_per_second
        head["files"] = self._renderer.finish(self._folder, self._shown)
        sheet = render.write_sheet(self._folder, head, self._entries)
        return Written(sheet, head, self._entries, self._shown)


@contextlib.contextmanager
def sheet_folder(named: Path | None, run: Path) -> Generator[Path]:
    """The folder for clips of a run, made before any work and gone after it where nothing was written.

    Without a name samples/<time> in a run folder, or NAME-samples/<time> beside an exported file.
    Raises UsageError and SeqgenError as `check_folder` does, OSError.
    """
    folder = named or _own(run)
    check_folder(folder, run)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # holds clips
            folder.rmdir()


def check_folder(named: Path | None, run: Path) -> None:
    """Raise UsageError where the folder for clips is a file or holds clips, SeqgenError where none may be written."""
    folder = named or _own(run)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UsageError(f"{there} is a file; clips go into a folder.", hint="Name another by --out.")
    if (folder / render.SHEET).exists():
        raise UsageError(f"{folder} holds clips already.", hint="Name another folder by --out, or move them away.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SeqgenError(
            f"{there}: nothing may be written here.", hint="Name another folder by --out, or change its permissions."
        )


def _own(run: Path) -> Path:
    return _free(run / "samples" if run.is_dir() else run.with_name(f"{run.stem}-samples"))


def _free(samples: Path) -> Path:
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
    folder, number = samples / stem, 2
    while folder.exists():
        folder, number = samples / f"{stem}-{number}", number + 1
    return folder
