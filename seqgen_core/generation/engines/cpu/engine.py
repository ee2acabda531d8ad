"""The CPU engine: a step program laid out in memory, the state of its clips, and blocks of tokens drawn from it.

Axes: B clips, N tokens of a block, F features.
"""

import contextlib
import signal
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from torch import Tensor

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines.cpu import interpreter, sampling
from seqgen_core.generation.engines.cpu.layout import FORMATS, Op, aligned, lay_out
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.heads import BernoulliHead, LogisticMixtureHead
from seqgen_core.models.steps.program import Start, StepProgram, begin_slot
from seqgen_core.models.tokens import NOTHING
from seqgen_core.progress import Progress, Silent

PATIENCE = 1.5
"""Seconds after which a wait for the compiled loop is explained."""


class CpuEngine:
    """Steps and samples B clips of one program at once.

    threads: that share each operation's channels. weights: fp32 (exact), bf16 or int8. progress: hears of it where the
    loop has to be compiled, which happens once on a machine.
    A clip's tokens do not depend on the other clips or on the number of threads.
    """

    name = "cpu"

    def __init__(
        self,
        program: StepProgram,
        clips: int,
        filters: Filters,
        *,
        threads: int = 1,
        weights: str = "fp32",
        progress: Progress | None = None,
    ) -> None:
        self.progress = progress or Silent()
        self.program, self.clips, self.threads = program, clips, threads
        self.layout = lay_out(program, clips, threads, weights)
        self._form = FORMATS[weights]
        places, head = max(1, int(np.prod(program.tokens.shape))), program.head
        kind = sampling.CATEGORICAL
        if isinstance(head, BernoulliHead):
            kind = sampling.BERNOULLI
        elif isinstance(head, LogisticMixtureHead):
            kind = sampling.MIXTURE
        mixtures = head.mixtures if isinstance(head, LogisticMixtureHead) else 0
        self._sampler = np.array([kind, program.tokens.values, filters.top_k, mixtures], np.int64)
        self._bends = np.array([filters.temperature, filters.top_p], np.float64)
        self._work = np.zeros((clips, sampling.room(kind, head.size, program.tokens.values)))
        self._codes = np.full((clips, program.taps, places), NOTHING, np.int64)
        self._scratch = [aligned(self.layout.scratch) for _ in range(threads)]
        self._store = aligned(self.layout.values)
        self._control = np.zeros(interpreter.CONTROL_SIZE, np.int64)
        self._positions = [np.zeros(0, np.int64)] * threads
        self._countdowns = self._positions
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._outputs = self.layout.order.index(program.outputs)

    def begin(self, start: Start, outputs: Tensor) -> None:
        """Take over after a prime: its state, and the outputs (B, head.size) that predict the next token."""
        program, layout = self.program, self.layout
        if not interpreter.compiled().signatures:
            with _told_of(self.progress), _stopped_afterwards(), contextlib.suppress(OSError):  # a full disk: not kept
                self.draw(np.zeros((self.clips, 0, program.head.draws)))
        for number, (slot, kept) in enumerate(zip(layout.order, layout.kept, strict=True)):
            self._values(number)[:, :kept] = begin_slot(slot, kept, start, self.clips).numpy()
        self._values(self._outputs)[:, layout.kept[self._outputs] - 1] = outputs.detach().float().cpu().numpy()
        self._positions = [np.array(layout.kept) - 1 for _ in range(self.threads)]
        clock = program.clock(start)
        self._countdowns = [
            (layout.operations[thread, :, Op.AT] - clock) % layout.operations[thread, :, Op.EVERY]
            for thread in range(self.threads)
        ]
        self._codes[:] = NOTHING
        if program.codes is not None:
            before = program.codes(start).cpu().numpy()[:, -program.taps :]
            before = before.reshape(self.clips, before.shape[1], self._codes.shape[2])
            self._codes[:, program.taps - before.shape[1] :] = before
        self._control[:] = 0
        self._control[interpreter.NEWEST_CODE] = program.taps - 1

    def _values(self, slot: int) -> np.ndarray:
        """All values of a slot (B, values that fit, channels), to look at and to change."""
        place, channels, fits, _ = self.layout.slots[slot].tolist()
        return self._store[place : place + self.clips * fits * channels].reshape(self.clips, fits, channels)

    def draw(self, uniforms: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw N tokens of every clip by uniforms float64 (B, N, draws): int64 (B, N, *shape), and bits (B, N).

        told: features float32 (B, N, F) of these steps; those of step n tell of the token drawn at step n.
        Raises SeqgenError where outputs are not finite.
        """
        return self._run(uniforms.shape[1], uniforms, None, told, hear=False)[:2]

    def score(self, forced: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Hear given tokens int64 (B, N, *shape): outputs float32 (B, N, head.size) that predict them, bits (B, N)."""
        _, bits, heard = self._run(forced.shape[1], None, forced, told, hear=True)
        return heard, bits

    def _run(
        self, steps: int, uniforms: np.ndarray | None, forced: np.ndarray | None, told: np.ndarray | None, hear: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        clips, places, size = self.clips, self._codes.shape[2], self.program.head.size
        tokens, bits = np.zeros((clips, steps, places), np.int64), np.zeros((clips, steps))
        heard = np.zeros((clips, steps if hear else 0, size), np.float32)
        given = np.zeros((clips, 0, places), np.int64)
        if forced is not None:
            given = np.ascontiguousarray(forced, np.int64).reshape(clips, steps, places)
        drawn = np.zeros((clips, 0, 1)) if uniforms is None else np.ascontiguousarray(uniforms, np.float64)
        features = np.zeros((clips, 0, 0), np.float32) if told is None else np.ascontiguousarray(told, np.float32)
        self._control[interpreter.ARRIVALS] = 0
        layout, run = self.layout, interpreter.compiled()

        def work(thread: int) -> None:
            run(
                layout.operations[thread],
                layout.sources,
                layout.slots,
                layout.panels,
                self._positions[thread],
                self._countdowns[thread],
                self._store,
                layout.constants,
                layout.weights.ctypes.data,
                self._form,
                layout.columns,
                self._scratch[thread],
                self._codes,
                features,
                drawn,
                given,
                self._outputs,
                heard,
                tokens,
                bits,
                self._sampler,
                self._bends,
                self._work,
                self._control,
                thread,
                self.threads,
                steps,
            )

        try:
            others = [self._pool.submit(work, thread) for thread in range(1, self.threads)] if self._pool else []
            work(0)
            for other in others:
                other.result()
        except BaseException:  # such as Ctrl-C while the others are started: they would wait for this one for ever
            self._control[interpreter.STOPPED] = 1
            self._control[interpreter.ARRIVALS] = interpreter.ALL_HAVE_ARRIVED
            raise
        if self._control[interpreter.STOPPED]:
            raise SeqgenError(
                "The model's outputs are not finite.", hint="Take an earlier checkpoint, or --weights fp32."
            )
        shape = self.program.tokens.shape
        return tokens.reshape(clips, steps, *shape), bits, heard


@contextlib.contextmanager
def _told_of(progress: Progress) -> Generator[None]:
    """Say what is waited for where reading the loop from the cache takes too long to be only that."""
    line = "compiling the sampling loop: once on a machine, ten seconds to a minute"
    timer = threading.Timer(PATIENCE, progress.say, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _stopped_afterwards() -> Generator[None]:
    """Let Ctrl-C be heard at the end: while LLVM compiles, its callbacks into Python would swallow it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if heard:
        raise KeyboardInterrupt
