"""The plain engine: one call of the model's `advance` for every token, on any device; the judge of the others."""

import numpy as np
import torch
from torch import Tensor

from seqgen_core.devices import stepping_threads
from seqgen_core.errors import SeqgenError
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.models.condition import Condition
from seqgen_core.models.steps.program import Start


class EagerEngine:
    """Steps a model as it is, sampling by its head. threads: CPU threads; 0 takes what is quickest for the batch."""

    name = "torch"

    def __init__(self, model: CausalModel, filters: Filters, threads: int = 0) -> None:
        self.model, self.filters, self.threads = model, filters, threads
        weight = next(model.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        self._state: list[Tensor] = []
        self._labels: Tensor | None = None
        self._outputs = weight.new_zeros(0)
        self._pending: Tensor | None = None

    def begin(self, start: Start, outputs: Tensor) -> None:
        """Take over after a prime: its state, and the outputs (B, head.size) that predict the next token."""
        self._state, self._labels, self._outputs, self._pending = start.state, start.labels, outputs, None

    @torch.inference_mode()
    def draw(self, uniforms: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw tokens by uniforms float64 (B, N, draws): int64 (B, N, *shape), and bits float64 (B, N).

        Raises SeqgenError where outputs are not finite.
        """
        head, filters = self.model.head, self.filters
        # MPS has no float64; float32 holds a uniform to 2^-24, far finer than any token's share
        narrow = torch.float32 if self._device.type == "mps" else None
        block = torch.from_numpy(uniforms).to(self._device, narrow)
        tokens, bits = [], []
        with stepping_threads(self._device, len(uniforms), self.threads):
            for place in range(uniforms.shape[1]):
                self._step(told, place)
                if self._device.type == "cpu" and bool(self._outputs.isnan().any()):
                    raise SeqgenError("The model's outputs are not finite.", hint="Take an earlier checkpoint.")
                drawn = head.sample(
                    self._outputs,
                    block[:, place],
                    temperature=filters.temperature,
                    top_k=filters.top_k,
                    top_p=filters.top_p,
                )
                tokens.append(drawn)
                bits.append(head.bits(self._outputs, drawn))
                self._pending = drawn
        return torch.stack(tokens, dim=1).cpu().numpy(), torch.stack(bits, dim=1).cpu().double().numpy()

    @torch.inference_mode()
    def score(self, forced: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Hear given tokens: outputs float32 (B, N, head.size) that predicted them, bits float64 (B, N)."""
        given = torch.from_numpy(forced).to(self._device)
        outputs, bits = [], []
        with stepping_threads(self._device, len(forced), self.threads):
            for place in range(forced.shape[1]):
                self._step(told, place)
                self._pending = given[:, place]
                outputs.append(self._outputs)
                bits.append(self.model.head.bits(self._outputs, self._pending))
        return torch.stack(outputs, dim=1).float().cpu().numpy(), torch.stack(bits, dim=1).cpu().double().numpy()

    def _step(self, told: np.ndarray | None, place: int) -> None:
        if self._pending is None:
            return
        features = None
        if told is not None:
            features = torch.from_numpy(told[:, place : place + 1]).to(self._device, self._dtype)
        condition = Condition(self._labels, features)
        outputs, self._state = self.model.advance(self._pending[:, None], self._state, condition)
        self._outputs = outputs[:, -1]
