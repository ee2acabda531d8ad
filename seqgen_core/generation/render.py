"""Clips to files: what can be heard, read or seen of each, and one JSON sheet that says how they came about."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqgen_core.audio.encoders import Tags
from seqgen_core.files import write_text_atomically
from seqgen_core.generation.clips import Clip
from seqgen_core.generation.kept import Tokens, joined
from seqgen_core.generation.rendering import Renderer
from seqgen_core.settings.run import RunSettings

SHEET = "sheet.json"


def write_clip(clip: Clip, renderer: Renderer, folder: Path, tags: Tags | None = None) -> dict[str, Any]:
    """Write clip-NNN files, or those of prime, continuation and both joined; return the clip's entry of the sheet.

    tags: what files with room for it say of themselves.
    """
    stem = _stem(clip)
    entry: dict[str, Any] = {
        "clip": clip.number,
        "tokens": len(clip.tokens),
        "bits_per_token": clip.bits_per_token,
        **renderer.measures(clip.tokens if renderer.separable else whole(clip)),
    }
    if clip.unfinished:
        entry["unfinished"] = True
    if clip.dithered:
        entry["dithered"] = clip.dithered
    if clip.prime.label is not None:
        entry["label"] = clip.prime.label
    if not continues(clip) or not renderer.separable:
        shown = clip.tokens if renderer.separable else whole(clip)
        entry["files"] = _named("clip", renderer.write(shown, folder / stem, tags))
    else:
        parts = {"prime": clip.prime.tokens, "continuation": clip.tokens, "joined": whole(clip)}
        entry["files"] = {}
        for part, tokens in parts.items():
            entry["files"] |= _named(part, renderer.write(tokens, folder / f"{stem}-{part}", tags and tags.of(part)))
    if continues(clip):
        entry["prime"] = {
            "origin": clip.prime.origin,
            "start": clip.prime.start,
            "tokens": len(clip.prime.tokens),
        }
    return entry


def remove_clip(clip: Clip, folder: Path) -> None:
    """Remove what `write_clip` wrote of a clip, as far as that goes."""
    for file in folder.glob(f"{_stem(clip)}[.-]*"):
        with contextlib.suppress(OSError):
            file.unlink()


def _stem(clip: Clip) -> str:
    return f"clip-{clip.number:03d}"


def continues(clip: Clip) -> bool:
    """Whether a clip goes on from something, rather than from the one token that stands for nothing."""
    return len(clip.prime.tokens) > 1 or bool(clip.prime.origin)


def whole(clip: Clip) -> Tokens:
    """Prime and new tokens as one (P + N, *shape)."""
    return joined(clip.prime.tokens, clip.tokens)


def _named(part: str, files: dict[str, str]) -> dict[str, str]:
    if len(files) == 1:
        return dict.fromkeys([part], *files.values())
    return {f"{part} {what}": name for what, name in files.items()}


def sheet_head(run: Path, settings: RunSettings, step: int, seed: int, *, ema: bool) -> dict[str, Any]:
    """What a sheet says of all its clips: the run (its folder or file), its step and weights, model, codec, seed."""
    return {
        "run": str(run),
        "checkpoint": step,
        "ema": ema,
        "model": settings.model.model_dump(mode="json"),
        "codec": settings.data.codec.model_dump(mode="json"),
        "seed": seed,
    }


def write_sheet(folder: Path, head: dict[str, Any], entries: Sequence[dict[str, Any]]) -> Path:
    """Write the sheet beside the clips: how they were drawn, then one entry per clip."""
    path = folder / SHEET
    write_text_atomically(path, json.dumps({**head, "clips": list(entries)}, indent=2, ensure_ascii=False) + "\n")
    return path
