"""How a program lies in memory: pieces that are read as one, slots whose values lie in order, rows cut for threads."""

import dataclasses

import numpy as np
import pytest
import torch

from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.engines.cpu.layout import Op, aligned, lay_out, panel_heights, shares
from seqgen_core.generation.sampling import Filters
from seqgen_core.kernels import arithmetic
from seqgen_core.models.heads import build_head
from seqgen_core.models.steps.program import Layer, Slot, Source, Start, StepProgram
from seqgen_core.settings.tokens import CategoricalTokens

TOKENS = CategoricalTokens(values=4)


def program(lags: list[int]) -> StepProgram:
    """A token is looked up; the outputs are a product with earlier vectors."""
    heard, outputs = Slot("heard", 3), Slot("outputs", 4)
    sources = tuple(Source(heard, lag) for lag in lags)
    layers = Layer(heard, table=torch.randn(4, 3)), Layer(outputs, sources, torch.randn(4, 3 * len(lags)))
    return StepProgram(TOKENS, build_head(TOKENS), layers, outputs)


@pytest.mark.parametrize(
    ("lags", "pieces"),
    [
        ([0], [(0, 1)]),
        ([2, 1, 0], [(2, 3)]),
        ([8, 4, 0], [(8, 1), (4, 1), (0, 1)]),
        ([5, 4, 1, 0], [(5, 2), (1, 2)]),
        ([0, 1, 2], [(0, 1), (1, 1), (2, 1)]),
    ],
)
def test_neighbouring_values_are_one_piece(lags: list[int], pieces: list[tuple[int, int]]) -> None:
    layout = lay_out(program(lags), 2)
    assert layout.sources[:, 1:].tolist() == [list(piece) for piece in pieces]
    assert layout.operations[0, 1, Op.SOURCES] == len(pieces)
    _, _, fits, carried = layout.slots[0].tolist()
    in_order = any(count > 1 for _, count in pieces)
    assert (carried, fits > layout.kept[0]) == ((max(lags) if in_order else 0), in_order)


def test_tables_begin_at_a_cache_line() -> None:
    layout = lay_out(program([1, 0]), 1)
    assert [table.ctypes.data % 64 for table in (layout.weights, layout.constants, aligned(7))] == [0, 0, 0]
    assert not aligned(7).any()


@pytest.mark.parametrize(
    ("rows", "heights"),
    [(1, [8]), (64, [64]), (70, [48, 24]), (80, [48, 32]), (176, [64, 64, 48]), (360, [64, 64, 64, 64, 64, 40])],
)
def test_panels_are_of_about_the_same_height(rows: int, heights: list[int]) -> None:
    assert panel_heights(rows, 64, 16) == heights


@pytest.mark.parametrize("channels", [1, 5, 64, 88, 180, 4096])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_share_all_channels(channels: int, threads: int) -> None:
    parts = shares(channels, threads)
    assert [channel for first, stop in parts for channel in range(first, stop)] == list(range(channels))


def test_the_gate_is_a_tanh_times_a_sigmoid() -> None:
    line = np.linspace(-40, 40, 801).astype(np.float32)
    for gate in (-40.0, -9.0, -1.0, 0.0, 0.3, 9.0, 40.0):
        got = np.array([arithmetic.gate(x, np.float32(gate)) for x in line])
        np.testing.assert_allclose(got, np.tanh(line.astype(np.float64)) / (1 + np.exp(-gate)), atol=1e-6)


def test_a_program_that_hears_one_token_begins_without_any() -> None:
    one = dataclasses.replace(program([0]), codes=lambda start: torch.zeros(len(start.state[0]), 0, dtype=torch.int64))
    engine = CpuEngine(one, 2, Filters())
    engine.begin(Start([torch.zeros(2, 1)], None), torch.tensor([[0.0, 9, 0, 0], [0, 0, 0, 9]]))
    tokens, _ = engine.draw(np.full((2, 1, 1), 0.5))
    assert tokens.ravel().tolist() == [1, 3]
