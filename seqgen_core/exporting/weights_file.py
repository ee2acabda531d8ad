"""A trained model as one safetensors file: its weights, and in the header everything that generating needs.

The header's metadata are texts: `format` (seqgen), `format_version`, `seqgen` (the version that wrote it), `name` of
the run, `step`, `ema` (whether the weights are the moving average), `settings` (those of the run as TOML, without where
the machine kept things), `tensors_sha256`, and `sha256` of all of these. Weights are in float32 with weight
normalisation folded, as a step uses them; the names are those of the model's `state_dict`.
"""

import hashlib
import importlib.metadata
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from seqgen_core import models
from seqgen_core.checkpoint import FILES
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.files import written_atomically
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress
from seqgen_core.runs import RunFolder
from seqgen_core.settings.project import check
from seqgen_core.settings.run import RunSettings
from seqgen_core.settings.toml import to_toml
from seqgen_core.settings.train import TrainSettings

SUFFIX = ".safetensors"
FORMAT, FORMAT_VERSION = "seqgen", 1
SEAL, TENSORS_SEAL = "sha256", "tensors_sha256"
AGAIN = "Export the run again, or copy the file again."
NEWER = "Install a newer seqgen: `pip install -U seqgen`."


@dataclass(frozen=True)
class Exported:
    """One file of weights and settings. name: of the run; step, ema: whose weights they are; version: of seqgen."""

    path: Path
    settings: RunSettings
    name: str
    step: int
    ema: bool
    version: str
    tensors_sha256: str

    def model(
        self,
        which: str = "best",
        *,
        ema: bool = True,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> tuple[CausalModel, int]:
        """The model in evaluation mode, weight normalisation folded, and its step, as a run folder gives them.

        There is but one: the best and the last are what the file holds. progress is there for the likeness.
        Raises UsageError where another step is named, or plain weights are wanted of a moving average; SeqgenError
        where the weights are not as they were written.
        """
        if which not in ("best", "last", str(self.step)):
            raise UsageError(
                f"{self.path} holds the weights of step {self.step} alone; {which} was asked for.",
                hint="Leave --checkpoint out, or name the run's folder.",
            )
        if self.ema and not ema:
            raise UsageError(
                f"{self.path} holds the moving average of the weights alone.",
                hint="Leave --no-ema out, or export the run by --no-ema.",
            )
        weights = _tensors(self.path)
        if _sum(weights) != self.tensors_sha256:
            raise SeqgenError(
                f"{self.path} is damaged: its tensors do not have the SHA-256 that it states.", hint=AGAIN
            )
        model = models.build(self.settings.model, self.settings.tokens).eval().fold()
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise SeqgenError(f"{self.path} does not hold the weights of its model: {error}.", hint=AGAIN) from error
        return model.to(device), self.step


def check_target(path: Path, suffix: str = SUFFIX) -> None:
    """Raise UsageError where a file to write cannot be meant: a folder, one that is there, or of another suffix."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; an export is one file.", hint="Name a file by --out.")
    if path.exists():
        raise UsageError(f"{path} is there already.", hint="Name another file by --out, or remove it.")
    if path.suffix != suffix:
        raise UsageError(
            f"{path} does not end in {suffix}, by which such files are known.", hint=f"Write --out {path}{suffix}."
        )


def write_export(
    run: RunFolder, path: Path, which: str = "best", *, ema: bool = True, progress: Progress | None = None
) -> Path:
    """Write one checkpoint of a run as a file at `path`, whole or not at all; returns the path.

    Raises UsageError as `check_target` and the choice of a checkpoint do, SeqgenError where it is damaged, OSError.
    """
    check_target(path)
    model, step = run.model(which, ema=ema, progress=progress)
    weights = {name: _plain(value) for name, value in model.state_dict().items()}
    told = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "seqgen": importlib.metadata.version("seqgen"),
        "name": name_of(run),
        "step": str(step),
        "ema": str(averaged(run, step, ema)).lower(),
        "settings": to_toml(portable(run.settings)),
        TENSORS_SEAL: _sum(weights),
    }
    with written_atomically(path) as stream:
        stream.write(save(weights, {**told, SEAL: _seal(told)}))
    return path


def name_of(run: RunFolder | Exported) -> str:
    """A run's name: that of its folder."""
    return run.name if isinstance(run, Exported) else run.path.resolve().name


def averaged(run: RunFolder | Exported, step: int, ema: bool) -> bool:
    """Whether the weights of a step that a run gives for `ema` are its moving average."""
    if isinstance(run, Exported):
        return run.ema
    return ema and "ema.safetensors" in run.account(str(step))[FILES]


def portable(settings: RunSettings) -> RunSettings:
    """Settings of a run without where the machine that trained it kept data and runs."""
    fields = TrainSettings.model_fields
    places = {name: fields[name].default for name in ("data", "runs")}
    return settings.model_copy(
        update={
            "data": settings.data.model_copy(update={"path": None}),
            "train": settings.train.model_copy(update=places),
        }
    )


def open_export(path: Path) -> Exported:
    """What a file says of itself; its weights are read, and checked, by `model`.

    Raises UsageError where there is no file, SeqgenError where it is cut or damaged, no export, or too new.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", hint="`seqgen export RUN --to safetensors` writes one.")
    try:
        with safe_open(path, framework="pt") as file:  # states lengths that the file must have
            told = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise SeqgenError(f"{path} is no whole safetensors file: {error}.", hint=AGAIN) from error
    if told.get("format") != FORMAT:
        raise SeqgenError(
            f"{path} is a safetensors file, but not one that seqgen exported.",
            hint="`seqgen export RUN --to safetensors` writes one that holds its settings.",
        )
    seal, version = told.pop(SEAL, ""), told.get("format_version", "")
    if version.isdecimal() and int(version) > FORMAT_VERSION:
        raise SeqgenError(
            f"{path} was written by seqgen {told.get('seqgen', '?')}, in version {version} of the format.",
            f"Version {FORMAT_VERSION}.",
            NEWER,
        )
    if seal != _seal(told):
        raise SeqgenError(f"{path} is damaged: its header does not have the SHA-256 that it states.", hint=AGAIN)
    if version != str(FORMAT_VERSION):
        raise SeqgenError(f"{path} states version {version!r} of the format.", f"Version {FORMAT_VERSION}.", hint=AGAIN)
    try:
        export = Exported(
            path,
            _settings(tomllib.loads(told["settings"]), path, told["seqgen"]),
            name=told["name"],
            step=int(told["step"]),
            ema={"true": True, "false": False}[told["ema"]],
            version=told["seqgen"],
            tensors_sha256=told[TENSORS_SEAL],
        )
    except KeyError as error:
        raise SeqgenError(f"{path} lacks or misstates {error} in its header.", hint=AGAIN) from error
    except ValueError as error:  # the settings are no TOML, or the step is no number
        raise SeqgenError(f"{path} has a header that cannot be read: {error}.", hint=AGAIN) from error
    return export


def _settings(told: Mapping[str, Any], path: Path, version: str) -> RunSettings:
    """The settings of a run. Raises SeqgenError where this version does not know them: another wrote them."""
    try:
        return check(RunSettings, told, path)
    except UsageError as error:
        first, *others = error.got.splitlines()
        more = f" (and {len(others)} more)" if others else ""
        raise SeqgenError(
            f"{path} was written by seqgen {version} (this is {importlib.metadata.version('seqgen')}), with settings "
            f"that are not known here: {first.rstrip('.')}{more}.",
            hint=NEWER,
        ) from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UsageError(f"There is no file {path} any more.") from None
    except (SafetensorError, OSError) as error:
        raise SeqgenError(f"{path} is no whole safetensors file: {error}.", hint=AGAIN) from error


def _plain(value: Tensor) -> Tensor:
    """A tensor that shares its memory with no other, which a file of tensors by name could not hold."""
    value = value.detach().to("cpu", copy=True).contiguous()
    return value.float() if value.is_floating_point() else value


def _sum(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _seal(told: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
