"""The checkpoints of a run: which are kept, which is the last and the best, and which is taken where one is damaged.

checkpoints/step-N/     see checkpoint.py; the newest is the last, and says which one is the best
"""

import contextlib
import json
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from seqgen_core.checkpoint import (
    BEST,
    Checkpoint,
    DamagedError,
    read_account,
    read_checkpoint,
    verify_checkpoint,
    write_checkpoint,
)
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import atomic_directory, is_full, remove_directory
from seqgen_core.progress import Progress, Silent

Found = TypeVar("Found")
STEP = re.compile(r"step-(\d+)(\.new)?")
"""Name of a checkpoint's folder; `.new` while one of the same step is replaced, so that one of both is always whole."""


class Checkpoints:
    """The checkpoints of a run, in path/checkpoints."""

    path: Path

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, in order."""
        names = [STEP.fullmatch(file.parent.name) for file in self.path.glob("checkpoints/step-*/*")]
        return sorted({int(name[1]) for name in names if name})

    def save(self, checkpoint: Checkpoint, *, best: bool, keep: int) -> Path:
        """Write a checkpoint as the last one (and the best), then drop older ones but the best and `keep` others.

        One older one is kept in any case, to go back to where the last is damaged. Raises SeqgenError where the disk
        is full, OSError where writing fails otherwise; those that were there stay.
        """
        step, there = checkpoint.account["step"], self.steps()
        best_step = step if best or not there else self.choose("best")
        self._settle()
        folder = self.path / "checkpoints" / f"step-{step}"
        place = folder.with_name(f"{folder.name}.new") if folder.exists() else folder
        with self.told_when_full(folder), atomic_directory(place) as temporary:
            write_checkpoint(checkpoint, temporary, best_step)
        self._settle()
        (self.path / "checkpoints" / "index.json").unlink(missing_ok=True)  # of version 0.2, and out of date now
        there = self.steps()
        for old in set(there) - {step, best_step, *there[-(max(1, keep) + 1) :]}:
            remove_directory(self._folder(old))
        return folder

    def choose(self, which: str) -> int:
        """The step of the `best`, the `last` or a numbered checkpoint. Raises UsageError where there is none."""
        there = self.steps()
        if not there:
            raise UsageError(
                f"{self.path} holds no checkpoint yet.", hint=f"`seqgen train --resume {self.path}` goes on."
            )
        if which == "last":
            return there[-1]
        if which == "best":
            step = self._best()
            return step if step in there else there[-1]
        if int(which) not in there:
            raise UsageError(f"{self.path} holds no checkpoint of step {which}.", f"Steps there: {_listed(there)}.")
        return int(which)

    def load(self, which: str = "last", progress: Progress | None = None) -> Checkpoint:
        """A whole checkpoint, on the CPU.

        Where the best or the last is damaged, the nearest whole one before it (else after it), with a warning. Raises
        SeqgenError where the one that was named is damaged, or all are.
        """
        return self._whole(which, read_checkpoint, progress)[0]

    def set_damaged_aside(self, progress: Progress | None = None) -> None:
        """Make the last whole checkpoint the last one, before a training that holds the run (`locked`) goes on with it.

        Newer ones, which are damaged, become damaged-step-N, with a warning. Raises SeqgenError where all are.
        """
        if not self.steps():
            return
        taken = self._whole("last", verify_checkpoint, progress)[1]
        for step in self.steps():
            if step > taken:
                aside = self.path / "checkpoints" / f"damaged-step-{step}"
                remove_directory(aside)
                self._folder(step).rename(aside)
                (progress or Silent()).say(f"what is left of step {step:,} is kept as {aside}")

    def account(self, which: str = "last") -> dict[str, Any]:
        """Just the readable account of a checkpoint, chosen as `load` chooses."""
        return self._whole(which, read_account, None)[0]

    def _whole(self, which: str, read: Callable[[Path], Found], progress: Progress | None) -> tuple[Found, int]:
        chosen, there, damage = self.choose(which), self.steps(), None
        before, after = [step for step in there if step < chosen], [step for step in there if step > chosen]
        for step in [chosen, *reversed(before), *after] if which in ("best", "last") else [chosen]:
            try:
                found = read(self._folder(step))
            except DamagedError as error:
                if damage is None and (self._folder(step).exists() or step == there[-1]):  # else dropped by training
                    damage = error
                continue
            if damage is not None:
                side = "before" if step < chosen else "after"
                (progress or Silent()).warn(
                    f"{damage.got.removesuffix('.')}; {self._folder(step)}, the whole one {side} it, is taken instead"
                )
            return found, step
        assert damage is not None
        others = [step for step in there if step != chosen]
        if which in ("best", "last"):
            raise SeqgenError(
                f"No checkpoint of {self.path} is whole; {damage.got}",
                hint="Put its checkpoints back from a copy, or train a new run.",
            ) from damage
        raise SeqgenError(damage.got, hint=f"Choose another step; those there: {_listed(others)}.") from damage

    def _folder(self, step: int) -> Path:
        folder = self.path / "checkpoints" / f"step-{step}"
        newer = folder.with_name(f"{folder.name}.new")
        return newer if newer.exists() else folder

    def _settle(self) -> None:
        """Let rewritten checkpoints take the places of those of the same step, as a kill may have left undone."""
        for newer in self.path.glob("checkpoints/step-*.new"):
            folder = newer.with_suffix("")
            remove_directory(folder)
            newer.rename(folder)

    def _best(self) -> int | None:
        """The best step as the newest readable account has it; version 0.2 wrote it into a file of its own."""
        for step in reversed(self.steps()):
            with contextlib.suppress(DamagedError):
                account = read_account(self._folder(step))
                if BEST in account:
                    return account[BEST]
                break
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return json.loads((self.path / "checkpoints" / "index.json").read_text()).get("best")
        return None

    @contextlib.contextmanager
    def told_when_full(self, file: Path) -> Generator[None]:
        """Turn a disk that is full while `file` is written into a SeqgenError: what is kept, and how to go on."""
        try:
            yield
        except OSError as error:
            if not is_full(error):
                raise
            there = self.steps()
            kept = f"the checkpoint of step {there[-1]:,} is kept" if there else "no checkpoint was written yet"
            raise SeqgenError(
                f"{file}: no space is left on the disk; {kept}.",
                hint=f"Free some space; `seqgen train --resume {self.path}` goes on from there.",
            ) from error


def _listed(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) or "none"
