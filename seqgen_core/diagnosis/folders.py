"""Folders of clips as `seqgen generate` writes them, folders of any sound files, single files: all checks of them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis import clips, measures
from seqgen_core.diagnosis.continuations import check_seams
from seqgen_core.diagnosis.finding import Finding
from seqgen_core.diagnosis.pieces import code_step, read_beginning
from seqgen_core.diagnosis.remedies import against_noise
from seqgen_core.diagnosis.rolls_and_images import check_entries
from seqgen_core.diagnosis.temperature import check_temperature
from seqgen_core.diagnosis.texts import check_text_clip
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings, CodecSettings

SHEET = "sheet.json"
MOST_CLIPS = 64
"""Of a folder that are looked at."""
SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aiff", ".aif", ".webm", ".aac", ".au")


def run_of_clips(folder: Path) -> Path | None:
    """The run that a folder of clips was drawn from: the one that it lies in, else the one that its sheet names."""
    inside = folder.resolve().parent.parent
    if (inside / "settings.toml").is_file():
        return inside
    named = str(_sheet(folder).get("run", ""))
    return Path(named) if named and (Path(named) / "settings.toml").is_file() else None


def newest_samples(run: RunFolder) -> Path | None:
    """The folder of clips of a run that was written last; None where there is none."""
    sheets = list(run.path.glob(f"samples/*/{SHEET}"))
    return max(sheets, key=lambda sheet: (sheet.stat().st_mtime, str(sheet))).parent if sheets else None


def check_folder(folder: Path, run: RunFolder | None, data: PreparedData | None) -> Iterator[Finding]:
    sheet = _sheet(folder)
    codec = run.settings.data.codec if run is not None else _codec(sheet)
    files = _clip_files(folder, sheet)
    if not files:
        raise UsageError(f"{folder} holds no clips.", "A folder that `seqgen generate` wrote, or one of sound files.")
    if len(files) > MOST_CLIPS:
        files = [files[place] for place in np.linspace(0, len(files) - 1, MOST_CLIPS).astype(int)]
    found: list[Finding] = []
    real: dict[float, measures.Real] = {}
    for file in files:
        if file.suffix.lower() == ".txt":
            found += check_text_clip(file.read_text(encoding="utf-8", errors="replace"), file)
        elif file.suffix.lower() in SOUND_SUFFIXES and (codec is None or isinstance(codec, AudioCodecSettings)):
            found += _sound_file(file, codec, data, real)
    for one in clips.gathered(found, folder, len(files)):
        lost = one.check == clips.NO_PITCH.name and one.alarming and run is not None
        yield one.advising(against_noise(run, data, sheet.get("settings") or {})) if lost else one
    if codec is None or isinstance(codec, AudioCodecSettings):
        beside = data if data is not None and isinstance(data.manifest.codec, AudioCodecSettings) else None
        yield from check_seams(folder, sheet.get("clips", []), codec, beside)
    yield from check_entries(sheet.get("clips", []), data, folder)
    if run is not None:
        yield from _temperature(folder, sheet, run)


def _sound_file(
    file: Path, codec: AudioCodecSettings | None, data: PreparedData | None, real: dict[float, measures.Real]
) -> Iterator[Finding]:
    try:
        clip = read_beginning(file, None, 10 * measures.MOST_SECONDS)
    except SeqgenError as error:
        yield clips.UNREADABLE.found("warning", error.got.rstrip("."), file)
        return
    rate, seconds = clip.native_rate, len(clip.waveform) / clip.native_rate
    beside, step = None, 2**-15
    if codec is not None and codec.rate == rate:
        step = max(step, code_step(codec, clip.waveform))
        if data is not None and isinstance(data.manifest.codec, AudioCodecSettings):
            kept = round(seconds, 2)
            if kept not in real:
                real[kept] = measures.real_measures(data, seconds)
            beside = real[kept]
    yield from clips.check_clip(clip.waveform, rate, file, beside, step)


def check_file(file: Path) -> Iterator[Finding]:
    if not file.is_file():
        raise UsageError(
            f"There is no file or folder {file}.", hint="Name prepared data, a run, clips or a sound file."
        )
    if file.suffix.lower() == ".txt":
        yield from check_text_clip(file.read_text(encoding="utf-8", errors="replace"), file)
        return
    clip = read_beginning(file, None, 10 * measures.MOST_SECONDS)
    yield from clips.check_clip(clip.waveform, clip.native_rate, file)


def _temperature(folder: Path, sheet: dict[str, Any], run: RunFolder) -> Iterator[Finding]:
    held_out = [line["bits"] for line in run.metrics() if line["kind"] == "valid" and "bits" in line]
    bits = [entry["bits_per_token"] for entry in sheet.get("clips", []) if "bits_per_token" in entry]
    settings = sheet.get("settings") or {}
    if held_out and bits:
        yield from check_temperature(bits, min(held_out), float(settings.get("temperature", 1.0)), folder)


def _sheet(folder: Path) -> dict[str, Any]:
    try:
        sheet = json.loads((folder / SHEET).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return sheet if isinstance(sheet, dict) else {}


def _codec(sheet: dict[str, Any]) -> CodecSettings | None:
    try:
        return TypeAdapter(CodecSettings).validate_python(sheet["codec"])
    except (KeyError, ValidationError):
        return None


def _clip_files(folder: Path, sheet: dict[str, Any]) -> list[Path]:
    """What was drawn: clips and continuations, not primes; without a sheet, all sounds and texts of the folder."""
    named: list[Path] = []
    for entry in sheet.get("clips", []):
        files = {str(part).split()[0]: folder / str(name) for part, name in entry.get("files", {}).items()}
        named += [files[part] for part in ("continuation", "clip", "text") if part in files][:1]
    there: Sequence[Path] = [file for file in named if file.is_file()]
    if there or sheet:
        return list(there)
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (*SOUND_SUFFIXES, ".txt"))
