"""A new run: the folder that its name means, whether model and data fit, settings found out before it is made."""

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

from seqgen_core.errors import UsageError
from seqgen_core.progress import Progress
from seqgen_core.settings.project import Project

if TYPE_CHECKING:
    from seqgen_core.data.store import PreparedData
    from seqgen_core.runs import RunFolder
    from seqgen_core.training.distributed import Place


def run_path(named: str, runs: Path) -> Path:
    """The folder that a name on the command line means: with a separator a path, else a name among the runs.

    What is in the current folder comes first, unless only the other is a run; so a run below the runs, such as one of a
    search, is found by its path from there.
    """
    path, among = Path(named), runs / named
    only_among = (among / "settings.toml").exists() and not (path / "settings.toml").exists()
    if path.exists() or any(sign in named for sign in (os.sep, os.altsep) if sign) or named in (".", ".."):
        return among if only_among else path
    return among


def create_run(
    named: Path | None,
    project: Project,
    data: "PreparedData",
    progress: Progress,
    *,
    preset: str | None = None,
    place: "Place | None" = None,
) -> "RunFolder":
    """The folder of a new run, at `named` or as <time>-<model>, once its settings that are auto are found out.

    place: of this process among those that torchrun started. Raises UsageError where model and data do not fit.
    """
    import torch

    from seqgen_cli.fitting import fit
    from seqgen_core import models
    from seqgen_core.runs import RunFolder
    from seqgen_core.settings.run import DataAccount, RunSettings

    manifest = data.manifest
    account = DataAccount(
        path=data.path.resolve(),
        codec=manifest.codec,
        gain=manifest.gain,
        features=manifest.features,
        content_hash=data.content_hash(),
        label_names=manifest.label_names,
        order0_bits=manifest.order0_bits,
    )
    settings = RunSettings(model=project.model, tokens=manifest.tokens, data=account, train=project.train)
    with torch.device("meta"):  # shapes alone: which labels and features a model takes is known once it is built
        model = models.build(settings.model, settings.tokens)
    labels, bands = len(manifest.label_names), manifest.features.bands if manifest.features else 0
    if model.classes not in (0, labels):
        raise UsageError(
            f"model.classes = {model.classes}, but {data.path} has {labels or 'no'} labels.",
            hint=f"Set model.classes={labels}." if labels else "Prepare it with `seqgen preprocess labels=folder`.",
        )
    if model.local_features not in (0, bands):
        raise UsageError(
            f"model.local_features = {model.local_features}, but {data.path} has {bands or 'no'} features.",
            hint=f"Set model.local_features={bands}."
            if bands
            else "Prepare it with `seqgen preprocess --features mel`.",
        )
    if named is not None:
        RunFolder.check_free(named)
    fitted = fit(settings, place, preset, progress)
    run = RunFolder.create(named or _new_path(project), fitted.settings)
    fitted.write_account(run)
    return run


def _new_path(project: Project) -> Path:
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{project.model.kind}"
    path, number = project.train.runs / stem, 2
    while path.exists():
        path, number = project.train.runs / f"{stem}-{number}", number + 1
    return path
