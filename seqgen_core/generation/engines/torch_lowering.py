"""The operations of step programs as torch operations on buffers that stay where they are.

Axes: B clips, C channels, R rows, K taps, V token values, E numbers read or written in rings at one token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines.torch_buffers import Buffers, Compute, Put, Windows
from seqgen_core.models.steps.program import (
    LEAK,
    Activation,
    Clear,
    Gru,
    Hear,
    Layer,
    Lstm,
    Operation,
    Rows,
    Tell,
    Turn,
    writes,
)

Run = Callable[[Tensor], object]
"""An operation, given the places (E,) of this token."""


def values_made(operation: Operation) -> int:
    """By how many values the slots that an operation writes move on."""
    return operation.columns if isinstance(operation, Rows) else 0 if isinstance(operation, Clear) else 1


class Lowering:
    """Functions that run operations of a program on its buffers. A layer's weights are put on the device once."""

    def __init__(self, buffers: Buffers) -> None:
        self.buffers = buffers
        self._ready: dict[Layer, _Ready] = {}

    def step(self, due: Sequence[int]) -> Callable[[], None]:
        """The operations at these places of the program, in this order, as one function.

        Raises SeqgenError where one is of a sort that is not known here.
        """
        windows = Windows(self.buffers)
        runs: list[Run] = []
        for place in due:
            operation = self.buffers.program.operations[place]
            runs.append(self._operation(operation, windows))
            for slot in writes(operation):
                windows.moves[slot] += values_made(operation)
        places, moved = windows.places(), self.buffers.whole([windows.moves[slot] for slot in self.buffers.slots])

        def step() -> None:
            found = places()
            for run in runs:
                run(found)
            self.buffers.positions.add_(moved).remainder_(self.buffers.kept)

        return step

    def _operation(self, operation: Operation, windows: Windows) -> Run:
        if isinstance(operation, Clear):
            number = self.buffers.number[operation.out]
            ring = self.buffers.store[:, self.buffers.place[number] : self.buffers.place[number + 1]]
            return lambda found: ring.zero_()
        put = windows.writer(operation.out, values_made(operation))
        if isinstance(operation, Lstm):
            return self._lstm(operation, windows, put)
        if isinstance(operation, Rows):
            return self._rows(operation, windows, put)
        if isinstance(operation, Layer):
            compute = self._layer(operation, windows)
        elif isinstance(operation, Hear):
            values = F.pad(self.buffers.weights(operation.values), (1, 0))  # NOTHING is heard as zero
            compute = lambda found: values[self.buffers.codes[:, -1] + 1]  # noqa: E731
        elif isinstance(operation, Tell):
            compute = lambda found: self.buffers.told  # noqa: E731
        elif isinstance(operation, Turn):
            compute = windows.reader([(operation.out, 1 - operation.count)])
        elif isinstance(operation, Gru):
            compute = self._gru(operation, windows)
        else:
            raise SeqgenError(
                f"The torch engine knows no operation {type(operation).__name__}.", hint="Use --engine cpu."
            )
        return lambda found: put(found, compute(found))

    def _layer(self, layer: Layer, windows: Windows) -> Compute:
        if layer not in self._ready:
            self._ready[layer] = _Ready.of(layer, self.buffers)
        ready = self._ready[layer]
        inputs = windows.reader([(source.slot, -source.lag) for source in layer.sources])
        plus = None if layer.plus is None else windows.reader([(layer.plus, 0)])
        residual = None if layer.residual is None else windows.reader([(layer.residual, 0)])
        silence = self.buffers.store.new_zeros(1, layer.rows)

        def compute(found: Tensor) -> Tensor:
            base = ready.base
            if ready.table is not None:
                looked_up = F.embedding(self.buffers.codes[:, -layer.taps :, 0] + ready.first, ready.table)  # (B, K, R)
                base = looked_up[:, 0] if layer.taps == 1 else looked_up.sum(dim=1)
            if plus is not None:
                base = plus(found) if base is None else base + plus(found)
            if ready.weight is None:
                z = (silence if base is None else base).expand(self.buffers.clips, layer.rows)
            elif base is None:
                z = inputs(found) @ ready.weight
            else:
                z = torch.addmm(base, inputs(found), ready.weight)
            z = _activated(z, layer.activation)
            if residual is not None:
                z = z + residual(found)
            return torch.relu(z) if layer.then == "relu" else z

        return compute

    def _rows(self, rows: Rows, windows: Windows, put: Put) -> Run:
        columns, side, width = rows.columns, rows.side, rows.step * rows.source.channels
        count = rows.height * columns * rows.step
        inputs = windows.reader([(rows.source, 1 - count + value) for value in range(count)])
        plus = None if rows.plus is None else windows.reader([(rows.plus, 0)])
        put_sums = None if rows.sums is None else windows.writer(rows.sums, columns)
        weight, bias = self.buffers.weights(rows.weight), None if rows.bias is None else self.buffers.weights(rows.bias)

        def run(found: Tensor) -> None:
            x = F.pad(inputs(found).view(-1, rows.height, columns, width), (0, 0, side, side))
            x = x.unfold(2, 2 * side + 1, 1).permute(0, 2, 1, 4, 3)  # (B, columns, height, 2 side + 1, width)
            z = F.linear(x.flatten(2), weight, bias)  # (B, columns, R)
            if plus is not None:
                z = z + plus(found)[:, None]
            if put_sums is not None:
                put_sums(found, z.flatten(1))
            put(found, _activated(z, rows.activation).flatten(1))

        return run

    def _gru(self, gru: Gru, windows: Windows) -> Compute:
        gates, fresh, past, before = (windows.reader([(slot, 0)]) for slot in (gru.gates, gru.fresh, gru.past, gru.out))

        def compute(found: Tensor) -> Tensor:
            reset, update = torch.sigmoid(gates(found)).chunk(2, dim=1)
            candidate = torch.tanh(torch.addcmul(fresh(found), reset, past(found)))
            return torch.lerp(candidate, before(found), update)

        return compute

    def _lstm(self, lstm: Lstm, windows: Windows, put: Put) -> Run:
        gates, before = (windows.reader([(slot, 0)]) for slot in (lstm.gates, lstm.cells))
        put_cells = windows.writer(lstm.cells)

        def run(found: Tensor) -> None:
            let_in, forget, fresh, show = gates(found).chunk(4, dim=1)
            kept = torch.sigmoid(forget) * before(found)
            cells = torch.addcmul(kept, torch.sigmoid(let_in), torch.tanh(fresh))
            put_cells(found, cells)
            put(found, torch.sigmoid(show) * torch.tanh(cells))

        return run


