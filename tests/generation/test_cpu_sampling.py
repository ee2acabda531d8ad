"""Sampling in the compiled loop is that of the heads: the same tokens by the same uniforms, the same bits.

A token may differ only where the uniform lies within rounding of an edge of the head's own float64 distribution
(`shares.ROUNDING`, 1e-12 of all probability), or where the likeliest are chosen among weights that are as nearly equal.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from shares import misfit

from seqgen_core.errors import SeqgenError, ShapeError
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.heads import Head, build_head
from seqgen_core.models.steps.program import Layer, Slot, Start, StepProgram
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens, TokenSpec

BELOW_ONE = math.nextafter(1.0, 0.0)
WORDS = CategoricalTokens(values=10_000)
SPECS: list[tuple[TokenSpec, int]] = [
    (CategoricalTokens(values=2), 0),
    (CategoricalTokens(values=23), 0),
    (CategoricalTokens(values=256, ordered=True), 0),
    (BinaryTokens(width=1), 0),
    (BinaryTokens(width=88), 0),
    (PixelTokens(height=2, width=2, levels=2), 1),
    (CategoricalTokens(values=256, ordered=True), 10),
    (AmplitudeTokens(), 3),
]
"""Tokens, and logistics of a mixture over them."""
EACH_SPEC = pytest.mark.parametrize(("spec", "mixtures"), SPECS, ids=lambda value: str(value).split(" ")[0])
FILTERS = st.builds(
    Filters,
    temperature=st.sampled_from([0.0, 1e-300, 1e-9, 0.3, 0.7, 1.0, 1.0, 2.0, 100.0]),
    top_k=st.sampled_from([0, 0, 1, 2, 7, 300, 10**6]),
    top_p=st.sampled_from([1.0, 1.0, 1e-12, 0.3, 0.5, 0.9, 0.999999]),
)
ODD = st.sampled_from([0.0, -0.0, 1e-20, -1e-20, 1.0, -1.0, 5.0, 90.0, -90.0, 1e30, -1e30, 3e38, -3e38])
few = settings(max_examples=25, deadline=None)


def engine_of(spec: TokenSpec, head: Head, outputs: np.ndarray, filters: Filters, threads: int = 1) -> CpuEngine:
    """An engine whose next tokens are drawn from outputs float32 (B, size)."""
    slot = Slot("outputs", head.size)
    program = StepProgram(spec, head, (Layer(slot, bias=torch.zeros(head.size)),), slot)
    engine = CpuEngine(program, len(outputs), filters, threads=threads)
    engine.begin(Start([]), torch.from_numpy(outputs))
    return engine


def draw(
    spec: TokenSpec, head: Head, outputs: np.ndarray, uniforms: np.ndarray, filters: Filters, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (B, *shape) and bits (B,) from outputs (B, size) by uniforms (B, draws)."""
    tokens, bits = engine_of(spec, head, outputs, filters, threads).draw(uniforms[:, None])
    return tokens[:, 0], bits[:, 0]


def drawn_outputs(data: st.DataObject, head: Head, rows: int) -> np.ndarray:
    """Outputs (rows, size): ordinary ones, equal ones, extreme ones, some in which a category is impossible."""
    shape = (rows, head.size)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31), label="seed"))
    manner = data.draw(st.sampled_from(["normal", "odd", "few", "any"]), label="manner")
    if manner == "odd" and head.size < 100:
        outputs = data.draw(arrays.arrays(np.float32, (1, head.size), elements=ODD), label="outputs").repeat(rows, 0)
    elif manner == "any" and head.size < 100:
        numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
        outputs = data.draw(arrays.arrays(np.float32, (1, head.size), elements=numbers), label="outputs")
        outputs = outputs.repeat(rows, 0)
    elif manner == "few":
        outputs = generator.choice([-2.0, 0.0, 1.5], shape)
    else:
        loudness = data.draw(st.sampled_from([0.0, 1e-18, 0.1, 1.0, 5.0, 300.0]), label="loudness")
        outputs = loudness * generator.standard_normal(shape)
    if data.draw(st.booleans(), label="one huge"):
        outputs[:, generator.integers(head.size)] = data.draw(st.sampled_from([30.0, 800.0, 1e36]))
    return outputs.astype(np.float32)


