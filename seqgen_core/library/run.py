"""Run: a trained model with all that belongs to it, from a run folder or from one exported file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from seqgen_core.data.store import PreparedData
from seqgen_core.devices import choose_device, memory_guard, use_threads
from seqgen_core.errors import UsageError
from seqgen_core.evaluation import likelihood
from seqgen_core.evaluation.likelihood import Evaluation
from seqgen_core.library.changes import changed
from seqgen_core.library.data import open_run_data
from seqgen_core.library.drawing import Drawing, prepare_drawing
from seqgen_core.library.generation import Generation
from seqgen_core.library.labels import class_number
from seqgen_core.models.base import CausalModel
from seqgen_core.progress import Progress, Silent
from seqgen_core.runs import RunFolder
from seqgen_core.settings.evaluate import EvaluateSettings
from seqgen_core.settings.generate import GenerateSettings
from seqgen_core.settings.run import RunSettings

EXPORTED = ".safetensors"
"""What the name of an exported file ends in."""


class Source(Protocol):
    """Where a trained model comes from: a run folder, an exported file."""

    @property
    def path(self) -> Path:
        """The folder or the file."""
        ...

    @property
    def settings(self) -> RunSettings:
        """Everything that the model was trained with."""
        ...

    def model(
        self, which: str = ..., *, ema: bool = ..., device: torch.device | str = ..., progress: Progress | None = ...
    ) -> tuple[CausalModel, int]:
        """The model, ready to generate, and its step."""
        ...


def load_run(path: str | os.PathLike[str]) -> "Run":
    """The run in a folder, or in a file that `seqgen export` wrote (FILE.safetensors). No weights are read yet.

    Raises UsageError where there is none, SeqgenError where the file is damaged.
    """
    path = Path(path)
    if path.is_file() or path.suffix == EXPORTED:
        from seqgen_core.exporting.weights_file import open_export

        return Run(open_export(path))
    return Run(RunFolder.open(path))


class Run:
    """A trained run.

    path: its folder or file. settings: everything it was trained with. folder: the run folder with its checkpoints and
    metrics; None for an exported file.
    """

    def __init__(self, source: Source) -> None:
        self.path = source.path
        self.settings: RunSettings = source.settings
        self.folder: RunFolder | None = source if isinstance(source, RunFolder) else None
        self._source = source
        self._data: PreparedData | None = None
        self._loaded: dict[tuple[int | str, bool, str], tuple[CausalModel, int]] = {}

    @property
    def name(self) -> str:
        """What the run is called: its folder's name, also where it was exported since."""
        name = getattr(self._source, "name", "") or self.path.resolve().name
        return name.encode("utf-8", "backslashreplace").decode()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.settings.model.kind} on {self.settings.data.codec})"

    def model(
        self,
        which: str = "best",
        *,
        ema: bool = True,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> tuple[CausalModel, int]:
        """The model of a checkpoint (best, last or a step), in evaluation mode, and its step.

        ema: take the moving average of the weights where there is one. device: a torch device, or auto. The newest
        model asked for is kept, and given again while it is the one that is wanted.
        Raises UsageError where there is no such checkpoint or device, SeqgenError where it is damaged.
        """
        device = choose_device(device) if isinstance(device, str) else device
        key = (which if self.folder is None else self.folder.choose(which), ema, str(device))
        if key not in self._loaded:
            self._loaded.clear()
            self._loaded[key] = self._source.model(which, ema=ema, device=device, progress=progress)
        return self._loaded[key]

    def averaged(self, step: int, *, ema: bool = True) -> bool:
        """Whether the weights that `model` gives for a step are their moving average, which `ema` asks for."""
        from seqgen_core.exporting.weights_file import Exported, averaged

        return isinstance(self._source, RunFolder | Exported) and averaged(self._source, step, ema)

    def data(self, progress: Progress | None = None) -> PreparedData:
        """The prepared data that the run was trained on; progress hears a warning where they have changed since.

        Raises SeqgenError where they are gone or no longer fit, UsageError for a run that knows none.
        """
        if self._data is None:
            self._data = open_run_data(self.path, self.settings, progress or Silent())
        return self._data

    def generate(
        self, settings: GenerateSettings | None = None, *, progress: Progress | None = None, **changes: Any
    ) -> Generation:
        """Draw clips and keep them; changes are fields of GenerateSettings, such as count=4 or temperature=0.9.

        Raises UsageError for settings that cannot be meant, SeqgenError where the work fails.
        """
        return self.draw(settings, progress=progress, **changes).all()

    def draw(
        self, settings: GenerateSettings | None = None, *, progress: Progress | None = None, **changes: Any
    ) -> Drawing:
        """What `generate` draws, but clip by clip: iterate over it, write it, or stream it. Raises as `generate`."""
        return prepare_drawing(self, changed(GenerateSettings, settings, changes), progress or Silent())

    def evaluate(
        self,
        settings: EvaluateSettings | None = None,
        *,
        files: Sequence[str | os.PathLike[str]] = (),
        label: str | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Evaluation:
        """Score a split of the data, or files (whose class is `label`), in bits per token.

        changes are fields of EvaluateSettings, such as split="valid". Raises UsageError for what cannot be meant,
        SeqgenError where data or files are of no use.
        """
        settings, progress = changed(EvaluateSettings, settings, changes), progress or Silent()
        if label is not None and not files:
            raise UsageError(
                f"--label {label} is of files; the recordings of a split have their own labels.",
                hint="Leave it out, or name files.",
            )
        model, _ = self.model(settings.checkpoint, ema=settings.ema, device=settings.device, progress=progress)
        if files:
            number = class_number(label, self.path, self.settings, needed=True)
            recordings = likelihood.file_recordings([Path(file) for file in files], self.settings.data, number)
        else:
            data = self.data(progress)
            data.verify(settings.split)
            recordings = likelihood.split_recordings(data, settings.split)
        threads = torch.get_num_threads()
        use_threads(settings.threads)
        try:
            with memory_guard("Lower evaluate.chunk or evaluate.batch_size."):
                return likelihood.evaluate(
                    model, recordings, chunk=settings.chunk, batch_size=settings.batch_size, progress=progress
                )
        finally:
            torch.set_num_threads(threads)
