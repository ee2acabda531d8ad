"""A model that is fed a clip: what every engine that takes over after a prime is compared with."""

import copy

import numpy as np
import torch

from seqgen_core.generation.engines.base import Engine
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition
from seqgen_core.models.steps.program import Start
from seqgen_core.models.tokens import random_tokens


class Fed:
    """A model fed with a clip: where it stood after a prime, and its outputs from there on."""

    def __init__(self, model: CausalModel, batch: int, prime: int, steps: int) -> None:
        total = prime + steps if model.longest is None else min(prime + steps, model.longest)
        prime = min(prime, total - 1)
        tokens = random_tokens(model.tokens, batch, total)
        labels = torch.randint(model.classes, (batch,)) if model.classes else None
        features = torch.randn(batch, total, model.local_features) if model.local_features else None
        condition = Condition(labels, features)
        with torch.inference_mode():
            before, state = model.advance(tokens[:, :prime], model.initial_state(batch), condition.stretch(0, prime))
            self.start = Start([kept.clone() for kept in state], condition.labels)
            after, _ = model.advance(tokens[:, prime:], state, condition.stretch(prime, total))
        self.outputs = before[:, -1]
        self.forced = tokens[:, prime:].numpy()
        self.told = None
        if condition.features is not None:  # those of a token come with the step that hears the token
            told = condition.features[:, prime - 1 : -1]
            self.told = told.numpy()
        self.expected = torch.cat([before[:, -1:], after[:, :-1]], dim=1)

    def clip(self, clip: int) -> "Fed":
        """One clip alone, as handed over by the same prime."""
        alone = copy.copy(self)
        labels = None if self.start.labels is None else self.start.labels[clip : clip + 1]
        alone.start = Start([kept[clip : clip + 1] for kept in self.start.state], labels)
        alone.outputs, alone.forced = self.outputs[clip : clip + 1], self.forced[clip : clip + 1]
        alone.told = None if self.told is None else self.told[clip : clip + 1]
        return alone

    def score(self, engine: Engine) -> np.ndarray:
        engine.begin(self.start, self.outputs)
        return engine.score(self.forced, self.told)[0]
