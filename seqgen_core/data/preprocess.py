"""From folders of raw files to prepared data: find, gather what is of one kind, split by recording, store.

The manifest is written last; until then, data that stood there before stay valid.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from seqgen_core.data import splits
from seqgen_core.data.discover import Found, RawFile, find_sources
from seqgen_core.data.fetching.locks import lock
from seqgen_core.data.kinds import choose_kind, unused_settings
from seqgen_core.data.kinds.base import Gathered
from seqgen_core.data.labels import label_files
from seqgen_core.data.store import (
    Item,
    Manifest,
    PreparedData,
    Rejected,
    Split,
    read_manifest,
    remove_stray_shards,
    stable_key,
)
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Progress, Silent
from seqgen_core.settings.preprocess import PreprocessSettings

LOCK = ".lock"


@dataclass(frozen=True)
class PreprocessReport:
    """What a run came to. `fresh` is False where earlier work was recognised and nothing was left to do."""

    path: Path
    manifest: Manifest
    fresh: bool

    def items(self, split: Split) -> list[Item]:
        """The items of one split."""
        return [item for item in self.manifest.items if item.split == split]

    def seconds(self, split: Split) -> float | None:
        """Length of one split; None for what takes no time."""
        rate = self.manifest.codec.tokens_per_second
        return None if rate is None else self.tokens(split) / rate

    def tokens(self, split: Split) -> int:
        """Tokens in one split; of images without the blank that each begins with."""
        blank = 1 if self.manifest.codec.kind == "pixels" else 0
        return sum(item.length - blank for item in self.items(split))

    @property
    def too_short(self) -> tuple[Rejected, ...]:
        """The files that were set aside for their length alone."""
        return tuple(r for r in self.manifest.rejected if r.reason.startswith("too short"))

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The files that were set aside for any other reason."""
        return tuple(r for r in self.manifest.rejected if not r.reason.startswith("too short"))


def preprocess(settings: PreprocessSettings, progress: Progress | None = None) -> PreprocessReport:
    """Prepare everything of one kind that the inputs hold, or a synthetic task.

    Raises UsageError for inputs that do not exist, SeqgenError where nothing was usable (with the reasons) or another
    process is at work on the same output, OSError where the output cannot be written.
    """
    progress = progress or Silent()
    out = settings.out
    found, kind, what = Found(), "tasks", "a synthetic task"
    if settings.task == "none":
        if any(Path(path).absolute() == out.absolute() for path in settings.inputs):
            raise UsageError(f"{out} is input and output at once.", hint="Choose another folder with --out.")
        kind, is_wanted, what = choose_kind(settings, avoid=out)
        found = find_sources(settings.inputs, avoid=out, is_wanted=is_wanted, what=what)
        if not found.files:
            names = ", ".join(str(path) for path in settings.inputs)
            raise SeqgenError(
                f"There is no {what} in {names}" + "".join(f"; {note}" for note in found.notes) + ".",
                _WANTED[kind] if settings.codec is not None else " ".join(_WANTED.values()),
                "Name the folder that holds them: `seqgen preprocess FOLDER`; `seqgen download` fetches some.",
            )
        found.files, unlabelled = label_files(settings.labels, found.files)
        found.rejected += unlabelled
    for name in unused_settings(settings, kind):
        progress.warn(f"preprocess.{name} means nothing for {what}: it is not used")
    fingerprint = _fingerprint(settings, found)
    made = not out.exists()
    try:
        return _prepare(kind, settings, found, fingerprint, progress)
    except BaseException:
        if made and kind == "sound":
            from seqgen_core.data.sound import WORK

            with contextlib.suppress(OSError):  # it is not empty where work was done, and stays
                (out / WORK).rmdir()
        if made and {file.name for file in out.iterdir()} <= {LOCK}:
            (out / LOCK).unlink(missing_ok=True)
            out.rmdir()
        raise


