"""Everything at once: of prepared data, of a run with its data and newest samples, of a folder of clips, of a file."""

from collections.abc import Iterator
from pathlib import Path

from seqgen_core.data.store import MANIFEST, PreparedData
from seqgen_core.diagnosis import any_data, clips, copies, curves, hearing, network, other_data, primes, sound_data
from seqgen_core.diagnosis.finding import Finding, check, sorted_findings
from seqgen_core.diagnosis.folders import check_file, check_folder
from seqgen_core.diagnosis.sheets import newest_samples
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings, TextCodecSettings

DATA_NOW = check(
    "data-now",
    "run",
    looks_at="whether the data that the run was trained on are still there and whole, with the same codec, rate and "
    "recordings",
    thresholds="data that cannot be opened, or another codec or rate, severe; other recordings a warning; none a "
    "remark",
    advice="Prepare the data again as they were, or train a new run on what is there.",
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
    damage: str = "",
) -> list[Finding]:
    """All checks of a run, its data and its newest samples, the worst finding first.

    data: what it was trained on, None where that is gone, or cannot be opened for the reason `damage`. prime: a file
    that it is to continue. samples: a folder of clips in place of the newest. Raises UsageError where that folder
    holds none.
    """

    def every() -> Iterator[Finding]:
        if data is not None and data.manifest.codec == run.settings.data.codec:
            yield from _data_checks(data)
        yield from _run_checks(run, data, progress, which, ema, damage)
        usable = data if data is not None and data.manifest.codec == run.settings.data.codec else None
        if prime is not None:
            yield from primes.check_prime(prime, run, usable)
        folder = samples or newest_samples(run)
        if folder is not None:
            try:
                yield from check_folder(folder, run, usable)
            except UsageError:
                if samples is not None:
                    raise
                yield clips.UNREADABLE.found("warning", "its sheet names no clip that is there", folder)

    return sorted_findings(_counted(every(), f"looking at {run.path}", progress))


def diagnose_clips(
    place: Path, run: RunFolder | None, data: PreparedData | None, progress: Progress | None = None, damage: str = ""
) -> list[Finding]:
    """All checks of a folder of clips or of one sound file, beside the data that their run was trained on, if known.

    damage: why these cannot be opened. Raises UsageError where there is nothing to look at.
    """

    def every() -> Iterator[Finding]:
        if run is not None and damage:
            yield _data_now(run, None, damage)
        yield from check_folder(place, run, data) if place.is_dir() else check_file(place)

    return sorted_findings(_counted(every(), f"looking at {place}", progress))


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
        if data.manifest.settings.task == "none":
            yield from other_data.check_text(data)
    elif codec.kind == "piano-roll":
        yield from other_data.check_notes(data)
    else:
        yield from other_data.check_images(data)
    yield from any_data.check_any_data(data)
    yield from copies.check_copies(data)


def _run_checks(
    run: RunFolder, data: PreparedData | None, progress: Progress | None, which: str, ema: bool, damage: str
) -> Iterator[Finding]:
    yield _data_now(run, data, damage)
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


def _data_now(run: RunFolder, data: PreparedData | None, damage: str) -> Finding:
    account = run.settings.data
    if damage:
        return DATA_NOW.found("severe", f"its data cannot be opened: {damage.rstrip('.')}", run.path)
    if data is None:
        return DATA_NOW.found("info", f"its data ({account.path or 'none'}) are not there to compare with", run.path)
    if data.manifest.codec != account.codec:
        sentence = f"{data.path} now holds {data.manifest.codec}; the run was trained on {account.codec}"
        return DATA_NOW.found("severe", sentence, run.path)
    if data.content_hash() != account.content_hash:
        sentence = f"{data.path} has changed since: what is held out now may have been trained on"
        return DATA_NOW.found("warning", sentence, run.path)
    return DATA_NOW.found("healthy", f"{data.path} is what it was trained on", run.path)


def what_is(place: Path) -> str:
    """data, run, folder or file: what a person named."""
    if (place / MANIFEST).is_file():
        return "data"
    if (place / "settings.toml").is_file():
        return "run"
    return "folder" if place.is_dir() else "file"
