"""One step as an ONNX file: ONNX Runtime gives the model's outputs, and what does not is not written."""

import dataclasses
import json
import math

import numpy as np
import onnx
import pytest
import torch
from test_weights_file import untrained
from tiny import TINY_MODELS, make_data

from seqgen_core import models
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.exporting import onnx_file, onnx_plan
from seqgen_core.exporting.onnx_check import OnnxStep, compare
from seqgen_core.exporting.onnx_file import count_nodes, step_file, write_onnx
from seqgen_core.exporting.onnx_plan import Block, Layout, kept_slots, nest
from seqgen_core.models.condition import Condition
from seqgen_core.models.steps import step_program
from seqgen_core.models.tokens import random_tokens
from seqgen_core.settings.tokens import AmplitudeTokens, BinaryTokens, CategoricalTokens, PixelTokens

torch.set_num_threads(1)

SOUND = CategoricalTokens(values=16, ordered=True)
WORDS = CategoricalTokens(values=11)
COLOURED = PixelTokens(height=4, width=3, channels=3, levels=4)
GREY = PixelTokens(height=3, width=5, levels=4)
SPOKEN = {
    "wavenet": [
        (SOUND, {}),
        (AmplitudeTokens(), {"classes": 3, "local_features": 4}),
        (BinaryTokens(width=5), {"classes": 1, "bias": True, "skip": "sum"}),
        (SOUND, {"input": "one-hot", "kernel_size": 3}),
    ],
    "sequnet": [(SOUND, {}), (SOUND, {"levels": 5, "depth": 2}), (BinaryTokens(width=5), {"mixtures": 0})],
    "tcn": [(WORDS, {}), (WORDS, {"tied": True}), (BinaryTokens(width=5), {})],
    "sequnet_plain": [(WORDS, {}), (BinaryTokens(width=5), {"levels": 2})],
    "samplernn": [
        (SOUND, {}),
        (SOUND, {"cell": "lstm", "layers": 2, "skip": True, "frame_sizes": (12, 4, 2)}),
        (AmplitudeTokens(), {"learn_initial_state": True}),
        (WORDS, {"frame_sizes": (4,), "embedding": 0}),
    ],
    "pixelcnn": [(COLOURED, {"classes": 3}), (GREY, {}), (GREY, {"mixtures": 2, "classes": 2, "layers": 1})],
}
CASES = [
    pytest.param(kind, tokens, changes, id=f"{kind} {number}")
    for kind, cases in SPOKEN.items()
    for number, (tokens, changes) in enumerate(cases)
]


def build(kind, tokens, changes):
    """A model with fresh weights, none of them zero."""
    torch.manual_seed(1)
    settings = type(TINY_MODELS[kind]).model_validate({**TINY_MODELS[kind].model_dump(), **changes})
    model = models.build(settings, tokens).eval().fold()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return model


def write(model, path):
    path.write_bytes(step_file(model, step_program(model), {}).SerializeToString())
    return path


def start_of(model):
    return np.zeros(model.tokens.shape, np.int64)


@pytest.mark.parametrize(("kind", "tokens", "changes"), CASES)
def test_outputs_are_those_of_the_model(tmp_path, kind, tokens, changes):
    """Over several periods of its clock, with a label and features where it has them; over all of an image."""
    model = build(kind, tokens, changes)
    found = compare(model, write(model, tmp_path / "step.onnx"), start_of(model), model.period)
    assert found.tokens == (300 if model.longest is None else model.longest - 1)
    assert found.difference < 1e-5
    assert found.tokens_per_second > 0


@pytest.mark.parametrize(("kind", "tokens", "changes"), [CASES[1], CASES[4], CASES[7], CASES[13], CASES[16]])
def test_clips_stand_side_by_side(tmp_path, kind, tokens, changes):
    model = build(kind, tokens, changes)
    step, count = OnnxStep(write(model, tmp_path / "step.onnx"), clips=3), 30
    heard = random_tokens(model.tokens, 3, count)
    heard[:, :1] = 0
    labels = torch.tensor([0, 2, 1]) if model.classes else None
    features = torch.randn(3, count, model.local_features) if model.local_features else None
    told = {name: value for name, value in (("label", labels), ("features", features)) if value is not None}
    outputs = []
    for place in range(count):
        beside = {name: (value[:, place] if name == "features" else value).numpy() for name, value in told.items()}
        outputs.append(step.advance({"token": heard[:, place].numpy(), **beside}))
    with torch.inference_mode():
        expected = model(heard, Condition(labels, features)).numpy()
    np.testing.assert_allclose(np.stack(outputs, axis=1), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "tokens", "changes"), [CASES[0], CASES[5], CASES[12], CASES[14]])
def test_large_slots_lie_alone(tmp_path, monkeypatch, kind, tokens, changes):
    monkeypatch.setattr(onnx_plan, "LARGEST_PACKED", 6)
    model = build(kind, tokens, changes)
    path = write(model, tmp_path / "step.onnx")
    assert len(OnnxStep(path).state) >= 3
    assert compare(model, path, start_of(model), model.period).difference < 1e-5


@pytest.mark.parametrize(("kind", "tokens", "changes"), [CASES[1], CASES[5], CASES[13], CASES[15]])
def test_the_file_is_onnx_by_its_own_rules(tmp_path, kind, tokens, changes):
    file = onnx.load(write(build(kind, tokens, changes), tmp_path / "step.onnx"))
    onnx.checker.check_model(file, full_check=True)
    told = json.loads(file.metadata_props[0].value)
    wanted = {"token", *told["state"]} | {"label" for _ in [0] if changes.get("classes")}
    assert {part.name for part in file.graph.input} - {"features"} == wanted
    assert [part.name for part in file.graph.output] == ["outputs", *told["next_state"]]


