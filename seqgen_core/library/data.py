"""The prepared data that a run was trained on, found again and compared with what they were."""

from pathlib import Path

from seqgen_core.data.store import MANIFEST, PreparedData
from seqgen_core.errors import UsageError
from seqgen_core.progress import Progress
from seqgen_core.settings.run import RunSettings


def open_run_data(path: Path, settings: RunSettings, progress: Progress) -> PreparedData:
    """The prepared data of the run at `path`, with a warning where they are not the same any more.

    Raises SeqgenError where they are gone or no longer fit.
    """
    data = find_run_data(path, settings)
    now, before = data.manifest.codec, settings.data.codec
    if now != before:
        raise UsageError(
            f"{data.path} now holds {now}; the run was trained on {before}.",
            hint="Prepare the data again as they were, or name files.",
        )
    if data.content_hash() != settings.data.content_hash:
        progress.warn(
            f"{data.path} has changed since the run was trained: what is held out now may have been trained on"
        )
    return data


def find_run_data(path: Path, settings: RunSettings) -> PreparedData:
    """The data where the run found them, or, once the project folder was moved, at train.data as it was typed.

    Raises SeqgenError where there are none.
    """
    account = settings.data
    if account.path is None:
        how = "is an exported file" if path.is_file() else "was imported"
        raise UsageError(f"{path} {how} and knows no prepared data.", hint="Name files, or use --prime FILE.")
    if not (account.path / MANIFEST).exists() and (settings.train.data / MANIFEST).exists():
        moved = PreparedData.open(settings.train.data)
        if moved.content_hash() == account.content_hash:
            return moved
    return PreparedData.open(account.path)
