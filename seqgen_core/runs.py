"""Run folders: settings, metrics, and checkpoints that are either whole or not there.

settings.toml   everything resolved
status.json     running, interrupted, finished or failed, with step and reason
metrics.jsonl   one line per logged step or validation
data.json       sizes and times of the data's files, as training saw them
checkpoints/    see checkpoints.py
samples/        what was drawn from it
"""

import contextlib
import difflib
import functools
import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from seqgen_core import models
from seqgen_core.checkpoint import Checkpoint as Checkpoint
from seqgen_core.checkpoint import read_weights
from seqgen_core.checkpoints import Checkpoints
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import TEMPORARY, remove_unfinished, write_text_atomically
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress
from seqgen_core.settings.run import RunSettings
from seqgen_core.settings.toml import read_toml, to_toml


@contextlib.contextmanager
def held(folder: Path, doing: str) -> Generator[None]:
    """Hold a folder in which one process at a time works; doing: what another would be at, such as "at work in".

    Raises SeqgenError while another holds it.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SeqgenError(
            f"{folder} is {doing} another process.", hint="Wait for it, or stop it with Ctrl-C."
        ) from None
    try:
        yield
    finally:
        lock.release()


class RunFolder(Checkpoints):
    """One run on disk. `create` makes it, `open` finds it; nothing is read before it is asked for."""

    def __init__(self, path: Path, settings: RunSettings) -> None:
        self.path = path
        self.settings = settings

    @classmethod
    def create(cls, path: Path, settings: RunSettings) -> "RunFolder":
        """A new run at `path`. Raises UsageError as `check_free` does."""
        cls.check_free(path)
        (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_text_atomically(path / "settings.toml", to_toml(settings))
        return cls(path, settings)

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise UsageError where a run stands already, or anything else does."""
        if (path / "settings.toml").exists():
            raise UsageError(
                f"{path} holds a run already.", hint="Go on with it by --resume, or choose another folder."
            )
        if path.is_file() or any(_foreign(entry) for entry in path.glob("*")):
            raise UsageError(f"{path} is no run and not an empty folder.", hint="Name a new folder for the run.")

    @classmethod
    def open(cls, path: Path, runs: Path | None = None) -> "RunFolder":
        """The run at `path`. Raises UsageError where there is none, naming the nearest there or in `runs`."""
        if path.is_file():
            what = "an exported file" if path.suffix == ".safetensors" else "a file"
            raise UsageError(
                f"{path} is {what}; a run with all that belongs to it is a folder.",
                hint="generate, evaluate, report, export and info model take a file that `seqgen export` wrote.",
            )
        if not (path / "settings.toml").is_file():
            places = [path.parent] if runs is None else [path.parent, runs]
            there = {file.parent.name: file.parent for place in places for file in place.glob("*/settings.toml")}
            close = difflib.get_close_matches(path.name, there, n=1)
            raise UsageError(
                f"There is no run at {path} (no settings.toml in it).",
                hint=(f"Did you mean {there[close[0]]}? " if close else "")
                + "`seqgen train` makes a run; name its folder, or leave it out for the newest.",
            )
        return cls(path, read_toml(RunSettings, path / "settings.toml"))

    @classmethod
    def newest(cls, runs: Path, *, trained: bool = False) -> "RunFolder":
        """The run made last in a folder of runs; trained: that has a checkpoint, where any has.

        Raises UsageError where there is none.
        """
        found = [file.parent for file in runs.glob("*/settings.toml")]
        if not found:
            raise UsageError(f"There is no run in {runs}.", hint="`seqgen train` makes one.")
        if trained:
            found = [path for path in found if any(path.glob("checkpoints/step-*/*"))] or found
        return cls.open(max(found, key=lambda path: ((path / "settings.toml").stat().st_mtime, path.name)))

    def choose(self, which: str) -> int:
        """The step of the `best`, the `last` or a numbered checkpoint. Raises UsageError where there is none."""
        if not self.steps() and self.in_training():
            raise UsageError(
                f"{self.path} holds no checkpoint yet.",
                hint="It is being trained: wait for its first checkpoint, or name another run.",
            )
        return super().choose(which)

    def in_training(self) -> bool:
        """Whether a process trains it now."""
        if not (self.path / ".lock").exists():
            return False
        try:
            with held(self.path, "being trained by"):
                return False
        except SeqgenError:
            return True
        except OSError:  # a folder where nothing can be written
            return False

    def replace_settings(self, settings: RunSettings) -> None:
        """Write changed settings, as when a run is prolonged."""
        write_text_atomically(self.path / "settings.toml", to_toml(settings))
        self.settings = settings

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the run for training, rid of what a kill left unfinished. Raises SeqgenError while another does."""
        with held(self.path, "being trained by"):
            for folder in (self.path, self.path / "checkpoints"):
                remove_unfinished(folder)
            self._settle()
            yield

    def remove_unless_begun(self) -> None:
        """Remove a run just created, where training failed before it began (no such device, no data, no memory)."""
        if self.status["status"] != "new" or self.steps():
            return
        with contextlib.suppress(OSError):
            for name in ("settings.toml", "data.json", "range-test.json", "range-test.png", ".lock"):
                (self.path / name).unlink(missing_ok=True)
            (self.path / "checkpoints").rmdir()
            self.path.rmdir()

    # status and metrics

    @property
    def status(self) -> dict[str, Any]:
        """The state last written: status, step, reason. A run that was killed still says running."""
        file = self.path / "status.json"
        if not file.exists():
            return {"status": "new", "step": 0, "reason": ""}
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            return {**state, **{name: state[name] for name in ("status", "step", "reason")}}
        except (ValueError, KeyError, TypeError):
            return {"status": "unknown", "step": max(self.steps(), default=0), "reason": f"{file} is damaged"}

    def set_status(self, status: str, step: int, reason: str = "") -> None:
        """Write the state: running, interrupted, finished, failed or imported. Raises SeqgenError on a full disk.

        Not where it tells of a failure, which matters more.
        """
        state = {"status": status, "step": step, "reason": reason, "time": time.time()}
        file = self.path / "status.json"
        try:
            with self.told_when_full(file):
                write_text_atomically(file, json.dumps(state))
        except (OSError, SeqgenError):
            if status != "failed":
                raise

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl, or nothing where it does not fit: SeqgenError on a full disk, OSError."""
        file = self.path / "metrics.jsonl"
        with self.told_when_full(file), file.open("ab", buffering=0) as stream:
            end, text = stream.tell(), json.dumps(line).encode() + b"\n"
            try:
                while text:
                    text = text[stream.write(text) :]
            except OSError:
                with contextlib.suppress(OSError):
                    stream.truncate(end)
                raise

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl; half a last line, as a kill leaves it, and damaged ones are left out."""
        file = self.path / "metrics.jsonl"
        lines = list[dict[str, Any]]()
        for text in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                line = json.loads(text)
                lines.append({**line, "step": int(line["step"]), "kind": str(line.get("kind", ""))})
        return lines

    def forget_metrics_after(self, step: int, *, validated: bool = True) -> None:
        """Drop what was logged after a step, before that step's successor is trained again.

        validated: whether the step's own validation is behind; else what was logged of it is dropped too.
        """
        lines = [line for line in self.metrics() if line["step"] <= step]
        if not validated:
            lines = [line for line in lines if line["step"] < step or line["kind"] == "train"]
        kept = [json.dumps(line) + "\n" for line in lines]
        file = self.path / "metrics.jsonl"
        with self.told_when_full(file):
            write_text_atomically(file, "".join(kept))

    def model(
        self,
        which: str = "best",
        *,
        ema: bool = True,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> tuple[CausalModel, int]:
        """The trained model in evaluation mode, weight normalisation folded, and the step it is of, as `load` chooses.

        Raises SeqgenError where its weights are damaged or those of another model.
        """
        weights, step = self._whole(which, functools.partial(read_weights, ema=ema), progress)
        model = models.build(self.settings.model, self.settings.tokens)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise SeqgenError(
                f"{self._folder(step)} does not hold the weights of this model: {error}.",
                hint="Name another step by --checkpoint, or try --no-ema.",
            ) from error
        return model.to(device).eval().fold(), step


def _foreign(entry: Path) -> bool:
    """Whether something in a folder is not what a creation of a run that was killed leaves there."""
    return entry.name != "checkpoints" and not entry.name.startswith(TEMPORARY)
