"""The operations of step programs as ONNX nodes.

Axes: B batch, C channels, R rows, K taps, V token values.
"""

from torch import Tensor
from torch.nn import functional as F

from seqgen_core.errors import SeqgenError
from seqgen_core.exporting.onnx_nodes import Nodes
from seqgen_core.exporting.onnx_slots import Slots
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
    StepProgram,
    Tell,
    Turn,
)


class Operations:
    """Adds operations to a graph in the making. heard: newest tokens (B, K), oldest first, with NOTHING as 0."""

    def __init__(self, program: StepProgram, nodes: Nodes, slots: Slots) -> None:
        self.program, self.nodes, self.slots = program, nodes, slots
        self.heard = ""

    def add(self, operation: Operation) -> None:
        """Add the nodes of an operation. Raises SeqgenError where it is of a sort that is not known here."""
        if isinstance(operation, Layer):
            self.slots.put(operation.out, self._layer(operation))
        elif isinstance(operation, Hear):
            self.slots.put(operation.out, self._hear(operation))
        elif isinstance(operation, Tell):
            self.slots.put(operation.out, "features")
        elif isinstance(operation, Gru):
            self.slots.put(operation.out, self._gru(operation))
        elif isinstance(operation, Lstm):
            self._lstm(operation)
        elif isinstance(operation, Rows):
            self._rows(operation)
        elif isinstance(operation, Turn):
            self.slots.put(operation.out, self.slots.read(operation.out, operation.count - 1))
        elif isinstance(operation, Clear):
            self.slots.clear(operation.out)
        else:
            raise SeqgenError(f"An ONNX file knows no operation {type(operation).__name__}.")

    def _layer(self, layer: Layer) -> str:
        nodes = self.nodes
        added = [] if layer.plus is None else [self.slots.newest(layer.plus)]
        bias = layer.bias
        if layer.table is not None:
            added.append(self._look_up(layer))
            bias = None  # it is in the table
        if layer.weight is not None:
            inputs = nodes.beside(self._inputs(layer))
            # Transposed beforehand: ONNX Runtime multiplies one row by such a matrix faster.
            weight = nodes.weight(layer.weight, lambda value: value.t(), "transposed")
            summands = [nodes.weight(bias)] if bias is not None else [added.pop()] if added else []
            z = nodes.add("Gemm", inputs, weight, *summands)
        elif added:
            z = added.pop()
            if bias is not None:
                z = nodes.add("Add", z, nodes.weight(bias))
        else:
            z = self._everywhere(bias, layer.rows)
        for other in added:
            z = nodes.add("Add", z, other)
        z = self._activated(z, layer.activation)
        if layer.residual is not None:
            z = nodes.add("Add", z, self.slots.newest(layer.residual))
        return nodes.add("Relu", z) if layer.then == "relu" else z

    def _inputs(self, layer: Layer) -> list[str]:
        """What a layer multiplies; values of a slot that follow each other are read together."""
        runs: list[list[int]] = []  # first place among the sources, how many
        sources = layer.sources
        for place, source in enumerate(sources):
            before = sources[place - 1]
            if runs and source.slot is before.slot and source.lag == before.lag - 1:
                runs[-1][1] += 1
            else:
                runs.append([place, 1])
        return [self.slots.read(sources[place].slot, sources[place].lag, count) for place, count in runs]

    def _look_up(self, layer: Layer) -> str:
        """Rows of a table, with the bias in it, added up over the taps: (B, R). NOTHING has a row of its own."""
        nodes, taps = self.nodes, layer.taps
        assert layer.table is not None
        bias = layer.bias
        if taps == 1 and self.program.taps == 1:
            table = nodes.weight(layer.table, lambda table: table if bias is None else table + bias, f"{id(bias)}")
            return nodes.add("Gather", table, "token")

        def widened(table: Tensor) -> Tensor:
            parts = F.pad(table.unflatten(0, (taps, -1)), (0, 0, 1, 0))
            if bias is not None:
                parts[0] += bias
            return parts.flatten(0, 1)

        table = nodes.weight(layer.table, widened, f"{taps} {id(bias)}")
        values = len(layer.table) // taps + 1
        codes = self.heard if taps == self.program.taps else nodes.cut(self.heard, -taps, 2**31)
        places = nodes.add("Add", codes, nodes.whole([values * tap for tap in range(taps)]))
        return nodes.add("ReduceSum", nodes.add("Gather", table, places), nodes.whole([1]), keepdims=0)

    def _everywhere(self, bias: Tensor | None, rows: int) -> str:
        """The same numbers for every clip: (B, R)."""
        nodes = self.nodes
        row = nodes.zeros(rows) if bias is None else nodes.weight(bias, lambda value: value[None], "row")
        clips = nodes.add("Shape", "token", end=1)
        return nodes.add("Expand", row, nodes.add("Concat", clips, nodes.whole([rows]), axis=0))

    def _hear(self, hear: Hear) -> str:
        if self.program.tokens.shape:
            return self.nodes.add("Gather", self.nodes.weight(hear.values), "token")
        return self.nodes.add("Gather", self.nodes.weight(hear.values, lambda value: value[:, None], "column"), "token")

    def _gru(self, gru: Gru) -> str:
        nodes = self.nodes
        reset, update = nodes.split(nodes.add("Sigmoid", self.slots.newest(gru.gates)), 2, axis=1)
        told = nodes.add("Mul", reset, self.slots.newest(gru.past))
        candidate = nodes.add("Tanh", nodes.add("Add", self.slots.newest(gru.fresh), told))
        change = nodes.add("Sub", self.slots.newest(gru.out), candidate)
        return nodes.add("Add", candidate, nodes.add("Mul", update, change))

    def _lstm(self, lstm: Lstm) -> None:
        nodes = self.nodes
        let_in, forget, fresh, show = nodes.split(self.slots.newest(lstm.gates), 4, axis=1)
        kept = nodes.add("Mul", nodes.add("Sigmoid", forget), self.slots.newest(lstm.cells))
        new = nodes.add("Mul", nodes.add("Sigmoid", let_in), nodes.add("Tanh", fresh))
        cells = nodes.add("Add", kept, new)
        self.slots.put(lstm.cells, cells)
        self.slots.put(lstm.out, nodes.add("Mul", nodes.add("Sigmoid", show), nodes.add("Tanh", cells)))

    def _rows(self, rows: Rows) -> None:
        nodes, columns, height, side = self.nodes, rows.columns, rows.height, rows.side
        count, width = height * columns * rows.step, rows.step * rows.source.channels
        x = self.slots.read(rows.source, count - 1, count)
        x = nodes.add("Reshape", x, nodes.whole([-1, height, columns, width]))
        x = nodes.add("Transpose", x, perm=[0, 3, 1, 2])  # (B, width, height, columns)

        def kernel(weight: Tensor) -> Tensor:
            return weight.reshape(-1, height, 2 * side + 1, width).permute(0, 3, 1, 2)

        inputs = [x, nodes.weight(rows.weight, kernel, "kernel")]
        if rows.bias is not None:
            inputs.append(nodes.weight(rows.bias))
        z = nodes.add("Conv", *inputs, pads=[0, side, 0, side])  # (B, R, 1, columns)
        z = nodes.add("Transpose", nodes.add("Squeeze", z, nodes.whole([2])), perm=[0, 2, 1])  # (B, columns, R)
        if rows.plus is not None:
            z = nodes.add("Add", z, nodes.add("Unsqueeze", self.slots.newest(rows.plus), nodes.whole([1])))
        flat = nodes.whole([0, -1])
        if rows.sums is not None:
            self.slots.put(rows.sums, nodes.add("Reshape", z, flat), columns)
        made_values = self._activated(z, rows.activation, axis=2)
        self.slots.put(rows.out, nodes.add("Reshape", made_values, flat), columns)

    def _activated(self, z: str, activation: Activation, axis: int = 1) -> str:
        nodes = self.nodes
        if activation == "gated":
            main, gates = nodes.split(z, 2, axis)
            return nodes.add("Mul", nodes.add("Tanh", main), nodes.add("Sigmoid", gates))
        if activation == "leaky_relu":
            return nodes.add("LeakyRelu", z, alpha=LEAK)
        return nodes.add("Relu", z) if activation == "relu" else z
