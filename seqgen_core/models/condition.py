"""Condition: what a model is told besides the tokens themselves, for a whole batch.

Axes: B batch, T time in tokens, F features per token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgen_core.errors import ShapeError
from seqgen_core.models.tokens import check_codes


@dataclass(frozen=True)
class Condition:
    """labels: int64 (B,), a class for each clip. features: (B, T, F); features[:, t] tell of the token after token t.

    Each is None where the model does not ask for it.
    """

    labels: Tensor | None = None
    features: Tensor | None = None

    def stretch(self, first: int, stop: int) -> "Condition":
        """The condition of tokens first to stop - 1."""
        return Condition(self.labels, None if self.features is None else self.features[:, first:stop])

    def rows(self, rows: Sequence[int] | slice) -> "Condition":
        """The condition of some clips of the batch."""
        return Condition(
            None if self.labels is None else self.labels[rows],
            None if self.features is None else self.features[rows],
        )

    def check(self, batch: int, steps: int, classes: int, features: int) -> None:
        """Raise ShapeError unless this fits a model of so many classes and features, and a batch of (B, T) tokens."""
        if self.labels is None and classes:
            raise ShapeError(f"no labels for a model of {classes} classes; wanted int64 ({batch},)")
        if self.labels is not None:
            if not classes:
                raise ShapeError(f"labels {tuple(self.labels.shape)} for a model without classes; wanted None")
            if self.labels.shape != (batch,) or self.labels.dtype != torch.int64:
                raise ShapeError(f"labels {tuple(self.labels.shape)} of {self.labels.dtype}; wanted int64 ({batch},)")
            check_codes("labels", self.labels, classes)
        wanted = (batch, steps, features)
        if self.features is None and features:
            raise ShapeError(f"no features for a model of {features} features per token; wanted {wanted}")
        if self.features is not None and (not features or self.features.shape != wanted):
            raise ShapeError(f"features {tuple(self.features.shape)}; wanted {wanted if features else None}")


NO_CONDITION = Condition()