def _prepare(
    kind: str, settings: PreprocessSettings, found: Found, fingerprint: str, progress: Progress
) -> PreprocessReport:
    out = settings.out
    with lock(out / LOCK) as held:
        if not held:
            raise SeqgenError(
                f"Another process is preparing data in {out}.",
                hint="Wait for it, or choose another folder with --out.",
            )
        before = _standing(out)
        if before is not None and before.fingerprint == fingerprint:
            return PreprocessReport(out, before, fresh=False)
        stay = {before.features_file, *(item.shard for item in before.items)} if before else set()
        remove_stray_shards(out, stay)
        if kind == "sound":
            from seqgen_core.data.sound import prepare_sound

            manifest = prepare_sound(settings, found, fingerprint, progress)
        else:
            manifest = _store(settings, _gather(kind, settings, found, progress), found, fingerprint, progress)
        return PreprocessReport(out, manifest, fresh=True)


_WANTED = {
    "sound": "Files such as wav, flac, ogg, opus, mp3, m4a or webm.",
    "text": "Files of UTF-8 text.",
    "notes": "MIDI files, or .mat files of piano rolls.",
    "images": "PNG or JPEG files, MNIST's idx files or CIFAR-10's binary files.",
}


def _gather(kind: str, settings: PreprocessSettings, found: Found, progress: Progress) -> Gathered:
    module = import_module(f"seqgen_core.data.kinds.{kind}")
    if kind == "tasks":
        return module.generate(settings)
    gather = cast(Callable[[PreprocessSettings, list[RawFile], Progress], Gathered], module.gather)
    gathered = gather(settings, found.files, progress)
    if not gathered.recordings:
        shown = "; ".join(f"{r.origin}: {r.reason}" for r in gathered.rejected[:5])
        raise SeqgenError(
            f"None of {len(gathered.rejected)} could be used: {shown}.",
            _WANTED[kind],
            "Mend these files or name others; --codec says of what kind they are.",
        )
    return gathered


def _store(
    settings: PreprocessSettings, gathered: Gathered, found: Found, fingerprint: str, progress: Progress
) -> Manifest:
    recordings = gathered.recordings
    assignment = splits.assign(
        [splits.Recording(recording.content, recording.split, len(recording.tokens)) for recording in recordings],
        valid_share=settings.valid_share,
        test_share=settings.test_share,
        seed=settings.seed,
        divisible=gathered.codec.kind != "pixels" and all(recording.given == 1 for recording in recordings),
    )
    labels = gathered.label_names or tuple(sorted({r.label for r in recordings if r.label is not None}))
    numbers = {name: number for number, name in enumerate(labels)}
    copies = len(recordings) - len(Counter(recording.content for recording in recordings))
    notes = [*found.notes, *gathered.notes, *assignment.notes]
    if copies:
        notes.append(f"{copies} {'is a copy' if copies == 1 else 'are copies'} of another; all are used")
    progress.begin("storing", len(recordings), "recordings")
    try:
        with PreparedWriter(settings.out, gathered.codec) as writer:
            for done, (recording, split) in enumerate(zip(recordings, assignment.splits, strict=True), start=1):
                tokens = recording.tokens
                parts = [(split, 0, len(tokens))] if split else splits.cut(len(tokens), assignment.shares)
                for part, start, stop in parts:
                    whole = (start, stop) == (0, len(tokens))
                    writer.add(
                        tokens[start:stop],
                        origin=recording.origin if whole else f"{recording.origin} [{start:,}–{stop:,}]",
                        split=part,
                        label=None if recording.label is None else numbers[recording.label],
                        key=stable_key(recording.origin, start, stop),
                        given=recording.given,
                    )
                if done % 100 == 0 or done == len(recordings):
                    progress.update(done)
            return writer.finish(
                settings,
                label_names=labels,
                rejected=[*found.rejected, *gathered.rejected],
                warnings=notes,
                remarks=gathered.remarks,
                fingerprint=fingerprint,
            )
    finally:
        progress.end()


def _standing(out: Path) -> Manifest | None:
    """The manifest of data that are whole, None where there are none."""
    try:
        PreparedData.open(out)
        return read_manifest(out)
    except SeqgenError:
        return None


def _fingerprint(settings: PreprocessSettings, found: Found) -> str:
    relevant = settings.model_dump_json(exclude={"inputs", "out", "jobs", "cluster"})
    return stable_key(relevant, [(file.identity, file.origin, file.given, file.label) for file in found.files])
