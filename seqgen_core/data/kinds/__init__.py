"""Kinds of data: what tells their files apart, and, besides sound, one module each that gathers their recordings."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from seqgen_core.audio.containers import looks_like_sound
from seqgen_core.data.discover import visible_folders
from seqgen_core.settings.codec import SOUND_NAMES, TEXT_NAMES
from seqgen_core.settings.preprocess import PreprocessSettings

IsWanted = Callable[[Path], bool]
_NOTES = {".mid", ".midi", ".mat"}
_IMAGES = {".png", ".jpg", ".jpeg"}
_TEXT = {".txt", ".text", ".md"}
_IMAGE_ARCHIVE = re.compile(r"idx[13]-ubyte(\.gz)?$|^(data_batch_\d+|test_batch)\.bin$|^cifar-10-binary\.tar\.gz$")


def looks_like_notes(path: Path) -> bool:
    """Whether the name is that of a MIDI file or of piano rolls."""
    return path.suffix.lower() in _NOTES


def looks_like_images(path: Path) -> bool:
    """Whether the name is that of an image or of an archive of images."""
    return path.suffix.lower() in _IMAGES or _IMAGE_ARCHIVE.search(path.name) is not None


def looks_like_text(path: Path) -> bool:
    """Whether the name is that of a text."""
    return path.suffix.lower() in _TEXT


_KINDS: dict[str, tuple[IsWanted, str]] = {
    "sound": (looks_like_sound, "sound"),
    "notes": (looks_like_notes, "MIDI file or piano roll"),
    "images": (looks_like_images, "image"),
    "text": (looks_like_text, "text"),
}
"""In the order in which a kind is guessed: a folder of sound may well hold pictures and a text."""


_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "sound": (
        *("rate", "trim_silence", "longest_silence", "minimum_seconds", "chunk_seconds", "normalise"),
        *("features", "mel_bands", "mel_hop", "mel_window", "cluster"),
    ),
    "notes": ("frames_per_second",),
    "images": ("image_size", "grey"),
    "tasks": ("task_length", "task_count"),
}
"""Settings of preprocess that one kind alone listens to; levels is for sound and images, labels for files."""


def unused_settings(settings: PreprocessSettings, kind: str) -> list[str]:
    """Settings that differ from their defaults and mean nothing for the kind."""
    foreign = [name for other, names in _ONLY_FOR.items() if other != kind for name in names]
    foreign += ["levels"] if kind not in ("sound", "images") else []
    foreign += ["labels"] if kind == "tasks" else []
    return [name for name in foreign if getattr(settings, name) != PreprocessSettings.model_fields[name].default]


def choose_kind(settings: PreprocessSettings, avoid: Path) -> tuple[str, IsWanted, str]:
    """The kind that the codec names, else the first of the kinds that the inputs hold; sound where they hold none.

    Returns its module's name, what tells its files, and its name in words.
    """
    kind = _kind_of_codec(settings.codec)
    if kind is None:
        files = list(_some_files(settings.inputs, avoid.absolute()))
        kind = next((name for name, (wanted, _) in _KINDS.items() if any(_quietly(wanted, f) for f in files)), "sound")
    return (kind, *_KINDS[kind])


def _kind_of_codec(codec: str | None) -> str | None:
    if codec is None:
        return None
    if codec in SOUND_NAMES:
        return "sound"
    if codec in TEXT_NAMES:
        return "text"
    return "notes" if codec == "piano-roll" else "images"


def _some_files(inputs: tuple[Path, ...], avoid: Path) -> Iterator[Path]:
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            for folder, names in visible_folders(path, avoid, set()):
                visible = (folder / name for name in names if not name.startswith("."))
                yield from (file for file in visible if file.is_file())
        elif path.exists():
            yield path


def _quietly(is_wanted: IsWanted, path: Path) -> bool:
    try:
        return is_wanted(path)
    except OSError:
        return False
