"""Step programs: what a model does with one new token, as a short list of operations that any engine can run.

Values live in slots. An operation reads newest and earlier values of slots and gives one slot a new value, at every
token or, in the slow parts of a network, at every so-manieth. The list is in the order of dependence: an operation
that is due sees what those before it have just made.
Axes: B batch, C channels, P past values, R rows (numbers before the activation), V token values, K taps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from seqgen_core.models.heads import Head
from seqgen_core.settings.tokens import TokenSpec

Activation = Literal["none", "relu", "leaky_relu", "gated"]
"""gated: tanh of the first half of the rows times the sigmoid of the second. leaky_relu: slope LEAK below zero."""

LEAK = 0.01


@dataclass(frozen=True)
class Start:
    """Where stepping takes over: the model's state after a prime, and the labels of the clips, (B,), if any."""

    state: list[Tensor]
    labels: Tensor | None = None

    @cached_property
    def each_clip(self) -> list["Start"]:
        """The start of every clip by itself."""
        labels = self.labels
        return [
            Start([kept[clip : clip + 1] for kept in self.state], None if labels is None else labels[clip : clip + 1])
            for clip in range(len(self.state[0]))
        ]


@dataclass(frozen=True, eq=False)
class Slot:
    """A vector of channels that changes over time, with as many earlier values within reach as operations look back.

    begin: its newest values at the start, (B, channels, P) with the oldest first; what is missing is zero, and without
    `begin` all is.
    """

    name: str
    channels: int
    begin: Callable[[Start], Tensor] | None = None


@dataclass(frozen=True)
class Source:
    """The value of a slot `lag` values before its newest."""

    slot: Slot
    lag: int = 0


@dataclass(frozen=True, eq=False)
class Layer:
    """out = then(residual + activation(bias + plus + weight · sources + rows of the table)).

    weight (R, sum of the sources' channels), in the order of the sources. table (K * V, R): of the newest K tokens, the
    row of each is added, the oldest tap's rows first; NOTHING adds none. plus (R) and residual (C) are newest values.
    Runs where the number of tokens heard before this one, modulo `every`, is `at`.
    """

    out: Slot
    sources: tuple[Source, ...] = ()
    weight: Tensor | None = None
    table: Tensor | None = None
    taps: int = 1
    bias: Tensor | None = None
    plus: Slot | None = None
    activation: Activation = "none"
    residual: Slot | None = None
    then: Literal["none", "relu"] = "none"
    every: int = 1
    at: int = 0

    @property
    def rows(self) -> int:
        """Numbers before the activation."""
        return self.out.channels * (2 if self.activation == "gated" else 1)


@dataclass(frozen=True, eq=False)
class Hear:
    """The newest token as numbers: out[c] = values[token[c]]. values (V,); out has a channel for each place."""

    out: Slot
    values: Tensor
    every: int = 1
    at: int = 0


@dataclass(frozen=True, eq=False)
class Tell:
    """The features that tell of the token to come, as they are given from outside: out has a channel for each."""

    out: Slot
    every: int = 1
    at: int = 0


@dataclass(frozen=True, eq=False)
class Gru:
    """A gated recurrent unit after its products: out = (1 - u) tanh(fresh + r past) + u out, with (r, u) = σ(gates).

    gates (2C): reset, then update. fresh (C): the candidate's product with the input. past (C): that with `out`.
    """

    out: Slot
    gates: Slot
    fresh: Slot
    past: Slot
    every: int = 1
    at: int = 0


@dataclass(frozen=True, eq=False)
class Lstm:
    """Long short-term memory after its products: cells = σ(f) cells + σ(i) tanh(g), out = σ(o) tanh(cells).

    gates (4C): input i, forget f, candidate g, output o.
    """

    out: Slot
    cells: Slot
    gates: Slot
    every: int = 1
    at: int = 0


@dataclass(frozen=True, eq=False)
class Rows:
    """A convolution over all columns of a row of pixels: out = activation(bias + plus + weight · window) for each.

    out gets a value for each of the `columns`, from the left. window: of source, which has `step` values for a column,
    the `height` newest rows from the top, and of each `side` columns to both sides, from the left; zeros beyond the
    edges. weight (R, height (2 side + 1) step C). plus (R): a newest value, the same for all columns. sums: gets the
    numbers (R) before the activation, for each column like out.
    """

    out: Slot
    source: Slot
    weight: Tensor
    columns: int
    height: int = 1
    side: int = 0
    step: int = 1
    bias: Tensor | None = None
    plus: Slot | None = None
    activation: Activation = "none"
    sums: Slot | None = None
    every: int = 1
    at: int = 0

    @property
    def rows(self) -> int:
        """Numbers before the activation."""
        return self.out.channels * (2 if self.activation == "gated" else 1)


@dataclass(frozen=True, eq=False)
class Turn:
    """The oldest of a slot's `count` newest values becomes its newest, so that a row is met column by column."""

    out: Slot
    count: int
    every: int = 1
    at: int = 0


@dataclass(frozen=True, eq=False)
class Clear:
    """All values of a slot become zero."""

    out: Slot
    every: int = 1
    at: int = 0


Operation = Layer | Hear | Tell | Gru | Lstm | Rows | Turn | Clear