@pytest.mark.parametrize(("kind", "tokens", "changes"), CASES)
def test_blocks_keep_the_order_and_stand_where_all_in_them_is_due(kind, tokens, changes):
    operations = step_program(build(kind, tokens, changes)).operations
    whole = nest(operations)
    assert tuple(whole.operations()) == operations
    blocks = [whole]
    for block in blocks:
        for operation in block.operations():
            assert operation.every % block.every == 0
            assert operation.at % block.every == block.at
        inner = [part for part in block.parts if isinstance(part, Block)]
        assert all(part.every > block.every for part in inner)
        blocks += inner


def test_slow_levels_stand_inside_of_faster_ones():
    """A tick of no level but the fastest meets two questions, however many levels there are."""
    model = build("sequnet", SOUND, {"levels": 6})
    whole = nest(step_program(model).operations)
    assert [(part.every, part.at) for part in whole.parts if isinstance(part, Block)] == [(2, 0), (2, 1)]


@pytest.mark.parametrize(("kind", "tokens", "changes"), CASES)
def test_every_slot_of_the_state_lies_in_one_place(kind, tokens, changes):
    program = step_program(build(kind, tokens, changes))
    widths = {slot: program.slots[slot] * slot.channels for slot in kept_slots(program)}
    layout = Layout(nest(program.operations), widths)
    assert sorted(layout.slots, key=list(widths).index) == list(widths)
    ends = 0
    for slot in layout.slots:
        assert layout.place(slot) == ends
        ends += widths[slot]
    assert layout.width == ends


def test_slots_of_a_slow_level_are_at_home_in_its_block():
    """A token at which it does not tick leaves its row alone."""
    program = step_program(build("sequnet", SOUND, {"levels": 6}))
    layout = Layout(nest(program.operations), {slot: slot.channels for slot in kept_slots(program)})
    (inside,) = layout.rows
    assert (inside.block.every, inside.block.at) == (2, 0)
    assert len(layout.own) < len(inside.slots)


def test_only_what_later_tokens_need_is_state():
    program = step_program(build("wavenet", SOUND, {}))
    assert [slot.name for slot in kept_slots(program)] == ["input 1", "input 2", "input 3"]
    program = step_program(build("samplernn", SOUND, {}))
    names = {slot.name for slot in kept_slots(program)}
    assert "tier 1 layer 1 outputs" in names
    assert "hidden 2" not in names


# whole files


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    return untrained(folder / "small", make_data(folder / "prepared", lengths={"train": (50,)}, labels=2), "wavenet")


def test_a_file_says_how_to_read_it(tmp_path, run):
    amplitudes = np.linspace(-1, 1, 16, dtype=np.float32)
    written = write_onnx(run, tmp_path / "small.onnx", np.array(8), amplitudes)
    assert (written.step, written.ema) == (3, True)
    assert written.comparison.difference < 1e-5
    file = onnx.load(written.path)
    assert written.nodes == count_nodes(file.graph)
    told = json.loads({entry.key: entry.value for entry in file.metadata_props}["seqgen"])
    assert (told["format"], told["format_version"], told["name"], told["step"], told["ema"]) == (
        ("seqgen-onnx", 1, "small", 3, True)
    )
    assert (told["head"], told["values"], told["start"], told["rate"]) == ("categorical", 16, 8, 1000)
    assert told["codec"]["kind"] == "mu-law"
    assert told["labels"] == ["class 0", "class 1"]
    assert np.array(told["amplitudes"], np.float32).tolist() == amplitudes.tolist()
    assert list(tmp_path.iterdir()) == [written.path]


def test_other_heads_are_named(tmp_path):
    for model, head in (("sequnet", "mixture"), ("tcn", "bernoulli")):
        tokens = AmplitudeTokens() if head == "mixture" else BinaryTokens(width=5)
        built = build(model, tokens, {})
        told = onnx_file.head_account(built)
        assert told["head"] == head
        if head == "mixture":
            low, high = told["log_scales"]
            assert (low, high) == (pytest.approx(math.log(0.2 / 65535)), 10)


def test_a_file_that_computes_something_else_is_not_written(tmp_path, run, monkeypatch):
    def wrong(model):
        program = step_program(model)
        last = program.operations[-1]
        moved = dataclasses.replace(last, bias=last.bias + 2e-4)
        return dataclasses.replace(program, operations=(*program.operations[:-1], moved))

    monkeypatch.setattr(onnx_file, "step_program", wrong)
    with pytest.raises(SeqgenError, match=r"differ by 2\.0e-04 over 300 tokens, more than 0\.0001; no file"):
        write_onnx(run, tmp_path / "small.onnx", np.array(8))
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large_or_there_already_is_refused(tmp_path, run, monkeypatch):
    (tmp_path / "there.onnx").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"there\.onnx is there already"):
        write_onnx(run, tmp_path / "there.onnx", np.array(8))
    with pytest.raises(UsageError, match=r"does not end in \.onnx"):
        write_onnx(run, tmp_path / "file.safetensors", np.array(8))
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(SeqgenError, match=r"The weights take [\d,]+ bytes; an ONNX file holds 1,000"):
        write_onnx(run, tmp_path / "small.onnx", np.array(8))
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
