"""From raw sound to recordings as tokens: each file prepared in parallel, levels measured, silence cut, quantised.

Finished files wait in a work folder inside the output folder, named by what they depend on (path, size and time of the
file, and settings), so a run that was killed goes on where it was.
"""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Generator

from seqgen_core.audio.features import MelSpectra
from seqgen_core.data import splits
from seqgen_core.data.discover import Found, RawFile
from seqgen_core.data.prepare import Prepared, Task, finished, prepare_file
from seqgen_core.data.prepared_sound import PreparedSound
from seqgen_core.data.store import Manifest, Rejected, Split, stable_key
from seqgen_core.data.workers import Crashed, Done, run_all
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.errors import SeqgenError
from seqgen_core.progress import Progress
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.preprocess import PreprocessSettings

WORK = ".work"
PEAK = 0.95  # of the loudest sample under normalise = "peak"
RMS = 0.1  # of the whole under normalise = "rms": -20 dBFS
_CRASH = "the decoder crashed on it"


def prepare_sound(settings: PreprocessSettings, found: Found, fingerprint: str, progress: Progress) -> Manifest:
    """Prepare all files of sound and store them.

    Raises UsageError where features cannot be made with such settings, SeqgenError where no file was usable, with the
    reasons; OSError where the output cannot be written.
    """
    features = mel_settings(settings)
    if features is not None:
        MelSpectra(features)  # complains before any work is done
    work = settings.out / WORK
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
        *found.rejected,
        *(
            Rejected(origin=file.origin, reason=prepared.reason)
            for file, (prepared, _) in prepared_files
            if prepared.outcome != "used"
        ),
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
    return manifest


def mel_settings(settings: PreprocessSettings) -> MelSettings | None:
    """How features are made of the sound; None where none are wanted."""
    if settings.features == "none":
        return None
    return MelSettings(rate=settings.rate, bands=settings.mel_bands, hop=settings.mel_hop, window=settings.mel_window)


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
        finishing = _results(settings, [tasks[number] for number in missing], jobs, progress)
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


def _results(
    settings: PreprocessSettings, tasks: list[Task], jobs: int, progress: Progress
) -> Generator[Done[Prepared]]:
    if settings.cluster is None:
        return run_all(prepare_file, tasks, jobs)
    from seqgen_core.data.cluster import Cluster, run_on_cluster

    cluster = Cluster(settings.cluster, settings.out.absolute() / WORK, [task.path for task in tasks])
    return run_on_cluster(prepare_file, tasks, cluster, progress)


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
        [splits.Recording(prepared.content, file.given, prepared.length) for file, prepared, _ in used],
        valid_share=settings.valid_share,
        test_share=settings.test_share,
        seed=settings.seed,
    )
    placed = [
        (split, prepared.length / settings.rate)
        for (_, prepared, _), split in zip(used, assignment.splits, strict=True)
        if split is not None
    ]
    labels = sorted({file.label for file, _, _ in used if file.label is not None})
    copies = sum(Counter(prepared.content for _, prepared, _ in used).values()) - len({p.content for _, p, _ in used})
    little = splits.little_held_out(placed, any(file.given for file, _, _ in used))
    notes = [*found.notes, *assignment.notes, *little]
    if copies:
        notes.append(f"{copies} files have the same bytes as another; all are used, on the same side of the split")
    notes += [f"{file.origin}: {warning}" for file, prepared, _ in used for warning in prepared.warnings]
    progress.begin("storing", len(used), "recordings")
    try:
        with PreparedWriter(settings.out, settings.sound_codec, mel_settings(settings)) as writer:
            for done, ((file, _, task), split) in enumerate(zip(used, assignment.splits, strict=True), start=1):
                sound = PreparedSound(task, writer.features)
                parts = [(split, 0, len(sound))] if split else splits.cut(len(sound), assignment.shares)
                for part in (piece for whole in parts for piece in _chunks(*whole, settings)):
                    _add(writer, file, sound, *part, labels)
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
    writer: PreparedWriter, file: RawFile, sound: PreparedSound, split: Split, start: int, stop: int, labels: list[str]
) -> None:
    rate = writer.codec.tokens_per_second or 1.0
    whole = (start, stop) == (0, len(sound))
    writer.add(
        sound.tokens(start, stop),
        origin=file.origin if whole else f"{file.origin} [{start / rate:.2f}–{stop / rate:.2f} s]",
        split=split,
        label=None if file.label is None else labels.index(file.label),
        key=stable_key(file.origin, start, stop),
        frames=sound.frames(start, stop),
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
