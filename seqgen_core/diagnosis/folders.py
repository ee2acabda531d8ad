"""Folders of clips as `seqgen generate` writes them, folders of any sound files, single files: all checks of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis import clips
from seqgen_core.diagnosis.continuations import check_seams
from seqgen_core.diagnosis.finding import Finding, check
from seqgen_core.diagnosis.remedies import against_noise, against_silence
from seqgen_core.diagnosis.rolls_and_images import check_entries
from seqgen_core.diagnosis.sheets import Sheet, logged, read_sheet
from seqgen_core.diagnosis.sound_files import Beside, check_sound_file
from seqgen_core.diagnosis.temperature import check_temperature
from seqgen_core.diagnosis.texts import check_text_clip
from seqgen_core.errors import UsageError
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings

MOST_CLIPS = 64
"""Of a folder that are looked at."""
SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aiff", ".aif", ".webm", ".aac", ".au")

RUN_OF_CLIPS = check(
    "run-of-clips",
    "samples",
    looks_at="whether the run that the sheet names is found: the one that the clips lie in, else by its name from here "
    "or from a folder above the clips",
    thresholds="one that is not, a remark: the clips are compared with nothing real",
    advice="Call doctor from the folder that the clips were drawn in.",
)


def check_folder(folder: Path, run: RunFolder | None, data: PreparedData | None) -> Iterator[Finding]:
    """All checks of a folder of clips. data: what the run was trained on, where it is known; of any other codec, they
    are left aside. Raises UsageError where there are none."""
    sheet = read_sheet(folder)
    codec = run.settings.data.codec if run is not None else sheet.codec
    files = _clip_files(folder, sheet)
    if not files:
        raise UsageError(f"{folder} holds no clips.", "A folder that `seqgen generate` wrote, or one of sound files.")
    if len(files) > MOST_CLIPS:
        files = [files[place] for place in np.linspace(0, len(files) - 1, MOST_CLIPS).astype(int)]
    found: list[Finding] = []
    beside = data if data is not None and data.manifest.codec == codec else None
    heard = Beside(codec, beside) if isinstance(codec, AudioCodecSettings) else None
    for file in files:
        if file.suffix.lower() == ".txt":
            found += check_text_clip(file.read_text(encoding="utf-8", errors="replace"), file)
        elif file.suffix.lower() in SOUND_SUFFIXES and (codec is None or heard is not None):
            found += check_sound_file(file, heard)
    for one in clips.gathered(found, folder, len(files)):
        yield _advised(one, run, beside, sheet)
    if codec is None or heard is not None:
        yield from check_seams(folder, sheet.entries, heard.codec if heard is not None else None, beside)
    yield from check_entries(sheet.entries, beside, folder)
    if run is not None:
        yield from _temperature(folder, sheet, run)
    elif sheet.run:
        what = "is an exported file, which has no data" if Path(sheet.run).is_file() else "is not found"
        yield RUN_OF_CLIPS.found("info", f"its run {sheet.run} {what}: compared with nothing real", folder)


def _advised(one: Finding, run: RunFolder | None, data: PreparedData | None, sheet: Sheet) -> Finding:
    if one.check == clips.NO_PITCH.name and one.alarming and run is not None:
        return one.advising(against_noise(run, data, sheet.drawn))
    if one.check == clips.TRAP.name and one.alarming and sheet.there:
        return one.advising(against_silence(sheet.drawn))
    return one


def check_file(file: Path) -> Iterator[Finding]:
    """All checks of a file of sound or text by itself. Raises UsageError where there is none."""
    if not file.is_file():
        raise UsageError(
            f"There is no file or folder {file}.", hint="Name prepared data, a run, clips or a sound file."
        )
    if file.suffix.lower() == ".txt":
        yield from check_text_clip(file.read_text(encoding="utf-8", errors="replace"), file)
        return
    yield from check_sound_file(file, None)


def _temperature(folder: Path, sheet: Sheet, run: RunFolder) -> Iterator[Finding]:
    held_out = [line["bits"] for line in logged(run.metrics(), "valid")]
    bits = [entry["bits_per_token"] for entry in sheet.entries if "bits_per_token" in entry]
    if held_out and bits:
        yield from check_temperature(bits, min(held_out), sheet.drawn, folder)


def _clip_files(folder: Path, sheet: Sheet) -> list[Path]:
    """What was drawn: clips and continuations, not primes; without a sheet, all sounds and texts of the folder."""
    named: list[Path] = []
    for entry in sheet.entries:
        files = {part.split()[0]: folder / name for part, name in entry["files"].items()}
        named += [files[part] for part in ("continuation", "clip", "text") if part in files][:1]
    there: Sequence[Path] = [file for file in named if file.is_file()]
    if there or sheet.there:
        return list(there)
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (*SOUND_SUFFIXES, ".txt"))
