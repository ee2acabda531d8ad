"""Everything at once: of prepared data, of a run with its data and newest samples, of a folder of clips, of a file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from seqgen_core.data.store import MANIFEST, PreparedData
from seqgen_core.diagnosis import any_data, clips, copies, curves, hearing, network, other_data, primes, sound_data
from seqgen_core.diagnosis.finding import Finding, check, sorted_findings
from seqgen_core.diagnosis.pieces import code_step, read_beginning
from seqgen_core.diagnosis.temperature import check_temperature
from seqgen_core.diagnosis.texts import check_text_clip
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings, CodecSettings, TextCodecSettings

SHEET = "sheet.json"
MOST_CLIPS = 64
"""Of a folder that are looked at."""
SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aiff", ".aif", ".webm", ".aac", ".au")

DATA_NOW = check(
    "data-now",
    "run",
    looks_at="whether the data that the run was trained on are still there, with the same codec, rate and recordings",
    thresholds="another codec or rate severe; other recordings a warning; none a remark",
    advice="Prepare the data again as they were, or train a new run on what is there.",
)
UNPLAYABLE = check(
    "clip-unreadable",
    "samples",
    looks_at="whether the clips can be read at all",
    thresholds="a clip that cannot a warning",
    advice="Draw the clips again.",
)


def diagnose_data(data: PreparedData, progress: Progress | None = None) -> list[Finding]:
    """All checks of prepared data, the worst finding first."""
    return sorted_findings(_counted(_data_checks(data), f"looking at {data.path}", progress))


def diagnose_run(
    run: RunFolder,
    data: PreparedData | None,
    progress: Progress | None = None,
    *,
    prime: Path | None = None,
    samples: Path | None = None,
    which: str = "best",
    ema: bool = True,
) -> list[Finding]:
    """All checks of a run, its data and its newest samples, the worst finding first.

    data: what it was trained on, None where that is gone. prime: a file that it is to continue. samples: a folder of
    clips in place of the newest. Raises UsageError where that folder holds none.
    """

    def every() -> Iterator[Finding]:
        if data is not None and data.manifest.codec == run.settings.data.codec:
            yield from _data_checks(data)
        yield from _run_checks(run, data, progress, which, ema)
        usable = data if data is not None and data.manifest.codec == run.settings.data.codec else None
        if prime is not None:
            yield from primes.check_prime(prime, run, usable)
        folder = samples or newest_samples(run)
        if folder is not None:
            yield from _folder_checks(folder, run, usable)

    return sorted_findings(_counted(every(), f"looking at {run.path}", progress))


def diagnose_clips(
    place: Path, run: RunFolder | None, data: PreparedData | None, progress: Progress | None = None
) -> list[Finding]:
    """All checks of a folder of clips or of one sound file, beside the data that their run was trained on, if known.

    Raises UsageError where there is nothing to look at.
    """
    found = _folder_checks(place, run, data) if place.is_dir() else _file_checks(place)
    return sorted_findings(_counted(found, f"looking at {place}", progress))


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


def _counted(checks: Iterator[Finding], task: str, progress: Progress | None) -> Iterator[Finding]:
    progress = progress or Silent()
    progress.begin(task, None, "checks")
    try:
        for number, finding in enumerate(checks, start=1):
            progress.update(number, last=finding.check)
            yield finding
    finally:
        progress.end()


def _data_checks(data: PreparedData) -> Iterator[Finding]:
    codec = data.manifest.codec
    if isinstance(codec, AudioCodecSettings):
        yield from sound_data.check_sound_data(data)
    elif isinstance(codec, TextCodecSettings):
        yield from other_data.check_text(data)
    elif codec.kind == "piano-roll":
        yield from other_data.check_notes(data)
    else:
        yield from other_data.check_images(data)
    yield from any_data.check_any_data(data)
    yield from copies.check_copies(data)


def _run_checks(
    run: RunFolder, data: PreparedData | None, progress: Progress | None, which: str, ema: bool
) -> Iterator[Finding]:
    yield _data_now(run, data)
    same = data if data is not None and data.manifest.codec == run.settings.data.codec else None
    model: CausalModel | None = None
    if run.steps():
        try:
            model, _ = run.model(which, ema=ema, progress=progress)
        except UsageError:
            raise
        except SeqgenError as error:
            yield network.WEIGHTS.found("severe", error.got.rstrip("."), run.path)
    yield from curves.check_curves(run, same, None if model is None else model.parameter_count)
    if model is None or same is None:
        return
    whole, heard = True, network.excerpts(model, same)
    if heard:
        for finding in network.check_network(model, heard, run.path):
            yield finding
            whole = whole and not (finding.check == network.WEIGHTS.name and finding.alarming)
    yield from hearing.check_reach(run, model, same)
    if whole:
        yield from hearing.check_sureness(run, model, same)


def _data_now(run: RunFolder, data: PreparedData | None) -> Finding:
    account = run.settings.data
    if data is None:
        return DATA_NOW.found("info", f"its data ({account.path or 'none'}) are not there to compare with", run.path)
    if data.manifest.codec != account.codec:
        sentence = f"{data.path} now holds {data.manifest.codec}; the run was trained on {account.codec}"
        return DATA_NOW.found("severe", sentence, run.path)
    if data.content_hash() != account.content_hash:
        sentence = f"{data.path} has changed since: what is held out now may have been trained on"
        return DATA_NOW.found("warning", sentence, run.path)
    return DATA_NOW.found("healthy", f"{data.path} is what it was trained on", run.path)


def _folder_checks(folder: Path, run: RunFolder | None, data: PreparedData | None) -> Iterator[Finding]:
    sheet = _sheet(folder)
    codec = run.settings.data.codec if run is not None else _codec(sheet)
    files = _clip_files(folder, sheet)
    if not files:
        raise UsageError(f"{folder} holds no clips.", "A folder that `seqgen generate` wrote, or one of sound files.")
    if len(files) > MOST_CLIPS:
        files = [files[place] for place in np.linspace(0, len(files) - 1, MOST_CLIPS).astype(int)]
    found: list[Finding] = []
    real: dict[float, clips.Real] = {}
    for file in files:
        if file.suffix.lower() == ".txt":
            found += check_text_clip(file.read_text(encoding="utf-8", errors="replace"), file)
        elif file.suffix.lower() in SOUND_SUFFIXES and (codec is None or isinstance(codec, AudioCodecSettings)):
            found += _sound_file(file, codec, data, real)
    yield from clips.gathered(found, folder, len(files))
    if run is not None:
        yield from _temperature(folder, sheet, run)


def _sound_file(
    file: Path, codec: AudioCodecSettings | None, data: PreparedData | None, real: dict[float, clips.Real]
) -> Iterator[Finding]:
    try:
        clip = read_beginning(file, None, 10 * clips.MOST_SECONDS)
    except SeqgenError as error:
        yield UNPLAYABLE.found("warning", error.got.rstrip("."), file)
        return
    rate, seconds = clip.native_rate, len(clip.waveform) / clip.native_rate
    beside, step = None, 2**-15
    if codec is not None and codec.rate == rate:
        step = max(step, code_step(codec, clip.waveform))
        if data is not None and isinstance(data.manifest.codec, AudioCodecSettings):
            kept = round(seconds, 2)
            if kept not in real:
                real[kept] = clips.real_measures(data, seconds)
            beside = real[kept]
    yield from clips.check_clip(clip.waveform, rate, file, beside, step)


def _file_checks(file: Path) -> Iterator[Finding]:
    if not file.is_file():
        raise UsageError(
            f"There is no file or folder {file}.", hint="Name prepared data, a run, clips or a sound file."
        )
    if file.suffix.lower() == ".txt":
        yield from check_text_clip(file.read_text(encoding="utf-8", errors="replace"), file)
        return
    clip = read_beginning(file, None, 10 * clips.MOST_SECONDS)
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


def what_is(place: Path) -> str:
    """data, run, folder or file: what a person named."""
    if (place / MANIFEST).is_file():
        return "data"
    if (place / "settings.toml").is_file():
        return "run"
    return "folder" if place.is_dir() else "file"
