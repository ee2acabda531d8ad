"""MIDI files and MATLAB files of piano rolls to recordings: each piece one stream of frames of 88 keys.

A MATLAB file says itself which sequence is for training, validation and test; its frames are taken as they are.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqgen_core.data.discover import RawFile
from seqgen_core.data.kinds.base import Gathered, Recording
from seqgen_core.data.store import Rejected, Split
from seqgen_core.data.workers import Crashed, run_all
from seqgen_core.notes.errors import UnreadableNotesError
from seqgen_core.notes.mat import MAT_PARTS, is_mat, read_mat
from seqgen_core.notes.midi import read_piece
from seqgen_core.notes.rolls import key_range
from seqgen_core.progress import Progress
from seqgen_core.settings.codec import NotesCodecSettings
from seqgen_core.settings.preprocess import PreprocessSettings

_WORTH = 2**20  # bytes of MIDI, some two seconds of work, that are worth a process


@dataclass(frozen=True)
class _Task:
    path: Path
    codec: NotesCodecSettings


@dataclass(frozen=True)
class _Sequence:
    """One piece: what its origin has beyond that of its file, its roll, where it belongs, its notes beyond the keys."""

    name: str
    roll: np.ndarray
    content: str
    split: Split | None = None
    beyond: int = 0


def gather(settings: PreprocessSettings, files: Sequence[RawFile], progress: Progress) -> Gathered:
    """Every sequence of every file; MIDI is sampled at `frames_per_second`."""
    codec = NotesCodecSettings(rate=settings.frames_per_second)
    gathered = Gathered(codec)
    beyond: list[int] = []
    for file, found in zip(files, _read_all(settings, codec, files, progress), strict=True):
        if isinstance(found, str):
            gathered.rejected.append(Rejected(origin=file.origin, reason=found))
            continue
        for sequence in found:
            origin, frames = file.origin + sequence.name, len(sequence.roll)
            if frames < 2:
                reason = f"too short: {frames} frame{'' if frames == 1 else 's'}; 2 are needed"
                gathered.rejected.append(Rejected(origin=origin, reason=reason))
                continue
            split = sequence.split or file.given
            gathered.recordings.append(Recording(sequence.roll, origin, sequence.content, split, file.label))
            if sequence.beyond:
                beyond.append(sequence.beyond)
    if beyond:
        notes = "1 note" if sum(beyond) == 1 else f"{sum(beyond)} notes"
        pieces = "one piece" if len(beyond) == 1 else f"{len(beyond)} pieces"
        gathered.notes.append(f"{notes} of {pieces} left out: beyond the keys {key_range(codec)}")
    return gathered


def _read_all(
    settings: PreprocessSettings, codec: NotesCodecSettings, files: Sequence[RawFile], progress: Progress
) -> list[list[_Sequence] | str]:
    """The sequences of each file, or the reason why it has none."""
    results: list[list[_Sequence] | str] = ["the program crashed on it"] * len(files)
    jobs = min(settings.jobs or os.cpu_count() or 1, len(files), 1 + sum(file.size for file in files) // _WORTH)
    progress.begin("reading", len(files), "files")
    try:
        finishing = run_all(_read, [_Task(file.path.absolute(), codec) for file in files], max(1, jobs))
        with contextlib.closing(finishing):
            for done, one in enumerate(finishing, start=1):
                if not isinstance(one.result, Crashed):
                    results[one.number] = one.result
                progress.update(done)
    finally:
        progress.end()
    return results


def _read(task: _Task) -> list[_Sequence] | str:
    try:
        if is_mat(task.path):
            rolls = read_mat(task.path)
            return [
                _Sequence(f" {MAT_PARTS[part]} {number}", roll, _digest(roll.tobytes()), part)
                for part in rolls
                for number, roll in enumerate(rolls[part], start=1)
            ]
        piece = read_piece(task.path, task.codec)
        if len(piece.roll) and not piece.roll.any():
            return f"it has no notes on the keys {key_range(task.codec)}, drums aside"
        return [_Sequence("", piece.roll, _digest(task.path.read_bytes()), beyond=piece.beyond)]
    except UnreadableNotesError as problem:
        return problem.reason
    except OSError as problem:
        return f"it cannot be read: {problem.strerror or problem}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
