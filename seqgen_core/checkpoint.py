"""One checkpoint on disk: a folder of tensors with an account that seals them, so that damage is found, not trained on.

{model,ema,optimizer}.safetensors   tensors by name; a file that would be empty is left out
account.json                        plain JSON: what training wrote down, which step was the best by then, the SHA-256
                                    of every other file and, of everything above it, its own
Checkpoints of version 0.2 hold no sums; they are read as they are.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from seqgen_core.errors import SeqgenError

PARTS = ("model", "ema", "optimizer")
"""Files of tensors in a checkpoint; those that are empty are left out."""
ACCOUNT = "account.json"
BEST, FILES, SEAL = "best_checkpoint", "files", "sha256"
"""What an account holds beside training's own figures: the best step by then, sums by file name, its own sum."""


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


class DamagedError(SeqgenError):
    """A checkpoint that is not what was written; `reason` says in a few words what is wrong with it."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} is damaged: {reason}.")
        self.reason = reason


def write_checkpoint(checkpoint: Checkpoint, folder: Path, best: int) -> None:
    """Write the files of a checkpoint into an empty folder; best: the best step so far. Raises OSError."""
    sums = {}
    for part in PARTS:
        tensors = {name: value.detach().cpu().contiguous() for name, value in getattr(checkpoint, part).items()}
        if tensors:
            file = folder / f"{part}.safetensors"
            with _honest_os_errors(file):
                save_file(tensors, file)
            sums[file.name] = _sum(file)
    (folder / ACCOUNT).write_text(_sealed({**checkpoint.account, BEST: best, FILES: sums}), encoding="utf-8")


def read_checkpoint(folder: Path) -> Checkpoint:
    """All of a checkpoint, on the CPU. Raises DamagedError unless every file of it is as it was written."""
    account = read_account(folder)
    parts = {part: _tensors(folder, part, account) for part in PARTS}
    own = {name: value for name, value in account.items() if name not in (BEST, FILES, SEAL)}
    return Checkpoint(**parts, account=own)


def verify_checkpoint(folder: Path) -> None:
    """Raise DamagedError unless every file of a checkpoint is as it was written."""
    account = read_account(folder)
    for name, stated in account[FILES].items():
        if stated is None:
            _read(folder, name, load_file)
        else:
            _check_sum(folder, name, stated)


def read_weights(folder: Path, *, ema: bool) -> dict[str, Tensor]:
    """The averaged weights, where they are wanted and there are any, else the plain ones; no other file is read.

    Raises DamagedError where that file or the account is not as it was written.
    """
    account = read_account(folder)
    return (ema and _tensors(folder, "ema", account)) or _tensors(folder, "model", account)


def read_account(folder: Path) -> dict[str, Any]:
    """The account, with sums by file name under `files`, None each where version 0.2 kept none. Raises DamagedError."""
    text = _read(folder, ACCOUNT, lambda file: file.read_text(encoding="utf-8"))
    try:
        account = json.loads(text)
        if (SEAL in text or FILES in account) and text != _sealed(
            {name: value for name, value in account.items() if name != SEAL}
        ):
            raise DamagedError(folder, f"{ACCOUNT} does not have the SHA-256 that it states itself")
        if FILES not in account:
            account[FILES] = {f"{part}.safetensors": None for part in account.pop("parts")}
        int(account["step"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(folder, f"{ACCOUNT} is no account of a checkpoint") from error
    return account


def _tensors(folder: Path, part: str, account: dict[str, Any]) -> dict[str, Tensor]:
    name = f"{part}.safetensors"
    if name not in account[FILES]:
        return {}
    if account[FILES][name] is not None:
        _check_sum(folder, name, account[FILES][name])
    return _read(folder, name, load_file)


def _check_sum(folder: Path, name: str, stated: str) -> None:
    if _read(folder, name, _sum) != stated:
        raise DamagedError(folder, f"{name} does not have the SHA-256 that {ACCOUNT} states")


def _read(folder: Path, name: str, read: Callable[[Path], Any]) -> Any:
    try:
        return read(folder / name)
    except FileNotFoundError as error:
        raise DamagedError(folder, f"{name} is missing") from error
    except PermissionError:
        raise
    except (SafetensorError, UnicodeDecodeError, OSError) as error:  # OSError: a sector of the disk cannot be read
        raise DamagedError(folder, f"{name} cannot be read ({error})") from error


def _sealed(account: dict[str, Any]) -> str:
    """The text of an account, which ends in its own sum."""
    return json.dumps({**account, SEAL: hashlib.sha256(json.dumps(account, indent=2).encode()).hexdigest()}, indent=2)


def _sum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _honest_os_errors(file: Path) -> Generator[None]:
    """safetensors reports a full disk as an error of its own, with the number in words."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(file)) from error
