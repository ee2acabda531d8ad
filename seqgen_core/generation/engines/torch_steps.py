"""The torch engine: a step program by torch operations on any device, captured in CUDA graphs where there are such.

On CUDA the operations that are due at a token, and the sampling behind them, become one CUDA graph, one for each set of
operations that fall due together; then a token costs one call. Within a block of tokens nothing is read back from the
device: uniforms are put there beforehand, tokens and bits gather there and are copied once. A set runs as it is when it
is first met, which loads its kernels, and is captured when it is met again.
Capturing is tested where there is a CUDA device; its speed has not been measured on one yet.
Axes: B clips, N tokens of a block, F features.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines.torch_buffers import Buffers
from seqgen_core.generation.engines.torch_lowering import Lowering
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.steps.program import Start, StepProgram

BLOCK = 1024
"""Tokens of a clip that are drawn before they are copied from the device, at most."""
HEARD_NUMBERS = 2**24
"""Outputs that gather on the device before they are copied, at most, where given tokens are scored."""
LONGEST_PERIOD = 2**16
"""Tokens after which the same operations are due again, up to which what is due is remembered."""

Mode = Literal["draw", "score"]
Due = tuple[int, ...]
"""Places in the program of the operations that are due at a token."""


def problem(device: torch.device) -> str | None:
    """Why the engine cannot work on a device, in a few words; None where it does."""
    if device.type == "cuda" and not torch.cuda.is_available():
        return "there is no CUDA device"
    return None


class TorchEngine:
    """Steps and samples B clips of one program at once, by torch operations on a device, in float32.

    A clip's tokens do not depend on the other clips, but for rounding.
    """

    name = "torch"

    def __init__(self, program: StepProgram, clips: int, filters: Filters, device: torch.device | None = None) -> None:
        self.program, self.clips, self.filters = program, clips, filters
        self.device = device or torch.device("cpu")
        self._buffers = Buffers(program, clips, self.device)
        self._lowering = Lowering(self._buffers)
        self._most = {"draw": BLOCK, "score": max(1, min(BLOCK, HEARD_NUMBERS // (clips * program.head.size)))}
        fine = torch.float32 if self.device.type == "mps" else torch.float64  # MPS has no float64
        self._counter = self._buffers.whole([0])  # of this block's tokens
        self._uniforms = torch.zeros(clips, BLOCK, program.head.draws, dtype=fine, device=self.device)
        self._told = torch.zeros(clips, BLOCK, program.features, device=self.device)
        self._tokens = torch.zeros(clips, BLOCK, *program.tokens.shape, dtype=torch.int64, device=self.device)
        self._bits = torch.zeros(clips, BLOCK, dtype=fine, device=self.device)
        self._heard = torch.zeros(clips, 0, program.head.size, device=self.device)
        self._period = math.lcm(*(operation.every for operation in program.operations))
        self._due_at: dict[int, Due] = {}
        self._steps: dict[Due, Callable[[], None]] = {}
        self._runs: dict[tuple[Due | None, Mode], Callable[[], None]] = {}
        self._clock, self._pending = 0, False
        self._capture = _Capture(self.device) if self.device.type == "cuda" else None

    @torch.inference_mode()
    def begin(self, start: Start, outputs: Tensor) -> None:
        """Take over after a prime: its state, and the outputs (B, head.size) that predict the next token."""
        self._buffers.begin(start, outputs)
        self._clock, self._pending = self.program.clock(start), False

    def draw(self, uniforms: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw N tokens of every clip by uniforms float64 (B, N, draws): int64 (B, N, *shape), and bits (B, N).

        told: features float32 (B, N, F) of these steps; those of step n tell of the token drawn at step n.
        Raises SeqgenError or ShapeError where outputs are not finite.
        """
        tokens, bits, _ = self._run("draw", uniforms, told)
        if not np.isfinite(bits).all():  # no drawn token is impossible
            raise SeqgenError("The model's outputs are not finite.", hint="Take an earlier checkpoint.")
        return tokens, bits

    def score(self, forced: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Hear given tokens int64 (B, N, *shape): outputs float32 (B, N, head.size) that predicted them; bits (B, N).

        told: as for `draw`.
        """
        if not self._heard.shape[1]:
            self._heard = self._heard.new_zeros(self.clips, self._most["score"], self.program.head.size)
        _, bits, heard = self._run("score", forced, told)
        return heard, bits

    @torch.inference_mode()
    def _run(self, mode: Mode, given: np.ndarray, told: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """given: the uniforms, or the tokens to hear. Returns tokens, bits and, when scoring, outputs."""
        source = self._uniforms if mode == "draw" else self._tokens
        heard = self._heard if mode == "score" else self._heard[:, :0]
        pieces: list[list[np.ndarray]] = [[], [], []]
        for first in range(0, given.shape[1], self._most[mode]):
            block = slice(first, first + self._most[mode])
            count = given[:, block].shape[1]
            source[:, :count].copy_(torch.from_numpy(np.ascontiguousarray(given[:, block])))
            if told is not None:
                self._told[:, :count].copy_(torch.from_numpy(np.ascontiguousarray(told[:, block])))
            self._counter.zero_()
            for _ in range(count):
                self._advance(mode)
            for gathered, buffer in zip(pieces, (self._tokens, self._bits, heard), strict=True):
                gathered.append(buffer[:, :count].cpu().numpy().copy())
        tokens, bits, outputs = (np.concatenate(gathered, axis=1) for gathered in pieces)
        return tokens, bits.astype(np.float64), outputs

    def _advance(self, mode: Mode) -> None:
        due = None
        if self._pending:
            due = self._due(self._clock % self._period)
            self._clock += 1
        if (due, mode) not in self._runs:
            run = self._token(due, mode)
            self._runs[due, mode] = run if self._capture is None else self._capture.of(run)
        self._pending = True
        self._runs[due, mode]()

    def _due(self, phase: int) -> Due:
        if phase in self._due_at:
            return self._due_at[phase]
        operations = enumerate(self.program.operations)
        due = tuple(place for place, operation in operations if phase % operation.every == operation.at)
        if self._period <= LONGEST_PERIOD:
            self._due_at[phase] = due
        return due

    def _token(self, due: Due | None, mode: Mode) -> Callable[[], None]:
        """One token: the operations that are due, if a token was heard before, and then drawing or hearing the next."""
        if due is None:
            return lambda: self._sample(mode)
        if due not in self._steps:
            self._steps[due] = self._lowering.step(due)
        step = self._steps[due]

        def token() -> None:
            self._buffers.told.copy_(self._told.index_select(1, self._counter)[:, 0])
            step()
            self._sample(mode)

        return token

    def _sample(self, mode: Mode) -> None:
        head, filters, place = self.program.head, self.filters, self._counter
        outputs = self._buffers.newest(self.program.outputs)
        if mode == "draw":
            tokens = head.sample(
                outputs,
                self._uniforms.index_select(1, place)[:, 0],
                temperature=filters.temperature,
                top_k=filters.top_k,
                top_p=filters.top_p,
            )
            self._tokens.index_copy_(1, place, tokens[:, None])
        else:
            tokens = self._tokens.index_select(1, place)[:, 0]
            self._heard.index_copy_(1, place, outputs[:, None])
        self._bits.index_copy_(1, place, head.bits(outputs, tokens).to(self._bits)[:, None])
        self._buffers.hear(tokens)
        place.add_(1)


class _Capture:
    """CUDA graphs that share one pool of memory and one stream; no graph leaves anything in the pool for another."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def of(self, run: Callable[[], None]) -> Callable[[], None]:
        """A function that runs as it is the first time, and from the second time on as a graph."""
        graph: torch.cuda.CUDAGraph | None = None
        met = False

        def captured() -> None:
            nonlocal graph, met
            if not met:
                met = True
                here = torch.cuda.current_stream(self._device)
                self._stream.wait_stream(here)
                with torch.cuda.stream(self._stream):
                    run()
                here.wait_stream(self._stream)
                return
            if graph is None:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.device(self._device), torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    run()
            graph.replay()

        return captured
