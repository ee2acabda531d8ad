"""The floor of a step: its matrix-vector products alone, at the speed of the machine."""

import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from seqgen_core.generation.engines.cpu.layout import FORMATS, SLACK, Kind, Op, lay_out
from seqgen_core.generation.engines.cpu.operations import multiply
from seqgen_core.models.steps.program import Rows, StepProgram

EVERY, ROWS, COLUMNS = int(Op.EVERY), int(Op.ROWS), int(Op.COLUMNS)
KIND, WIDTH, ROW = int(Op.KIND), int(Op.WIDTH), int(Kind.ROW)


def weights_read(program: StepProgram, clips: int) -> float:
    """Weights that are read for one token of one clip, averaged over the clock.

    One reading of a layer's serves all clips, and one of a layer over a row of pixels serves that row.
    """
    rows = sum(op.weight.numel() / op.every for op in program.operations if isinstance(op, Rows))
    return rows + sum(op.weight.numel() / op.every for op in program.layers() if op.weight is not None) / clips


class Products:
    """All products of a program's steps over its own weights, as they lie for the cpu engine, and nothing else.

    No inputs are gathered, nothing is activated or sampled, and threads do not wait for each other between products.
    """

    def __init__(self, program: StepProgram, clips: int, threads: int, weights: str, period: int) -> None:
        self.clips, self._block = clips, period
        self._layout, self._form = lay_out(program, clips, threads, weights), FORMATS[weights]
        operations = self._layout.operations
        self._tables = [operations[thread, operations[thread, :, COLUMNS] > 0] for thread in range(threads)]
        self._countdowns = [table[:, Op.AT].copy() for table in self._tables]
        rng = np.random.default_rng(0)
        tables = np.concatenate(self._tables)
        vectors = np.where(tables[:, KIND] == ROW, tables[:, WIDTH], clips)
        inputs, outputs = np.max(vectors * tables[:, COLUMNS]), np.max(vectors * (tables[:, ROWS] + SLACK))
        self._inputs = [rng.standard_normal(inputs).astype(np.float32) for _ in range(threads)]
        self._outputs = [np.zeros(outputs, np.float32) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._run(1)  # compiles
        self._countdowns = [table[:, Op.AT].copy() for table in self._tables]

    def rate(self, seconds: float) -> float:
        """Tokens per second of all clips, as if the products were all there is to draw one; over whole periods."""
        passed, steps = 0.0, 0
        while passed < seconds:
            took = self._run(self._block)
            passed, steps = passed + took, steps + self._block
            if took < seconds / 10:
                self._block *= 2
        return steps * self.clips / passed

    def _run(self, steps: int) -> float:
        threads, started = len(self._tables), time.perf_counter()
        others = [self._pool.submit(self._work, thread, steps) for thread in range(1, threads)] if self._pool else []
        self._work(0, steps)
        for other in others:
            other.result()
        return time.perf_counter() - started

    def _work(self, thread: int, steps: int) -> None:
        _multiply(
            self._tables[thread],
            self._layout.panels,
            self._countdowns[thread],
            self._form,
            self.clips,
            self._layout.weights.ctypes.data,
            self._inputs[thread],
            self._outputs[thread],
            steps,
        )


@numba.njit(nogil=True, error_model="numpy")
def _multiply(operations, panels, countdowns, form, clips, weights, inputs, outputs, steps):
    heard, made = inputs.ctypes.data, outputs.ctypes.data
    for _ in range(steps):
        for number in range(operations.shape[0]):
            if countdowns[number] > 0:
                countdowns[number] -= 1
                continue
            op = operations[number]
            countdowns[number] = op[EVERY] - 1
            columns, room = op[COLUMNS], op[ROWS] + SLACK
            vectors, times = (op[WIDTH], clips) if op[KIND] == ROW else (clips, 1)
            for _ in range(times):
                multiply(op, panels, form, vectors, weights, heard, made, columns, room)
