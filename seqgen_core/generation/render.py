"""Clips to files: the WAVs of each, and one JSON sheet that says how they came about."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import write_wav
from seqgen_core.files import write_text_atomically
from seqgen_core.generation.clips import Clip
from seqgen_core.runs import RunFolder

SHEET = "sheet.json"


def clip_sound(clip: Clip, codec: AudioCodec) -> np.ndarray:
    """The new part of a clip as float32 (N,) in [-1, 1]."""
    return codec.decode(clip.tokens)


def write_clip(clip: Clip, codec: AudioCodec, folder: Path) -> dict[str, Any]:
    """Write clip-NNN.wav, or prime, continuation and both joined; return its entry of the sheet."""
    stem = f"clip-{clip.number:03d}"
    new = clip_sound(clip, codec)
    entry: dict[str, Any] = {
        "clip": clip.number,
        "tokens": len(clip.tokens),
        "seconds": len(clip.tokens) / codec.rate,
        "bits_per_sample": clip.bits_per_token,
        "peak": float(np.abs(new).max()),
        "rms": float(np.sqrt(np.mean(np.square(new, dtype=np.float64)))),
    }
    if clip.prime is None:
        entry["files"] = {"clip": f"{stem}.wav"}
        write_wav(folder / f"{stem}.wav", new, codec.rate)
        return entry
    heard = codec.decode(clip.prime.tokens)
    parts = {"prime": heard, "continuation": new, "joined": np.concatenate([heard, new])}
    entry["files"] = {part: f"{stem}-{part}.wav" for part in parts}
    for part, waveform in parts.items():
        write_wav(folder / f"{stem}-{part}.wav", waveform, codec.rate)
    entry["prime"] = {
        "origin": clip.prime.origin,
        "start_seconds": clip.prime.start / codec.rate,
        "seconds": len(clip.prime.tokens) / codec.rate,
    }
    return entry


def sheet_head(run: RunFolder, step: int, seed: int, *, ema: bool) -> dict[str, Any]:
    """What a sheet says of all its clips: the run, its step and weights, model, codec, seed."""
    return {
        "run": str(run.path),
        "checkpoint": step,
        "ema": ema,
        "model": run.settings.model.model_dump(mode="json"),
        "codec": run.settings.data.codec.model_dump(mode="json"),
        "seed": seed,
    }


def write_sheet(folder: Path, head: dict[str, Any], entries: Sequence[dict[str, Any]]) -> Path:
    """Write the sheet beside the clips: how they were drawn, then one entry per clip."""
    path = folder / SHEET
    write_text_atomically(path, json.dumps({**head, "clips": list(entries)}, indent=2, ensure_ascii=False) + "\n")
    return path
