"""The cuda engine: its kernel is compiled for GPUs, and runs on the host, where it gives what the model gives.

What the kernel does on a GPU is tested where there is one.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from cuda_on_host import NEEDS_COMPILER, Host
from drawn import FILTERS, HEADS, check_draws, tiny_model
from fed import Fed
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_laws import EACH_STEPPED_KIND, SEEDS, STEPPED, drawn_model

from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.generation.engines import cuda
from seqgen_core.generation.engines.cuda import CudaEngine, layout, machine, tables
from seqgen_core.generation.engines.cuda import engine as engines
from seqgen_core.generation.engines.cuda.source import HeadKind, Variant
from seqgen_core.generation.sampling import Filters
from seqgen_core.models import build, steps
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps.program import Slot, Start
from seqgen_core.settings.model import WaveNetSettings
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, TokenSpec

torch.set_num_threads(1)

EACH_HEAD = pytest.mark.parametrize("tokens", HEADS, ids=lambda tokens: tokens.kind)
NO_NVRTC = machine.compiler_problem()
NEEDS_NVRTC = pytest.mark.skipif(NO_NVRTC is not None, reason=str(NO_NVRTC))
NO_GPU = cuda.problem()
NEEDS_GPU = pytest.mark.skipif(NO_GPU is not None, reason=f"the cuda engine does not work here: {NO_GPU}")
few = settings(max_examples=6, deadline=None)
HOSTS = st.builds(
    lambda grid, shared: Host(*grid, shared),
    # blocks, threads, lanes of a warp
    st.sampled_from([(1, 1, 1), (3, 1, 1), (1, 4, 2), (2, 2, 2)]),
    st.sampled_from([2**14, 2**15, 2**17]),
)
"""Weights that partly stay in shared memory, and all."""


@NEEDS_NVRTC
@pytest.mark.parametrize(
    ("capability", "variant"),
    [
        ((8, 0), Variant(tables.FORMS["bf16"], HeadKind.MIXTURE, (1,))),
        ((9, 0), Variant(tables.FORMS["fp32"], HeadKind.CATEGORICAL, (1,))),
        ((9, 0), Variant(tables.FORMS["fp32"], HeadKind.BERNOULLI, (8,))),
    ],
)
def test_nvrtc_compiles_the_kernel_for_a_gpu(capability: tuple[int, int], variant: Variant) -> None:
    code = machine.compile_kernel(capability, variant)
    assert code.startswith(b"\x7fELF")
    assert b"run" in code


@NEEDS_NVRTC
def test_a_gpu_newer_than_nvrtc_gets_ptx() -> None:
    code = machine.compile_kernel((99, 0), Variant(tables.FORMS["fp32"], HeadKind.CATEGORICAL, (1,)))
    assert b".visible .entry run" in code


@NEEDS_NVRTC
def test_what_nvrtc_refuses_is_an_error_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "source", lambda variant: "int main() { return nothing; }")
    with pytest.raises(SeqgenError, match=r"NVRTC refused the kernel: (?s:.)*nothing"):
        machine.compile_kernel.__wrapped__((9, 0), Variant(0, 0, (1,)))
    with pytest.raises(SeqgenError, match=r"NVRTC knows no GPU of compute capability 3\.0"):
        machine.compile_kernel((3, 0), Variant(0, 0, (1,)))


@NEEDS_COMPILER
@EACH_STEPPED_KIND
@few
@given(data=st.data())
def test_it_gives_the_outputs_of_the_model(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    batch, host = data.draw(st.sampled_from([1, 3, 9]), label="batch"), data.draw(HOSTS)
    fed = Fed(model, batch, data.draw(st.integers(1, 40), label="prime"), 24)
    engine = CudaEngine(steps.step_program(model), batch, Filters(), machine=host)
    outputs = fed.score(engine)
    np.testing.assert_allclose(outputs, fed.expected.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(fed.score(engine), outputs)  # nothing is left of the clip before


@NEEDS_COMPILER
@EACH_STEPPED_KIND
@pytest.mark.parametrize("shared", [2**15, 2**18])
def test_short_weights_stay_near_the_model(kind: str, shared: int) -> None:
    model = tiny_model(kind, HEADS[0])
    fed = Fed(model, 3, 13, 60)
    outputs = fed.score(
        CudaEngine(steps.step_program(model), 3, Filters(), weights="bf16", machine=Host(shared=shared))
    )
    expected = fed.expected.numpy()
    apart = np.square(outputs - expected).mean() ** 0.5
    assert 1e-6 < apart <= 0.015 * np.square(expected).mean() ** 0.5


@NEEDS_COMPILER
@pytest.mark.parametrize("kind", STEPPED)
def test_a_clip_does_not_depend_on_the_batch_but_for_rounding(kind: str) -> None:
    model = tiny_model(kind, HEADS[0])
    program, fed = steps.step_program(model), Fed(model, 5, 7, 40)
    together = fed.score(CudaEngine(program, 5, Filters(), machine=Host(2, 1, 1)))
    alone = CudaEngine(program, 1, Filters(), machine=Host(2, 1, 1))
    for clip in range(5):
        np.testing.assert_allclose(fed.clip(clip).score(alone)[0], together[clip], rtol=0, atol=2e-6)


@NEEDS_COMPILER
@EACH_HEAD
@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_it_draws_what_the_head_draws(tokens: TokenSpec, filters: Filters) -> None:
    model = tiny_model("sequnet", tokens)
    fed = Fed(model, 3, 9, 1)
    engine = CudaEngine(steps.step_program(model), 3, filters, machine=Host(2, 2, 2))
    uniforms = np.random.default_rng(1).random((3, 40, model.head.draws))
    engine.begin(fed.start, fed.outputs)
    drawn, bits = engine.draw(uniforms)
    check_draws(model, fed, drawn, uniforms, filters)
    engine.begin(fed.start, fed.outputs)
    np.testing.assert_allclose(engine.score(drawn)[1], bits, rtol=1e-6)


def headed(tokens: TokenSpec, mixtures: int = 0) -> CausalModel:
    """The smallest model that has a head for these tokens."""
    small = WaveNetSettings(
        stacks=1, layers=1, residual_channels=2, dilation_channels=2, skip_channels=2, mixtures=mixtures
    )
    return build(small, tokens).eval()


@NEEDS_COMPILER
@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    tokens=st.one_of(
        st.builds(CategoricalTokens, values=st.sampled_from([2, 3, 16, 100, 300])),
        st.builds(BinaryTokens, width=st.sampled_from([1, 2, 7, 88])),
        st.builds(AmplitudeTokens, levels=st.sampled_from([2, 30, 256])),
    ),
    filters=st.builds(
        Filters,
        temperature=st.sampled_from([0.0, 0.3, 1.0, 3.0]),
        top_k=st.sampled_from([0, 1, 2, 5, 1000]),
        top_p=st.sampled_from([0.01, 0.5, 0.9, 1.0]),
    ),
    loudness=st.sampled_from([0.0, 0.1, 1.0, 10.0, 300.0]),
    coarse=st.booleans(),
    grid=st.sampled_from([(1, 1, 1), (2, 4, 2)]),
)
def test_sampling_is_that_of_the_heads(
    data: st.DataObject,
    tokens: TokenSpec,
    filters: Filters,
    loudness: float,
    coarse: bool,
    grid: tuple[int, int, int],
) -> None:
    model, clips = headed(tokens), 16
    head = model.head
    torch.manual_seed(data.draw(SEEDS, label="seed"))
    outputs = loudness * torch.randn(clips, head.size)
    if coarse:  # equal ones
        outputs = outputs.round()
    if tokens.kind == "categorical" and data.draw(st.booleans(), label="some impossible"):
        impossible = torch.rand_like(outputs) < 0.5
        impossible[:, 0] = False
        outputs = outputs.masked_fill(impossible, -torch.inf)
    uniforms = torch.rand(clips, head.draws, dtype=torch.float64)
    uniforms[0], uniforms[1] = 0, 1 - 2**-53
    engine = CudaEngine(steps.step_program(model), clips, filters, machine=Host(*grid))
    engine.begin(Start(model.initial_state(clips)), outputs)
    drawn, bits = (torch.from_numpy(found[:, 0]) for found in engine.draw(uniforms[:, None].numpy()))
    # Both are in double precision: a token may be another one only at an edge, or, of likeliest ones, at equality.
    options = [
        head.sample(outputs, (uniforms + move).clamp(0, 1 - 2**-53), filters.temperature, filters.top_k, filters.top_p)
        for move in (0, -1e-12, 1e-12)
    ]
    apart = torch.stack([option != drawn for option in options]).all(dim=0).view(clips, -1).any(dim=1)
    if tokens.kind == "amplitude" and filters.temperature == 0:  # the head compares in single precision
        rivals = (head.bits(outputs, options[0]) - head.bits(outputs, drawn)).abs()
        apart &= rivals > 1e-4
    assert not bool(apart.any())
    torch.testing.assert_close(bits, head.bits(outputs, drawn).double(), rtol=1e-5, atol=1e-5)


@NEEDS_COMPILER
@pytest.mark.parametrize("filters", [Filters(top_k=40), Filters(top_p=0.9), Filters(top_k=700, top_p=0.5)])
def test_many_values_are_sampled_outside_of_shared_memory(filters: Filters) -> None:
    model, clips = headed(CategoricalTokens(values=3000)), 3
    torch.manual_seed(0)
    outputs, uniforms = torch.randn(clips, 3000), torch.rand(clips, 1, dtype=torch.float64)
    engine = CudaEngine(steps.step_program(model), clips, filters, machine=Host(2, 2, 2, 2**16))
    assert engine._job.work is not None
    engine.begin(Start(model.initial_state(clips)), outputs)
    drawn, _ = engine.draw(uniforms[:, None].numpy())
    expected = model.head.sample(outputs, uniforms, filters.temperature, filters.top_k, filters.top_p)
    np.testing.assert_array_equal(drawn[:, 0], expected)


@NEEDS_COMPILER
@EACH_HEAD
def test_blocks_of_any_length_give_the_same(tokens: TokenSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("samplernn", tokens)
    program, fed = steps.step_program(model), Fed(model, 2, 5, 40)
    uniforms = np.random.default_rng(2).random((2, 40, model.head.draws))
    whole = CudaEngine(program, 2, Filters(), machine=Host())
    whole.begin(fed.start, fed.outputs)
    expected = whole.draw(uniforms)
    monkeypatch.setattr(engines, "BLOCK", 7)
    cut = CudaEngine(program, 2, Filters(), machine=Host())
    cut.begin(fed.start, fed.outputs)
    pieces = [cut.draw(uniforms[:, first:stop]) for first, stop in ((0, 1), (1, 20), (20, 40))]
    for part, piece in zip(expected, zip(*pieces, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(piece, axis=1), part)
    np.testing.assert_array_equal(fed.score(cut), fed.score(whole))


@NEEDS_COMPILER
@EACH_HEAD
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_an_error(tokens: TokenSpec, value: float) -> None:
    if tokens.kind == "binary":
        value = float("nan")  # infinite log-odds are a certainty
    model = tiny_model("tcn", tokens)
    fed = Fed(model, 2, 3, 1)
    engine = CudaEngine(steps.step_program(model), 2, Filters(), machine=Host())
    engine.begin(fed.start, fed.outputs.index_fill(1, torch.tensor([1]), value))
    with pytest.raises(SeqgenError, match="not finite"):
        engine.draw(np.full((2, 4, model.head.draws), 0.5))


def test_every_weight_lies_on_the_chip_or_is_read_from_memory() -> None:
    program = steps.step_program(tiny_model("wavenet", HEADS[0]))
    least = layout.lay_out(program, 1, tables.Grid(3, 4, 2, 2**16)).places["resident_at"]
    sizes = []
    for room in (0, 1024, 2**16):
        laid = layout.lay_out(program, 1, tables.Grid(3, 4, 2, least + room))
        assert laid.bytes_on_chip <= 3 * room
        assert int(laid.residents.max()) <= room
        sizes.append(len(laid.weights))
    assert sizes[0] == sizes[1] == sizes[2] == laid.bytes_on_chip


def test_what_does_not_fit_is_refused_in_words() -> None:
    program = steps.step_program(tiny_model("tcn", HEADS[0]))
    with pytest.raises(SeqgenError, match="bytes of shared memory; this GPU has 3000"):
        layout.lay_out(program, 1, tables.Grid(1, 1, 1, 3000))
    first = replace(program.operations[0], every=2**13)
    others = (first, *(replace(operation, every=3**8) for operation in program.operations[1:]))
    with pytest.raises(SeqgenError, match=f"only after {2**13 * 3**8} tokens"):
        layout.lay_out(replace(program, operations=others), 1, tables.Grid(1, 1, 1, 2**17))

    @dataclass(frozen=True, eq=False)
    class Fold:
        out: Slot
        every: int = 1
        at: int = 0

    unknown = replace(program, operations=(*program.operations, Fold(Slot("folded", 3))))
    with pytest.raises(SeqgenError, match="knows no operation Fold"):
        layout.lay_out(unknown, 1, tables.Grid(1, 1, 1, 2**17))


def test_a_wrong_device_or_format_is_refused_in_words() -> None:
    program = steps.step_program(tiny_model("tcn", HEADS[0]))
    with pytest.raises(UsageError, match="no int8 weights"):
        CudaEngine(program, 1, Filters(), weights="int8")
    with pytest.raises(UsageError, match="does not work here: the device is cpu"):
        CudaEngine(program, 1, Filters(), torch.device("cpu"))
    if NO_GPU is not None:
        with pytest.raises(UsageError, match=f"does not work here: {NO_GPU}"):
            CudaEngine(program, 1, Filters(), torch.device("cuda"))


def test_whether_it_works_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cuda.problem() == "there is no CUDA device"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    assert cuda.problem() == "the GPU has compute capability 6.1, and it needs 7.0"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert cuda.problem() == NO_NVRTC
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)
    assert str(cuda.problem()).startswith("the package cuda-bindings is missing")


@NEEDS_GPU
@EACH_STEPPED_KIND
@EACH_HEAD
@pytest.mark.parametrize("clips", [1, 3, 9])
def test_on_a_gpu_it_gives_the_outputs_of_the_model(kind: str, tokens: TokenSpec, clips: int) -> None:
    model = tiny_model(kind, tokens)
    fed = Fed(model, clips, 13, 500)
    engine = CudaEngine(steps.step_program(model), clips, Filters(), torch.device("cuda"))
    for _ in range(3):
        np.testing.assert_allclose(fed.score(engine), fed.expected.numpy(), rtol=1e-4, atol=1e-4)


@NEEDS_GPU
@EACH_HEAD
@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_on_a_gpu_it_draws_what_the_head_draws(tokens: TokenSpec, filters: Filters) -> None:
    model = tiny_model("sequnet", tokens)
    fed = Fed(model, 3, 9, 1)
    engine = CudaEngine(steps.step_program(model), 3, filters, torch.device("cuda"))
    uniforms = np.random.default_rng(1).random((3, 500, model.head.draws))
    engine.begin(fed.start, fed.outputs)
    check_draws(model, fed, engine.draw(uniforms)[0], uniforms, filters)


@NEEDS_GPU
@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_on_a_gpu_weights_beyond_the_chip_are_read_through_the_cache(weights: str) -> None:
    large = WaveNetSettings(stacks=2, layers=8, residual_channels=320, dilation_channels=320, skip_channels=640)
    torch.manual_seed(0)
    model = build(large, CategoricalTokens(values=256)).eval()
    fed = Fed(model, 1, 300, 200)
    engine = CudaEngine(steps.step_program(model), 1, Filters(), torch.device("cuda"), weights=weights)
    expected = fed.expected.numpy()
    if weights == "fp32":
        np.testing.assert_allclose(fed.score(engine), expected, rtol=1e-4, atol=1e-4)
    else:
        apart = np.square(fed.score(engine) - expected).mean() ** 0.5
        assert apart <= 0.015 * np.square(expected).mean() ** 0.5