def drawn_uniforms(data: st.DataObject, head: Head, outputs: np.ndarray) -> np.ndarray:
    """Uniforms (rows, draws): any, both ends, and edges of the head's own distribution."""
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31), label="seed of uniforms"))
    uniforms = generator.random((len(outputs), head.draws))
    if data.draw(st.booleans(), label="ends"):
        uniforms[0], uniforms[1] = 0.0, BELOW_ONE
    if head.draws == 1:
        edges = head.probabilities(torch.from_numpy(outputs).double()).cumsum(dim=1).numpy()
        for row in range(2, len(outputs) // 2):
            edge = generator.choice(edges[row]) + generator.integers(-3, 4) * 2.0**-53
            uniforms[row] = min(max(edge, 0.0), BELOW_ONE)
    return uniforms


@EACH_SPEC
@few
@given(data=st.data(), filters=FILTERS)
def test_tokens_and_bits_are_those_of_the_head(
    spec: TokenSpec, mixtures: int, data: st.DataObject, filters: Filters
) -> None:
    head = build_head(spec, mixtures)
    outputs = drawn_outputs(data, head, 3 if spec.values > 10_000 else 24)
    if head.size == spec.values and data.draw(st.booleans(), label="impossible ones"):
        outputs[:, 1:][np.random.default_rng(0).random(outputs[:, 1:].shape) < 0.5] = -np.inf
    uniforms = drawn_uniforms(data, head, outputs)
    tokens, bits = draw(spec, head, outputs, uniforms, filters)
    fine = torch.from_numpy(outputs).double()
    expected = head.sample(fine, torch.from_numpy(uniforms), filters.temperature, filters.top_k, filters.top_p).numpy()
    for row in range(len(outputs)):
        if not np.array_equal(tokens[row], expected[row]):
            outside = misfit(head, fine[row], uniforms[row], filters, tokens[row])
            assert outside == 0, (row, tokens[row], expected[row])
    check_bits(bits, head.bits(fine, torch.from_numpy(tokens)))

    # The same, given tokens that were not drawn.
    given = np.random.default_rng(1).integers(0, spec.values, tokens.shape)
    _, bits = engine_of(spec, head, outputs, filters).score(given[:, None])
    check_bits(bits[:, 0], head.bits(fine, torch.from_numpy(given)))


def check_bits(bits: np.ndarray, expected: torch.Tensor) -> None:
    known = ~expected.isnan().numpy()  # the head's are unknown where a chance is 0 or 1 to the end
    np.testing.assert_allclose(bits[known], expected.numpy()[known], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    "filters",
    [Filters(), Filters(0.7), Filters(0), Filters(top_k=5), Filters(top_p=0.9), Filters(1.3, top_k=50, top_p=0.95)],
    ids=str,
)
@pytest.mark.parametrize(("spec", "mixtures"), [(WORDS, 0), (AmplitudeTokens(), 10)], ids=["words", "amplitudes"])
def test_many_values_are_drawn_as_the_head_draws_them(spec: TokenSpec, mixtures: int, filters: Filters) -> None:
    head = build_head(spec, mixtures)
    generator, rows = np.random.default_rng(3), 3 if mixtures else 12
    outputs = (2 * generator.standard_normal((rows, head.size))).astype(np.float32)
    if mixtures:
        outputs[:, mixtures:] /= 4
        outputs[:, 2 * mixtures :] -= 4
    uniforms = generator.random((rows, head.draws))
    tokens, _ = draw(spec, head, outputs, uniforms, filters)
    fine = torch.from_numpy(outputs).double()
    expected = head.sample(fine, torch.from_numpy(uniforms), filters.temperature, filters.top_k, filters.top_p).numpy()
    for row in np.flatnonzero(tokens != expected):
        assert misfit(head, fine[row], uniforms[row], filters, tokens[row]) == 0


@pytest.mark.parametrize("filters", [Filters(), Filters(0.5), Filters(1.5, top_k=9, top_p=0.8)], ids=str)
@pytest.mark.parametrize(("spec", "mixtures"), [(CategoricalTokens(values=23), 0), (PixelTokens(height=1, width=2), 4)])
def test_shares_of_many_draws_are_the_probabilities(spec: TokenSpec, mixtures: int, filters: Filters) -> None:
    head = build_head(spec, mixtures)
    outputs = torch.randn(head.size, generator=torch.Generator().manual_seed(2)).numpy()
    side = 900 if head.draws == 1 else 60
    line = (np.arange(side) + 0.5) / side
    uniforms = np.stack(np.meshgrid(*[line] * head.draws, indexing="ij"), axis=-1).reshape(-1, head.draws)
    tokens, _ = draw(spec, head, np.tile(outputs, (len(uniforms), 1)), uniforms, filters)
    fine = torch.from_numpy(outputs).double()[None]
    expected = head.sample(
        fine.expand(len(uniforms), -1), torch.from_numpy(uniforms), filters.temperature, filters.top_k, filters.top_p
    ).numpy()
    shares, wanted = (np.bincount(drawn, minlength=spec.values) / len(uniforms) for drawn in (tokens, expected))
    np.testing.assert_allclose(shares, wanted, atol=2 / len(uniforms))
    if filters == Filters():
        loss = 1.01 / side if head.draws == 1 else (2 + mixtures) / side
        np.testing.assert_allclose(shares, head.probabilities(fine)[0].numpy(), atol=loss)


@EACH_SPEC
def test_a_draw_depends_neither_on_the_batch_nor_on_the_threads(spec: TokenSpec, mixtures: int) -> None:
    head = build_head(spec, mixtures)
    generator = np.random.default_rng(5)
    outputs = generator.standard_normal((7, head.size)).astype(np.float32)
    uniforms = generator.random((7, head.draws))
    for filters in (Filters(), Filters(0.8, top_k=5, top_p=0.9)):
        tokens, bits = draw(spec, head, outputs, uniforms, filters)
        shared = draw(spec, head, outputs, uniforms, filters, threads=2)
        np.testing.assert_array_equal(shared[0], tokens)
        np.testing.assert_array_equal(shared[1], bits)
        for row in range(7):
            alone = draw(spec, head, outputs[row : row + 1], uniforms[row : row + 1], filters)
            np.testing.assert_array_equal(alone[0][0], tokens[row])
            assert alone[1][0] == bits[row]


@EACH_SPEC
@pytest.mark.parametrize("wrong", [math.nan, -math.nan, math.inf, -math.inf])
def test_what_the_head_refuses_stops_the_engine(spec: TokenSpec, mixtures: int, wrong: float) -> None:
    head = build_head(spec, mixtures)
    outputs = np.random.default_rng(0).standard_normal((2, head.size)).astype(np.float32)
    uniforms = np.full((2, head.draws), 0.5)
    for rows in (slice(1, 2), slice(0, 0)):
        places = slice(head.size - 1, None) if math.isnan(wrong) or mixtures else slice(None)
        outputs[rows, places] = wrong
        refused = False
        try:
            head.sample(torch.from_numpy(outputs), torch.from_numpy(uniforms))
        except ShapeError:
            refused = True
        assert refused == (rows == slice(1, 2) and (math.isnan(wrong) or not isinstance(spec, BinaryTokens)))
        if refused:
            with pytest.raises(SeqgenError, match="not finite"):
                draw(spec, head, outputs, uniforms, Filters())
            outputs[:] = 0
        else:
            draw(spec, head, outputs, uniforms, Filters())


@EACH_SPEC
@few
@given(data=st.data())
def test_the_judge_finds_a_wrong_token(spec: TokenSpec, mixtures: int, data: st.DataObject) -> None:
    head = build_head(spec, mixtures)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    outputs = torch.from_numpy(generator.standard_normal((1, head.size)))
    uniforms = generator.random((1, head.draws))
    filters = data.draw(st.sampled_from([Filters(), Filters(0.7), Filters(top_k=2), Filters(0.9, top_p=0.8)]))
    how = (filters.temperature, filters.top_k, filters.top_p)
    token = head.sample(outputs, torch.from_numpy(uniforms), *how).numpy()
    assert misfit(head, outputs[0], uniforms[0], filters, token[0]) == 0
    moved = (uniforms + 0.5) % 1
    other = head.sample(outputs, torch.from_numpy(moved), *how).numpy()
    if not np.array_equal(other, token):
        assert misfit(head, outputs[0], uniforms[0], filters, other[0]) > 1e-9
