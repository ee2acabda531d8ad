"""What a run writes down while it trains: metrics.jsonl always, TensorBoard events where wanted."""

import contextlib
import threading
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any

import torch

from seqgen_core.files import is_full
from seqgen_core.models.base import CausalModel
from seqgen_core.previews import Preview
from seqgen_core.runs import RunFolder


class Journal:
    """Writes figures, sounds and histograms of one run. Use as a context manager.

    from_step: steps after this one are about to be trained (again); what was logged of them is dropped.
    Raises SeqgenError where the disk is full, from any of its methods.
    """

    def __init__(self, run: RunFolder, from_step: int, *, tensorboard: bool) -> None:
        self._run = run
        # A kill between the line of a validation and its checkpoint leaves an older checkpoint of the same step.
        validated = run.account("last").get("validated_step", from_step) if run.steps() else from_step
        run.forget_metrics_after(from_step, validated=validated == from_step)
        self._events: Any = None
        self._full: OSError | None = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and not always wanted

            with self._events_told():
                self._events = SummaryWriter(str(run.path / "tensorboard"), purge_step=from_step + 1)

    def __enter__(self) -> "Journal":
        self._hook_before = threading.excepthook
        threading.excepthook = self._failed_thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._events is not None:
                with self._events_told():
                    self._events.close()
        finally:
            threading.excepthook = self._hook_before
        if self._full is not None and value is None:
            with self._events_told():
                raise self._full

    def _failed_thread(self, failure: threading.ExceptHookArgs) -> None:
        """TensorBoard's own thread finds the disk full: that is told once and in words, by what is written next."""
        if isinstance(failure.exc_value, OSError) and is_full(failure.exc_value):
            self._full = failure.exc_value
        else:
            self._hook_before(failure)

    @contextlib.contextmanager
    def _events_told(self) -> Generator[None]:
        with self._run.told_when_full(self._run.path / "tensorboard"):
            yield

    def figures(self, kind: str, step: int, **values: float) -> None:
        """One line of figures: kind is train or valid."""
        self._run.log({"step": step, "kind": kind, **{name: _rounded(value) for name, value in values.items()}})
        if self._events is not None:
            with self._events_told():
                for name, value in values.items():
                    self._events.add_scalar(f"{kind}/{name}", value, step)

    def previews(self, step: int, previews: Iterable[Preview]) -> None:
        """Clips to hear, see or read in TensorBoard."""
        if self._events is None:
            return
        for shown in previews:
            with self._events_told():
                if shown.kind == "sound":
                    sound = torch.from_numpy(shown.value)[None]
                    self._events.add_audio(shown.name, sound, step, sample_rate=shown.rate)
                elif shown.kind == "image":
                    self._events.add_image(shown.name, shown.value, step, dataformats="HWC")
                else:
                    self._events.add_text(shown.name, shown.value, step)

    def histograms(self, step: int, model: CausalModel) -> None:
        """Norms and histograms of every weight and of its latest gradient."""
        norms = {}
        for name, parameter in model.named_parameters():
            for sort, tensor in (("weight", parameter.detach()), ("gradient", parameter.grad)):
                if tensor is None or not torch.isfinite(tensor).all():
                    continue
                norms[f"{sort}/{name}"] = _rounded(float(tensor.norm()))
                if self._events is not None:
                    with self._events_told():
                        self._events.add_histogram(f"{sort}/{name}", tensor.float().cpu(), step)
        self._run.log({"step": step, "kind": "stats", "norms": norms})


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
