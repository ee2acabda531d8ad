"""What a run writes down while it trains: metrics.jsonl always, TensorBoard events where wanted."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any

import torch

from seqgen_core.models.base import CausalModel
from seqgen_core.previews import Preview
from seqgen_core.runs import RunFolder


class Journal:
    """Writes figures, sounds and histograms of one run. Use as a context manager.

    from_step: steps after this one are about to be trained (again); what was logged of them is dropped.
    """

    def __init__(self, run: RunFolder, from_step: int, *, tensorboard: bool) -> None:
        self._run = run
        run.forget_metrics_after(from_step)
        self._events: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and not always wanted

            self._events = SummaryWriter(str(run.path / "tensorboard"), purge_step=from_step + 1)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()

    def figures(self, kind: str, step: int, **values: float) -> None:
        """One line of figures: kind is train or valid."""
        self._run.log({"step": step, "kind": kind, **{name: _rounded(value) for name, value in values.items()}})
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def previews(self, step: int, previews: Iterable[Preview]) -> None:
        """Clips to hear, see or read in TensorBoard."""
        if self._events is None:
            return
        for shown in previews:
            if shown.kind == "sound":
                self._events.add_audio(shown.name, torch.from_numpy(shown.value)[None], step, sample_rate=shown.rate)
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
                    self._events.add_histogram(f"{sort}/{name}", tensor.float().cpu(), step)
        self._run.log({"step": step, "kind": "stats", "norms": norms})


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
