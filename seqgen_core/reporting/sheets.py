"""The clips that a run has already: which of its sheets to show, and what their files hold."""

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqgen_core.errors import SeqgenError
from seqgen_core.reporting.pieces import image_of_file, roll_of_files, sound_of_file, text_of_files
from seqgen_core.reporting.specimens import Image, Roll, Sound, Text
from seqgen_core.settings.codec import AudioCodecSettings, CodecSettings, NotesCodecSettings, TextCodecSettings

SHEET = "sheet.json"
PLAIN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "rank": 0, "dither": False, "weights": "fp32"}
"""Settings of sampling, as they are where nothing else is said."""


@dataclass(frozen=True)
class SheetClip:
    """One clip of a sheet whose files are there. prime: what it continues, empty where it began with nothing.
    note: what else is to be known of it."""

    folder: Path
    files: dict[str, str]
    bits: float | None
    tokens: int
    label: int | None
    prime: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def given(self) -> int:
        """Tokens of the prime."""
        return int(self.prime.get("tokens", 0))

    @property
    def name(self) -> str:
        """The file to open for it: the one with the prime in it, where there is one, and that can be heard."""
        parts = ("joined", "clip", "joined wav", "clip wav", "continuation")
        return next((self.files[part] for part in parts if part in self.files), next(iter(self.files.values())))

    def content(self, codec: CodecSettings) -> Sound | Roll | Text | Image:
        """What its files hold. Raises SeqgenError or OSError where they cannot be read."""
        if isinstance(codec, AudioCodecSettings):
            return sound_of_file(self._file("joined", "clip"), codec, self.given / codec.rate)
        if isinstance(codec, TextCodecSettings):
            given = [self._file("prime")] if self.prime else []
            return text_of_files(given, self._file("continuation", "clip"), codec)
        if isinstance(codec, NotesCodecSettings):
            midi, wav = self._file("joined midi", "clip midi"), self._file("joined wav", "clip wav")
            return roll_of_files(midi, wav, codec, self.given, self.tokens + self.given)
        rows = max(0, self.given - 1) // (codec.width * codec.channels)
        return image_of_file(self._file("clip", "joined"), rows)

    def _file(self, *parts: str) -> Path:
        for part in parts:
            if part in self.files:
                return self.folder / self.files[part]
        for part in parts:  # a format of another name than the codec's first
            for name, file in self.files.items():
                if name.split()[0] == part.split()[0]:
                    return self.folder / file
        raise SeqgenError(f"{self.folder / SHEET} names no file of a clip.", f"One of: {', '.join(parts)}.")


@dataclass(frozen=True)
class Sheet:
    """One sheet: how its clips were drawn, and those whose files are there."""

    folder: Path
    head: dict[str, Any]
    clips: tuple[SheetClip, ...]
    time: float

    @property
    def asked_for(self) -> bool:
        """Whether `generate` drew them, not training on its way."""
        return "settings" in self.head

    @property
    def step(self) -> int | None:
        """The checkpoint's step."""
        step = self.head.get("checkpoint")
        return step if isinstance(step, int) else None

    @property
    def settings(self) -> dict[str, Any]:
        """How `generate` was asked for them; empty where training drew them."""
        settings = self.head.get("settings")
        return settings if isinstance(settings, dict) else {}

    @property
    def split(self) -> str:
        """The split whose recordings are continued."""
        return str(self.settings.get("split", "test"))

    def how(self) -> str:
        """The sampling settings that are not plain, in words."""
        shown = []
        for name, plain in PLAIN.items():
            value, said = self.settings.get(name, plain), name.replace("_", "-")
            if value != plain and value is not None:
                shown.append(said if value is True else f"{said} {value}")
        if self.settings.get("ema") is False:
            shown.append("no-ema")
        return ", ".join(shown)


def find_sheets(samples: Path) -> list[Sheet]:
    """The sheets in a run's folder of samples: those that were asked for first, the newest of them first.

    A sheet that is damaged, or whose files are gone, counts as none.
    """
    found = []
    for file in samples.glob(f"*/{SHEET}"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            found.append(_read(file))
    found = [sheet for sheet in found if sheet.clips]
    return sorted(found, key=lambda sheet: (sheet.asked_for, sheet.time, sheet.folder.name), reverse=True)


def continuing(sheets: Sequence[Sheet]) -> Sheet | None:
    """The first sheet whose clips continue what is real."""
    return next((sheet for sheet in sheets if sheet.clips[0].prime), None)


def from_nothing(sheets: Sequence[Sheet], classes: int) -> tuple[Sheet, list[SheetClip]] | None:
    """The first sheet whose clips begin with nothing, and its clips; of a model with classes, also those of other
    classes in later sheets of the same checkpoint, in the order of the classes."""
    others = [sheet for sheet in sheets if not sheet.clips[0].prime]
    if not others:
        return None
    first, clips = others[0], list(others[0].clips)
    if classes:
        for sheet in others[1:]:
            seen = {clip.label for clip in clips}
            if sheet.step == first.step:
                clips += [clip for clip in sheet.clips if clip.label not in seen]
        clips.sort(key=lambda clip: -1 if clip.label is None else clip.label)
    return first, clips


def _read(file: Path) -> Sheet:
    head = json.loads(file.read_text(encoding="utf-8"))
    clips = []
    for entry in head.pop("clips"):
        files = {str(part): str(name) for part, name in (entry.get("files") or {}).items()}
        if not files or not all((file.parent / name).is_file() for name in files.values()):
            continue
        bits, label, prime = entry.get("bits_per_token"), entry.get("label"), dict(entry.get("prime") or {})
        if prime:
            told = {"start": _whole(prime.get("start", 0)), "tokens": _whole(prime.get("tokens", 0))}
            prime |= {"origin": str(prime.get("origin", "")), **told}
        clips.append(
            SheetClip(
                file.parent,
                files,
                float(bits) if isinstance(bits, int | float) and math.isfinite(bits) else None,
                _whole(entry["tokens"]),
                _whole(label) if label is not None else None,
                prime,
                "unfinished" if entry.get("unfinished") else "",
            )
        )
    return Sheet(file.parent, head, tuple(clips), file.stat().st_mtime)


def _whole(value: Any) -> int:
    """A count as a sheet tells it. Raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise ValueError(f"{value!r} is no count")