@dataclass(frozen=True, eq=False)
class StepProgram:
    """One step of a model. outputs: the slot that the head reads. features: numbers told of each token.

    clock: tokens heard before the start. codes: tokens heard before it, int64 (B, P, *shape), oldest first, with
    NOTHING where there were none; at least as many as the operations look up, or None where they look up only one.
    Raises ValueError where shapes do not fit together.
    """

    tokens: TokenSpec
    head: Head
    operations: tuple[Operation, ...]
    outputs: Slot
    clock: Callable[[Start], int] = field(default=lambda start: 0)
    codes: Callable[[Start], Tensor] | None = None
    features: int = 0

    def __post_init__(self) -> None:
        for operation in self.operations:
            _check(operation)
        if self.outputs.channels != self.head.size:
            raise ValueError(f"{self.outputs.channels} outputs for a head that reads {self.head.size}")

    @cached_property
    def slots(self) -> dict[Slot, int]:
        """Every slot, in the order of the operations that write or read it, with the number of values to keep."""
        kept: dict[Slot, int] = {}
        for operation in self.operations:
            for slot, lag in (*reads(operation), *((slot, 0) for slot in writes(operation))):
                kept[slot] = max(kept.get(slot, 1), lag + 1)
        return kept

    @cached_property
    def taps(self) -> int:
        """Newest tokens that the operations look up."""
        return max((operation.taps for operation in self.operations if isinstance(operation, Layer)), default=1)

    @property
    def multiply_adds(self) -> float:
        """Multiplications with a weight per token, averaged over the clock."""
        rows = (op for op in self.operations if isinstance(op, Rows))
        work = sum(op.weight.numel() * op.columns / op.every for op in rows)
        return work + sum(layer.weight.numel() / layer.every for layer in self.layers() if layer.weight is not None)

    def layers(self) -> Iterator[Layer]:
        """The operations that are layers."""
        return (operation for operation in self.operations if isinstance(operation, Layer))


def reads(operation: Operation) -> list[tuple[Slot, int]]:
    """Slots that an operation reads, each with the lag at which it does."""
    if isinstance(operation, Layer):
        found = [(source.slot, source.lag) for source in operation.sources]
        return found + [(slot, 0) for slot in (operation.plus, operation.residual) if slot is not None]
    if isinstance(operation, Gru):
        return [(slot, 0) for slot in (operation.gates, operation.fresh, operation.past, operation.out)]
    if isinstance(operation, Lstm):
        return [(slot, 0) for slot in (operation.gates, operation.cells)]
    if isinstance(operation, Rows):
        # What it writes is kept for a whole row at least.
        found = [(slot, operation.columns - 1) for slot in writes(operation)]
        found += [] if operation.plus is None else [(operation.plus, 0)]
        return [(operation.source, operation.height * operation.columns * operation.step - 1), *found]
    if isinstance(operation, Turn):
        return [(operation.out, operation.count - 1)]
    return []


def writes(operation: Operation) -> list[Slot]:
    """Slots that an operation gives new values."""
    if isinstance(operation, Lstm):
        return [operation.out, operation.cells]
    if isinstance(operation, Rows) and operation.sums is not None:
        return [operation.out, operation.sums]
    return [operation.out]


@torch.no_grad()
def begin_slot(slot: Slot, kept: int, start: Start, batch: int) -> Tensor:
    """The newest `kept` values of a slot at the start, oldest first: float32 (B, kept, channels) on the CPU."""
    values = torch.zeros(batch, kept, slot.channels)
    if slot.begin is not None:
        # Clip by clip: torch rounds sums in another way where there are more of them.
        for clip, alone in enumerate(start.each_clip):
            given = slot.begin(alone).detach().to("cpu", torch.float32).transpose(1, 2)[0, -kept:]
            values[clip, kept - len(given) :] = given
    return values


def _check(operation: Operation) -> None:
    if not 0 <= operation.at < operation.every:
        raise ValueError(f"{operation.out.name} runs at {operation.at} of every {operation.every}")
    if isinstance(operation, Layer):
        _check_product(operation, sum(source.slot.channels for source in operation.sources))
        _check_layer(operation)
    elif isinstance(operation, Rows):
        _check_product(
            operation, operation.height * (2 * operation.side + 1) * operation.step * operation.source.channels
        )
        if operation.sums is not None and operation.sums.channels != operation.rows:
            raise ValueError(f"{operation.sums.name}: {operation.sums.channels} numbers for {operation.rows} rows")


def _check_product(operation: Layer | Rows, columns: int) -> None:
    rows, name = operation.rows, operation.out.name
    weight = (0, 0) if operation.weight is None else tuple(operation.weight.shape)
    if weight != ((rows, columns) if columns else (0, 0)):
        raise ValueError(f"{name}: weight {weight} for {rows} rows and {columns} columns")
    if operation.bias is not None and operation.bias.shape != (rows,):
        raise ValueError(f"{name}: bias {tuple(operation.bias.shape)} for {rows} rows")
    if operation.plus is not None and operation.plus.channels != rows:
        raise ValueError(f"{name}: {operation.plus.channels} numbers added to {rows} rows")


def _check_layer(layer: Layer) -> None:
    rows, name = layer.rows, layer.out.name
    if any(source.slot is layer.out for source in layer.sources):
        raise ValueError(f"{name} reads its own values: threads would see each other's new ones")
    if layer.table is not None and (layer.table.shape[1] != rows or len(layer.table) % layer.taps):
        raise ValueError(f"{name}: table {tuple(layer.table.shape)} for {rows} rows and {layer.taps} taps")
    if layer.residual is not None and layer.residual.channels != layer.out.channels:
        raise ValueError(f"{name}: {layer.residual.channels} numbers added to {layer.out.channels}")