def _activated(z: Tensor, activation: Activation) -> Tensor:
    if activation == "gated":
        main, gates = z.chunk(2, dim=-1)
        return torch.tanh(main) * torch.sigmoid(gates)
    if activation == "leaky_relu":
        return F.leaky_relu(z, LEAK)
    return torch.relu(z) if activation == "relu" else z


@dataclass(frozen=True)
class _Ready:
    """What a layer multiplies and adds: matrix (columns, R); bias (1, R), or, with the bias in it, a table.

    table (K (V + 1), R) has a row for NOTHING before the others of each tap; first (K,) takes a code to its row.
    """

    weight: Tensor | None
    base: Tensor | None
    table: Tensor | None
    first: Tensor

    @classmethod
    def of(cls, layer: Layer, buffers: Buffers) -> "_Ready":
        weight = None if layer.weight is None else buffers.weights(layer.weight).t()
        base = None if layer.bias is None else buffers.weights(layer.bias)[None]
        if layer.table is None:
            return cls(weight, base, None, buffers.whole([]))
        parts = F.pad(buffers.weights(layer.table).unflatten(0, (layer.taps, -1)), (0, 0, 1, 0))
        if base is not None:
            parts[0] += base
        values = parts.shape[1]
        return cls(weight, None, parts.flatten(0, 1), buffers.whole([1 + values * tap for tap in range(layer.taps)]))
