"""The folder of a search: its settings, its study, a run folder for each trial, and the best.

search.toml      the project's settings, [tune] among them
study.journal    what was tried and what came of it, as Optuna keeps it
trial-007/       the run of trial 7, like any other run
best.toml        settings of the best trial so far, for --config
search.png       held-out bits over the trials, and against each setting
"""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import remove_unfinished, write_text_atomically
from seqgen_core.runs import held
from seqgen_core.settings.project import Project
from seqgen_core.settings.template import changed_settings
from seqgen_core.settings.toml import read_toml, to_toml

if TYPE_CHECKING:
    from optuna import Study

_SETTINGS = "search.toml"
_JOURNAL = "study.journal"


class SearchFolder:
    """One search on disk. `create` makes it, `open` finds it."""

    def __init__(self, path: Path, project: Project) -> None:
        self.path = path
        self.project = project
        self.best = path / "best.toml"
        self.plot = path / "search.png"

    @classmethod
    def create(cls, path: Path, project: Project) -> "SearchFolder":
        """A new search at `path`. Raises UsageError where one stands already, or anything else does."""
        if (path / _SETTINGS).exists():
            raise UsageError(
                f"{path} holds a search already.",
                hint=f"`seqgen tune {path} --resume` goes on with it; another name starts a new one.",
            )
        if path.is_file() or (path.exists() and any(path.iterdir())):
            raise UsageError(f"{path} is no search and not an empty folder.", hint="Choose another name.")
        write_text_atomically(path / _SETTINGS, to_toml(project))
        return cls(path, project)

    @classmethod
    def open(cls, path: Path) -> "SearchFolder":
        """The search at `path`. Raises UsageError where there is none."""
        if not (path / _SETTINGS).is_file():
            raise UsageError(
                f"There is no search at {path} (no {_SETTINGS} in it).", hint="`seqgen tune NAME` begins one."
            )
        return cls(path, read_toml(Project, path / _SETTINGS))

    @classmethod
    def newest(cls, runs: Path) -> "SearchFolder":
        """The search begun last in a folder of runs. Raises UsageError where there is none."""
        found = list(runs.glob(f"*/{_SETTINGS}"))
        if not found:
            raise UsageError(f"There is no search in {runs}.", hint="`seqgen tune NAME` begins one.")
        return cls.open(max(found, key=lambda file: (file.stat().st_mtime, file.parent.name)).parent)

    def trial(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.path / f"trial-{number:03}"

    def replace_project(self, project: Project) -> None:
        """Write changed settings, as when a search is given more trials."""
        write_text_atomically(self.path / _SETTINGS, to_toml(project))
        self.project = project

    def write_best(self, project: Project, account: str) -> None:
        """Write settings for --config, with a line about where they are from."""
        tables: dict[str, dict[str, object]] = {"model": {"kind": project.model.kind}}
        for name, value in changed_settings(project.model_copy(update={"tune": type(project.tune)()})).items():
            section, _, last = name.partition(".")
            tables.setdefault(section, {})[last] = value
        write_text_atomically(self.best, f"# {account}\n\n{tomli_w.dumps(tables)}")

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the search, rid of what a kill left unfinished. Raises SeqgenError while another process does."""
        with held(self.path, "at work in"):
            remove_unfinished(self.path)
            self._mend_journal()
            yield

    def study(self) -> "Study":
        """The study, begun where there is none yet; for who holds the lock. Raises SeqgenError where it is damaged."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        file = self.path / _JOURNAL
        try:
            storage = JournalStorage(JournalFileBackend(str(file)))
            return optuna.create_study(storage=storage, study_name="seqgen", direction="minimize", load_if_exists=True)
        except (ValueError, KeyError, AssertionError) as error:
            raise SeqgenError(
                f"{file} is damaged: {error}.", hint="The runs beside it are whole; begin a new search."
            ) from error

    def _mend_journal(self) -> None:
        """Take away the half line and the lock that a kill while writing leaves, neither of which Optuna mends."""
        file = self.path / _JOURNAL
        Path(f"{file}.lock").unlink(missing_ok=True)
        if file.exists():
            content = file.read_bytes()
            if content and not content.endswith(b"\n"):
                with file.open("r+b") as stream:
                    stream.truncate(content.rfind(b"\n") + 1)
