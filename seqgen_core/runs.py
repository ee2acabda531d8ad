"""Run folders: settings, metrics, and checkpoints that are either whole or not there.

settings.toml   everything resolved
status.json     running, interrupted, finished or failed, with step and reason
metrics.jsonl   one line per logged step or validation
checkpoints/step-N/{model,ema,optimizer}.safetensors, account.json
checkpoints/index.json   which step is the last, which the best
samples/        what was drawn from it
"""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from seqgen_core import models
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import TEMPORARY, atomic_directory, remove_unfinished, write_text_atomically
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.run import RunSettings
from seqgen_core.settings.toml import read_toml, to_toml

PARTS = ("model", "ema", "optimizer")
"""Files of tensors in a checkpoint; those that are empty are left out."""


@dataclass
class Checkpoint:
    """Everything training needs to go on from a step.

    model, ema: weights by name (ema is empty where none is kept).
    optimizer: tensors of the optimiser, by name.
    account: step, elapsed seconds, tokens seen, best validation and the like, all plain JSON.
    """

    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    account: dict[str, Any]


class RunFolder:
    """One run on disk. `create` makes it, `open` finds it; nothing is read before it is asked for."""

    def __init__(self, path: Path, settings: RunSettings) -> None:
        self.path = path
        self.settings = settings

    @classmethod
    def create(cls, path: Path, settings: RunSettings) -> "RunFolder":
        """A new run at `path`. Raises UsageError where one stands already, or anything else does."""
        if (path / "settings.toml").exists():
            raise UsageError(
                f"{path} holds a run already.", hint="Go on with it by --resume, or choose another folder."
            )
        if path.is_file() or any(_foreign(entry) for entry in path.glob("*")):
            raise UsageError(f"{path} is no run and not an empty folder.", hint="Name a new folder for the run.")
        (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_text_atomically(path / "settings.toml", to_toml(settings))
        return cls(path, settings)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The run at `path`. Raises UsageError where there is none."""
        if not (path / "settings.toml").is_file():
            raise UsageError(
                f"There is no run at {path} (no settings.toml in it).",
                hint="`seqgen train` makes a run; name its folder, or leave it out for the newest.",
            )
        return cls(path, read_toml(RunSettings, path / "settings.toml"))

    @classmethod
    def newest(cls, runs: Path) -> "RunFolder":
        """The run made last in a folder of runs. Raises UsageError where there is none."""
        found = [file.parent for file in runs.glob("*/settings.toml")]
        if not found:
            raise UsageError(f"There is no run in {runs}.", hint="`seqgen train` makes one.")
        return cls.open(max(found, key=lambda path: ((path / "settings.toml").stat().st_mtime, path.name)))

    def replace_settings(self, settings: RunSettings) -> None:
        """Write changed settings, as when a run is prolonged."""
        write_text_atomically(self.path / "settings.toml", to_toml(settings))
        self.settings = settings

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the run for training, rid of what a kill left unfinished. Raises SeqgenError while another does."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise SeqgenError(
                f"{self.path} is being trained by another process.", hint="Wait for it, or stop it with Ctrl-C."
            ) from None
        try:
            for folder in (self.path, self.path / "checkpoints"):
                remove_unfinished(folder)
            yield
        finally:
            lock.release()

    def remove_unless_begun(self) -> None:
        """Remove a run just created, where training failed before it began (no such device, no data, no memory)."""
        if self.status["status"] != "new" or self.steps():
            return
        with contextlib.suppress(OSError):
            for name in ("settings.toml", ".lock"):
                (self.path / name).unlink(missing_ok=True)
            (self.path / "checkpoints").rmdir()
            self.path.rmdir()

    # status and metrics

    @property
    def status(self) -> dict[str, Any]:
        """The state last written: status, step, reason. A run that was killed still says running."""
        file = self.path / "status.json"
        return json.loads(file.read_text()) if file.exists() else {"status": "new", "step": 0, "reason": ""}

    def set_status(self, status: str, step: int, reason: str = "") -> None:
        """Write the state: running, interrupted, finished, failed or imported."""
        state = {"status": status, "step": step, "reason": reason, "time": time.time()}
        write_text_atomically(self.path / "status.json", json.dumps(state))

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl; a half-written last line, as a kill leaves it, is left out."""
        file = self.path / "metrics.jsonl"
        lines = []
        for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(text))
        return lines

    def forget_metrics_after(self, step: int) -> None:
        """Drop what was logged after a step, before that step's successor is trained again."""
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= step]
        write_text_atomically(self.path / "metrics.jsonl", "".join(kept))

    # checkpoints

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, in order."""
        names = [file.parent.name.removeprefix("step-") for file in self.path.glob("checkpoints/step-*/account.json")]
        return sorted(int(name) for name in names if name.isdecimal())

    def save(self, checkpoint: Checkpoint, *, best: bool, keep: int) -> Path:
        """Write a checkpoint as the last one (and the best), then drop older ones but `keep`, best and last.

        Raises OSError where it cannot be written; those that were there stay.
        """
        step = checkpoint.account["step"]
        folder = self.path / "checkpoints" / f"step-{step}"
        parts = [name for name in PARTS if getattr(checkpoint, name)]
        with atomic_directory(folder) as temporary, _honest_os_errors(folder):
            for name in parts:
                tensors = {key: value.detach().cpu().contiguous() for key, value in getattr(checkpoint, name).items()}
                save_file(tensors, temporary / f"{name}.safetensors")
            (temporary / "account.json").write_text(json.dumps({**checkpoint.account, "parts": parts}, indent=2))
        index = self._index()
        index["last"] = step
        if best or index.get("best") not in self.steps():
            index["best"] = step
        write_text_atomically(self.path / "checkpoints" / "index.json", json.dumps(index))
        wanted = {index["last"], index["best"], *self.steps()[-(keep + 1) :]}
        for old in set(self.steps()) - wanted:
            shutil.rmtree(self.path / "checkpoints" / f"step-{old}", ignore_errors=True)
        return folder

    def choose(self, which: str) -> int:
        """The step of the `best`, the `last` or a numbered checkpoint. Raises UsageError where there is none."""
        there = self.steps()
        if not there:
            raise UsageError(
                f"{self.path} holds no checkpoint yet.", hint=f"`seqgen train --resume {self.path}` goes on."
            )
        if which in ("best", "last"):
            step = self._index().get(which)
            return step if step in there else there[-1]
        if int(which) not in there:
            raise UsageError(f"{self.path} holds no checkpoint of step {which}.", f"Steps there: {_listed(there)}.")
        return int(which)

    def load(self, which: str = "last") -> Checkpoint:
        """A whole checkpoint, on the CPU. Raises SeqgenError when a file of it is damaged."""
        folder = self.path / "checkpoints" / f"step-{self.choose(which)}"
        try:
            account = json.loads((folder / "account.json").read_text())
            written = account["parts"]
            parts = {name: load_file(folder / f"{name}.safetensors") if name in written else {} for name in PARTS}
        except (SafetensorError, ValueError, KeyError, TypeError, FileNotFoundError) as error:
            others = [step for step in self.steps() if folder.name != f"step-{step}"]
            raise SeqgenError(
                f"{folder} is damaged: {error}.",
                hint=f"Remove that folder to go on from another; the other steps there: {_listed(others)}.",
            ) from error
        return Checkpoint(**parts, account=account)

    def account(self, which: str = "last") -> dict[str, Any]:
        """Just the readable account of a checkpoint."""
        return json.loads((self.path / "checkpoints" / f"step-{self.choose(which)}" / "account.json").read_text())

    def model(
        self, which: str = "best", *, ema: bool = True, device: torch.device | str = "cpu"
    ) -> tuple[CausalModel, int]:
        """The trained model in evaluation mode, weight normalisation folded, and the step it is of."""
        step = self.choose(which)
        folder = self.path / "checkpoints" / f"step-{step}"
        averaged = folder / "ema.safetensors"
        file = averaged if ema and averaged.exists() else folder / "model.safetensors"
        model = models.build(self.settings.model, self.settings.tokens)
        try:
            model.load_state_dict(load_file(file))
        except (SafetensorError, RuntimeError, FileNotFoundError) as error:
            raise SeqgenError(
                f"{file} does not hold the weights of this model: {error}.",
                hint=f"Name another step by --checkpoint (there: {_listed(self.steps())}), or try --no-ema.",
            ) from error
        return model.to(device).eval().fold(), step

    def _index(self) -> dict[str, int]:
        file = self.path / "checkpoints" / "index.json"
        return json.loads(file.read_text()) if file.exists() else {}


def _foreign(entry: Path) -> bool:
    """Whether something in a folder is not what a creation of a run that was killed leaves there."""
    return entry.name != "checkpoints" and not entry.name.startswith(TEMPORARY)


@contextlib.contextmanager
def _honest_os_errors(folder: Path) -> Generator[None]:
    """safetensors reports a full disk as an error of its own, with the number in words."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(folder)) from error


def _listed(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) or "none"
