"""From folders of raw sound to prepared data: find, prepare each file in parallel, split by recording, store.

Finished files wait in a work folder inside the output folder, named by what they depend on (path, size and time of the
file, and settings), so a run that was killed goes on where it was. The manifest is written last; until then, data
that stood there before stay valid.
"""

import contextlib
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqgen_core.data import splits
from seqgen_core.data.discover import Found, RawFile, find_sources
from seqgen_core.data.fetching.locks import lock
from seqgen_core.data.prepare import Prepared, Task, finished, prepare_file
from seqgen_core.data.store import (
    Item,
    Manifest,
    PreparedData,
    PreparedWriter,
    Rejected,
    Split,
    read_manifest,
    remove_stray_shards,
    stable_key,
)
from seqgen_core.data.workers import Crashed, run_all
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Progress, Silent
from seqgen_core.settings.preprocess import PreprocessSettings

WORK = ".work"
LOCK = ".lock"
PEAK = 0.95  # of the loudest sample under normalise = "peak"
RMS = 0.1  # of the whole under normalise = "rms": -20 dBFS
_CRASH = "the decoder crashed on it"


@dataclass(frozen=True)
class PreprocessReport:
    """What a run came to. `fresh` is False where earlier work was recognised and nothing was left to do."""

    path: Path
    manifest: Manifest
    fresh: bool

    def items(self, split: Split) -> list[Item]:
        """The items of one split."""
        return [item for item in self.manifest.items if item.split == split]

    def seconds(self, split: Split) -> float:
        """Length of one split."""
        return self.tokens(split) / self.manifest.codec.rate

    def tokens(self, split: Split) -> int:
        """Tokens in one split."""
        return sum(item.length for item in self.items(split))

    @property
    def too_short(self) -> tuple[Rejected, ...]:
        """The files that were set aside for their length alone."""
        return tuple(r for r in self.manifest.rejected if r.reason.startswith("too short"))

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The files that were set aside for any other reason."""
        return tuple(r for r in self.manifest.rejected if not r.reason.startswith("too short"))


def preprocess(settings: PreprocessSettings, progress: Progress | None = None) -> PreprocessReport:
    """Prepare all sound of the inputs.

    Raises UsageError for inputs that do not exist, SeqgenError where nothing was usable (with the reasons) or another
    process is at work on the same output, OSError where the output cannot be written.
    """
    progress = progress or Silent()
    out = settings.out
    if any(Path(path).absolute() == out.absolute() for path in settings.inputs):
        raise UsageError(f"{out} is input and output at once.", hint="Choose another folder with --out.")
    found = find_sources(settings.inputs, avoid=out)
    if not found.files:
        names = ", ".join(str(path) for path in settings.inputs)
        raise SeqgenError(
            f"There is no sound in {names}" + "".join(f"; {note}" for note in found.notes) + ".",
            "Files such as wav, flac, ogg, opus, mp3, m4a or webm.",
            "Name the folder that holds them: `seqgen preprocess FOLDER`; `seqgen download` fetches some.",
        )
    fingerprint = _fingerprint(settings, found)
    with lock(out / LOCK) as held:
        if not held:
            raise SeqgenError(
                f"Another process is preparing data in {out}.",
                hint="Wait for it, or choose another folder with --out.",
            )
        before = _standing(out)
        if before is not None and before.fingerprint == fingerprint:
            return PreprocessReport(out, before, fresh=False)
        remove_stray_shards(out, {item.shard for item in before.items} if before else set())
        return _prepare_all(settings, found, fingerprint, progress)


def _prepare_all(settings: PreprocessSettings, found: Found, fingerprint: str, progress: Progress) -> PreprocessReport:
    out, work = settings.out, settings.out / WORK
    work.mkdir(parents=True, exist_ok=True)
    for stray in work.glob(".tmp-*"):
        stray.unlink(missing_ok=True)
    gain = 1.0
    if settings.normalise != "none":
        measured = _run(settings, found.files, None, "measuring the level", progress)
        gain = _common_gain(settings, [prepared for prepared, _ in measured])
    results = _run(settings, found.files, gain, "preparing", progress)
    prepared_files = list(zip(found.files, results, strict=True))
    used = [(file, prepared, task) for file, (prepared, task) in prepared_files if prepared.outcome == "used"]
    rejected = [
        Rejected(origin=file.origin, reason=prepared.reason)
        for file, (prepared, _) in prepared_files
        if prepared.outcome != "used"
    ]
    if not used:
        shutil.rmtree(work, ignore_errors=True)
        shown = "; ".join(f"{r.origin}: {r.reason}" for r in rejected[:5])
        more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
        raise SeqgenError(
            f"None of {len(rejected)} files could be used: {shown}{more}.",
            "At least one file of sound that decodes.",
        )
    lasting = all(prepared.lasting for prepared, _ in results)
    manifest = _store(settings, found, used, rejected, gain, fingerprint if lasting else "", progress)
    if lasting:
        shutil.rmtree(work, ignore_errors=True)
    return PreprocessReport(out, manifest, fresh=True)


def _run(
    settings: PreprocessSettings, files: list[RawFile], gain: float | None, name: str, progress: Progress
) -> list[tuple[Prepared, Task]]:
    """What came of every file, from earlier runs or made now."""
    tasks = [_task(settings, file, gain) for file in files]
    results = [finished(task) for task in tasks]
    missing = [number for number, result in enumerate(results) if result is None]
    jobs = min(settings.jobs or os.cpu_count() or 1, max(1, len(missing)))
    progress.begin(name, len(files), "files")
    try:
        done = len(files) - len(missing)
        progress.update(done)
        finishing = run_all(prepare_file, [tasks[number] for number in missing], jobs)
        with contextlib.closing(finishing):
            for one in finishing:
                result = one.result
                if isinstance(result, Crashed):
                    result = Prepared(outcome="rejected", reason=_CRASH, lasting=False)
                results[missing[one.number]] = result
                done += 1
                kept = [r for r in results if r is not None]
                aside = sum(r.outcome != "used" for r in kept)
                minutes = sum(r.length for r in kept if r.outcome == "used") / settings.rate / 60
                progress.update(done, minutes=round(minutes, 1), set_aside=aside)
    finally:
        progress.end()
    return [(result, task) for result, task in zip(results, tasks, strict=True) if result is not None]


def _store(
    settings: PreprocessSettings,
    found: Found,
    used: list[tuple[RawFile, Prepared, Task]],
    rejected: list[Rejected],
    gain: float,
    fingerprint: str,
    progress: Progress,
) -> Manifest:
    assignment = splits.assign(
        [splits.Recording(prepared.content, file.given) for file, prepared, _ in used],
        valid_share=settings.valid_share,
        test_share=settings.test_share,
        seed=settings.seed,
    )
    labels = sorted({file.label for file, _, _ in used}) if settings.labels == "folder" else []
    copies = sum(Counter(prepared.content for _, prepared, _ in used).values()) - len({p.content for _, p, _ in used})
    notes = [*found.notes, *assignment.notes]
    if copies:
        notes.append(f"{copies} files have the same bytes as another; all are used, on the same side of the split")
    notes += [f"{file.origin}: {warning}" for file, prepared, _ in used for warning in prepared.warnings]
    progress.begin("storing", len(used), "recordings")
    try:
        with PreparedWriter(settings.out, settings.sound_codec) as writer:
            for done, ((file, _, task), split) in enumerate(zip(used, assignment.splits, strict=True), start=1):
                tokens = np.memmap(task.tokens, dtype=writer.dtype, mode="r")
                parts = [(split, 0, len(tokens))] if split else splits.cut(len(tokens), assignment.shares)
                for part in (piece for whole in parts for piece in _chunks(*whole, settings)):
                    _add(writer, file, tokens, *part, labels)
                progress.update(done)
            return writer.finish(
                settings,
                label_names=labels,
                rejected=rejected,
                warnings=notes,
                gain=gain,
                silence_dropped_seconds=sum(prepared.dropped for _, prepared, _ in used) / settings.rate,
                fingerprint=fingerprint,
            )
    finally:
        progress.end()


def _add(
    writer: PreparedWriter, file: RawFile, tokens: np.memmap, split: Split, start: int, stop: int, labels: list[str]
) -> None:
    rate = writer.codec.rate
    whole = (start, stop) == (0, len(tokens))
    writer.add(
        tokens[start:stop],
        origin=file.origin if whole else f"{file.origin} [{start / rate:.2f}–{stop / rate:.2f} s]",
        split=split,
        label=labels.index(file.label) if labels else None,
        key=stable_key(file.origin, start, stop),
    )


def _chunks(split: Split, start: int, stop: int, settings: PreprocessSettings) -> list[tuple[Split, int, int]]:
    """Cut a stretch into items of chunk_seconds; a rest that is too short stays with the item before it."""
    if settings.chunk_seconds is None:
        return [(split, start, stop)]
    chunk = max(2, round(settings.chunk_seconds * settings.rate))
    edges = list(range(start, stop, chunk))
    if len(edges) > 1 and stop - edges[-1] < max(2, settings.minimum_seconds * settings.rate):
        edges.pop()
    return [(split, low, high) for low, high in zip(edges, [*edges[1:], stop], strict=True)]


def _task(settings: PreprocessSettings, file: RawFile, gain: float | None) -> Task:
    name = stable_key(
        file.identity,
        settings.sound_codec.model_dump_json(),
        settings.trim_silence,
        settings.longest_silence,
        settings.minimum_seconds,
        gain,
    )
    return Task(file.path.absolute(), settings.out.absolute() / WORK / name, settings, gain)


def _common_gain(settings: PreprocessSettings, measured: list[Prepared]) -> float:
    used = [prepared for prepared in measured if prepared.outcome == "used"]
    peak = max((prepared.peak for prepared in used), default=0.0)
    samples = sum(prepared.length for prepared in used)
    if not peak:
        return 1.0
    if settings.normalise == "peak":
        return PEAK / peak
    return RMS / (sum(prepared.power for prepared in used) / samples) ** 0.5


def _standing(out: Path) -> Manifest | None:
    """The manifest of data that are whole, None where there are none."""
    try:
        PreparedData.open(out)
        return read_manifest(out)
    except SeqgenError:
        return None


def _fingerprint(settings: PreprocessSettings, found: Found) -> str:
    relevant = settings.model_dump_json(exclude={"inputs", "out", "jobs"})
    return stable_key(relevant, [(file.identity, file.origin, file.given, file.label) for file in found.files])
