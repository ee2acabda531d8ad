"""Whether the data are still those that a run was begun on: the tokens themselves, at its start and while it trains.

That the manifest is the same is seen by its hash, before. The tokens lie in other files, which can change under it: by
a failing disk, a copy that was cut, a program that meant another file.
"""

import json
from pathlib import Path

from seqgen_core.data.store import MANIFEST, VERIFIED_AT_ONCE, PreparedData
from seqgen_core.errors import SeqgenError
from seqgen_core.files import write_text_atomically
from seqgen_core.progress import Progress
from seqgen_core.runs import RunFolder

SEEN = "data.json"
"""File in the run folder with size and time of change of every file of data, as they were when it last trained."""

FileStates = dict[str, list[int]]


class Unchanged:
    """Notices changes of prepared data that a run trains on. It opens all of their files at once."""

    def __init__(self, run: RunFolder, data: PreparedData, progress: Progress) -> None:
        self._run, self._data, self._progress = run, data, progress
        self._manifest = _state(data, MANIFEST)
        self._files = file_states(data)
        self._told = False
        for item in data.manifest.items:  # once open, they stay even where new data take their places
            data.tokens(item), data.frames(item)

    def begin(self) -> None:
        """Before the first step. Raises SeqgenError where tokens are not those that were prepared.

        Every token is compared with its sum where that takes no second, or where a file changed since the run last
        trained; more data than that are believed as long as their files keep their sizes and times.
        """
        file = self._run.path / SEEN
        seen = _read(file)
        size = self._data.token_size()
        changed = [name for name, state in self._files.items() if seen and seen.get(name) != state]
        if changed and size > VERIFIED_AT_ONCE:
            self._progress.say(
                f"{self._data.path / changed[0]} has another size or time since {self._run.path} last trained:"
                f" comparing {size / 1e9:.1f} GB of tokens with their sums"
            )
        if changed or size <= VERIFIED_AT_ONCE:
            self._data.verify()
        if seen != self._files:
            with self._run.told_when_full(file):
                write_text_atomically(file, json.dumps(self._files))

    def check(self) -> None:
        """Before each checkpoint, so that none holds what was learned from changed tokens: raises SeqgenError.

        Where the data were prepared anew, training goes on with the old ones, which it has open, after a warning.
        """
        if self._told:
            return
        if _state(self._data, MANIFEST) != self._manifest:
            self._told = True
            if not self._same_anew():
                self._progress.warn(
                    f"{self._data.path} was prepared anew: {self._run.path} goes on with the data it has open, but can"
                    " be resumed only where they are put back"
                )
            return
        for name, state in self._files.items():
            if _state(self._data, name) != state:
                there = self._run.steps()
                raise SeqgenError(
                    f"{self._data.path / name} was changed while {self._run.path} trains on it; what was learned since"
                    " the last checkpoint is dropped.",
                    hint=f"Put the file back; `seqgen train --resume {self._run.path}` goes on from"
                    f" step {max(there, default=0):,}.",
                )

    def _same_anew(self) -> bool:
        """Whether what stands in the folder now would be the very same tokens."""
        try:
            return PreparedData.open(self._data.path).content_hash() == self._data.content_hash()
        except SeqgenError:
            return False


def file_states(data: PreparedData) -> FileStates:
    """Size in bytes and time of change in nanoseconds of every file of tokens and features."""
    names = {item.shard for item in data.manifest.items} | ({data.manifest.features_file} - {""})
    return {name: _state(data, name) for name in sorted(names)}


def _state(data: PreparedData, name: str) -> list[int]:
    try:
        found = (data.path / name).stat()
    except FileNotFoundError:
        return []
    return [found.st_size, found.st_mtime_ns]


def _read(file: Path) -> FileStates:
    """What was written; nothing where that cannot be read, as of a run of version 0.2."""
    try:
        states = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return states if isinstance(states, dict) else {}
