"""What the slots of a step program hold before the first token, as numbers for a file.

Axes: B batch, C channels, P values kept, K taps.
"""

import numpy as np
import torch

from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition
from seqgen_core.models.steps.program import Slot, Start, StepProgram, begin_slot, writes
from seqgen_core.models.tokens import NOTHING


class Beginning:
    """Where a program begins, from nothing.

    waits: the program is of later tokens than an image's first, so that token is heard here. outputs (classes or 1,
    head.size) are those after it. constant: slots that are never written; they may depend on the label.
    """

    def __init__(self, model: CausalModel, program: StepProgram) -> None:
        self.program, self.classes, self.waits = program, model.classes, model.longest is not None
        labels = torch.arange(model.classes) if model.classes else None
        count = max(1, model.classes) if self.waits else 1
        state, self.outputs = model.initial_state(count), np.zeros((1, model.head.size), np.float32)
        if self.waits:
            with torch.no_grad():
                first = torch.zeros(count, 1, *model.tokens.shape, dtype=torch.int64)
                outputs, state = model.advance(first, state, Condition(labels))
            self.outputs = outputs[:, -1].float().numpy()
        self._start = Start(state, labels if self.waits or labels is None else labels[:1])
        self._each_class = Start(state, labels)
        self._found: dict[Slot, np.ndarray] = {}
        self.clock = program.clock(self._start)
        written = {slot for operation in program.operations for slot in writes(operation)}
        self.constant = {slot for slot in program.slots if slot not in written}

    @property
    def codes(self) -> np.ndarray:
        """Newest tokens before the first, int64 (1, K - 1)."""
        codes = np.full((1, self.program.taps - 1), NOTHING, np.int64)
        if self.program.codes is not None and codes.size:
            before = self.program.codes(self._start)[:1].numpy().reshape(1, -1)[:, -codes.shape[1] :]
            codes[:, codes.shape[1] - before.shape[1] :] = before
        return codes

    def values(self, slot: Slot) -> np.ndarray:
        """A slot's values for each class, one below the other: (classes, P C), or (1, P C) where they are the same."""
        if slot not in self._found:
            if slot in self.constant and slot.begin is not None:
                with torch.no_grad():
                    values = slot.begin(self._each_class).float().transpose(1, 2)  # (classes, 1, C)
            else:
                values = begin_slot(slot, self.program.slots[slot], self._start, len(self._start.state[0]))
            found = values.detach().flatten(1).numpy()
            self._found[slot] = found[:1] if (found == found[:1]).all() else found
        return self._found[slot]
