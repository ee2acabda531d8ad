"""The torch engine gives what the model gives, and never waits for the device within a block."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from drawn import FILTERS, HEADS, check_draws, tiny_model
from fed import Fed
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_laws import EACH_STEPPED_KIND, STEPPED, drawn_model
from torch._subclasses.fake_tensor import FakeTensorMode

from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines import torch_steps
from seqgen_core.generation.engines.torch_buffers import Buffers
from seqgen_core.generation.engines.torch_lowering import Lowering
from seqgen_core.generation.engines.torch_steps import TorchEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models import steps
from seqgen_core.models.steps.program import Slot
from seqgen_core.settings.tokens import CategoricalTokens, TokenSpec

torch.set_num_threads(1)

EACH_HEAD = pytest.mark.parametrize("tokens", HEADS, ids=lambda tokens: tokens.kind)
EACH_FILTER = pytest.mark.parametrize("filters", FILTERS, ids=str)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: graphs are captured there only")
few = settings(max_examples=10, deadline=None)


@EACH_STEPPED_KIND
@few
@given(data=st.data())
def test_it_gives_the_outputs_of_the_model(kind: str, data: st.DataObject) -> None:
    model = drawn_model(data, kind)
    batch = data.draw(st.sampled_from([1, 3]), label="batch")
    fed = Fed(model, batch, data.draw(st.integers(1, 40), label="prime"), 80)
    engine = TorchEngine(steps.step_program(model), batch, Filters())
    outputs = fed.score(engine)
    np.testing.assert_allclose(outputs, fed.expected.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(fed.score(engine), outputs)  # nothing is left of the clip before


@EACH_HEAD
@EACH_FILTER
def test_it_draws_what_the_head_draws(tokens: TokenSpec, filters: Filters) -> None:
    model = tiny_model("sequnet", tokens)
    fed = Fed(model, 3, 9, 1)
    engine = TorchEngine(steps.step_program(model), 3, filters)
    uniforms = np.random.default_rng(1).random((3, 60, model.head.draws))
    engine.begin(fed.start, fed.outputs)
    drawn, bits = engine.draw(uniforms)
    check_draws(model, fed, drawn, uniforms, filters)
    engine.begin(fed.start, fed.outputs)
    np.testing.assert_allclose(engine.score(drawn)[1], bits, rtol=1e-4)


@EACH_HEAD
def test_blocks_of_any_length_give_the_same(tokens: TokenSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("samplernn", tokens)
    program, fed = steps.step_program(model), Fed(model, 2, 5, 40)
    uniforms = np.random.default_rng(2).random((2, 40, model.head.draws))
    whole = TorchEngine(program, 2, Filters())
    whole.begin(fed.start, fed.outputs)
    expected = whole.draw(uniforms)
    monkeypatch.setattr(torch_steps, "BLOCK", 7)
    cut = TorchEngine(program, 2, Filters())
    cut.begin(fed.start, fed.outputs)
    pieces = [cut.draw(uniforms[:, first:stop]) for first, stop in ((0, 1), (1, 20), (20, 40))]
    for part, piece in zip(expected, zip(*pieces, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(piece, axis=1), part)
    np.testing.assert_array_equal(fed.score(cut), fed.score(whole))


ALL_KINDS = [(kind, tokens, Filters()) for kind in STEPPED for tokens in HEADS]
ALL_FILTERS = [("tcn", tokens, filters) for filters in FILTERS[1:] for tokens in HEADS]


@pytest.mark.parametrize(("kind", "tokens", "filters"), ALL_KINDS + ALL_FILTERS, ids=str)
def test_a_step_on_cuda_never_waits_for_the_device(
    kind: str, tokens: TokenSpec, filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors without values, which raise where the host asks for one, as a synchronisation does."""
    program = steps.step_program(tiny_model(kind, tokens))
    monkeypatch.setattr(torch_steps, "_Capture", lambda device: None)
    with FakeTensorMode(allow_non_fake_inputs=True):
        engine = TorchEngine(program, 2, filters, torch.device("cuda"))
        engine._heard = torch.zeros(2, 5, program.head.size, device="cuda")
        for mode in ("draw", "score"):
            engine._token(None, mode)()
            engine._token(tuple(range(len(program.operations))), mode)()
        assert engine._buffers.codes.device.type == "cuda"


def test_outputs_that_are_not_finite_are_an_error() -> None:
    model = tiny_model("tcn", CategoricalTokens(values=5))
    fed = Fed(model, 2, 3, 1)
    engine = TorchEngine(steps.step_program(model), 2, Filters())
    engine.begin(fed.start, torch.full_like(fed.outputs, float("nan")))
    with pytest.raises((SeqgenError, ValueError), match=r"NaN or infinities|not finite"):
        engine.draw(np.full((2, 4, 1), 0.5))


def test_an_operation_that_it_does_not_know_is_refused() -> None:
    @dataclass(frozen=True, eq=False)
    class Fold:
        out: Slot
        every: int = 1
        at: int = 0

    program = steps.step_program(tiny_model("tcn", CategoricalTokens(values=5)))
    program = replace(program, operations=(*program.operations, Fold(Slot("folded", 3))))
    with pytest.raises(SeqgenError, match="knows no operation Fold"):
        Lowering(Buffers(program, 1, torch.device("cpu"))).step([len(program.operations) - 1])


def test_whether_it_works_is_told_in_words() -> None:
    assert torch_steps.problem(torch.device("cpu")) is None
    expected = None if torch.cuda.is_available() else "there is no CUDA device"
    assert torch_steps.problem(torch.device("cuda")) == expected


@CUDA
@EACH_STEPPED_KIND
@EACH_HEAD
def test_captured_graphs_give_the_outputs_of_the_model(kind: str, tokens: TokenSpec) -> None:
    model = tiny_model(kind, tokens)
    fed = Fed(model, 3, 13, 100)
    engine = TorchEngine(steps.step_program(model), 3, Filters(), torch.device("cuda"))
    np.testing.assert_allclose(fed.score(engine), fed.expected.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fed.score(engine), fed.expected.numpy(), rtol=1e-4, atol=1e-4)  # all captured by now
    uniforms = np.random.default_rng(1).random((3, fed.forced.shape[1], model.head.draws))
    engine.begin(fed.start, fed.outputs)
    check_draws(model, fed, engine.draw(uniforms)[0], uniforms, Filters())
