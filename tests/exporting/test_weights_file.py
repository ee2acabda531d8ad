"""One file of weights and settings gives back the model of the run, or says in a line why it does not."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_data, make_images, make_run

from seqgen_core import models
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.exporting import weights_file
from seqgen_core.exporting.weights_file import open_export, write_export
from seqgen_core.runs import Checkpoint
from seqgen_core.settings.toml import to_toml


def untrained(path, data, model, *, ema=True, steps=(3,)):
    """A run with checkpoints of fresh weights, whose moving average differs from them."""
    run = make_run(path, data, model)
    for step in steps:
        torch.manual_seed(step)
        weights = models.build(run.settings.model, run.settings.tokens).state_dict()
        average = {name: value * 0.5 for name, value in weights.items()} if ema else {}
        run.save(Checkpoint(weights, average, {}, {"step": step}), best=step == steps[0], keep=3)
    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "prepared", lengths={"train": (50,)}, labels=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    return untrained(tmp_path_factory.mktemp("runs") / "small", data, "wavenet", steps=(3, 7))


@pytest.fixture(scope="module")
def written(tmp_path_factory, run):
    return write_export(run, tmp_path_factory.mktemp("out") / "small.safetensors")


def same(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_file_gives_back_the_model_the_settings_and_the_step(run, written):
    export = open_export(written)
    assert (export.name, export.step, export.ema) == ("small", 3, True)
    assert export.settings.model == run.settings.model
    assert export.settings.tokens == run.settings.tokens
    assert export.settings.data.codec == run.settings.data.codec
    assert export.settings.data.label_names == ("class 0", "class 1")
    assert export.settings.train.learning_rate == run.settings.train.learning_rate
    for which in ("best", "last", "3"):
        model, step = export.model(which)
        assert step == 3
        assert same(model, run.model("3")[0])
        assert not model.training
        assert model.folded


@pytest.mark.parametrize("kind", ["sequnet", "tcn", "sequnet_plain", "samplernn"])
def test_every_kind_of_model_comes_back_folded(tmp_path, kind):
    plain = make_data(tmp_path / "plain", lengths={"train": (50,)})
    run = untrained(tmp_path / kind, plain, kind, ema=False)
    export = open_export(write_export(run, tmp_path / "out" / "file.safetensors"))
    assert not export.ema  # there was none to take
    assert same(export.model(ema=False)[0], run.model()[0])


def test_images_have_it_too(tmp_path):
    run = untrained(tmp_path / "run", make_images(tmp_path / "images"), "pixelcnn")
    assert same(open_export(write_export(run, tmp_path / "file.safetensors")).model()[0], run.model()[0])


def test_tied_weights_are_in_it_once(tmp_path):
    plain = make_data(tmp_path / "plain", lengths={"train": (50,)})
    run = make_run(tmp_path / "run", plain, "tcn")
    tied = run.settings.model.model_copy(update={"tied": True})
    run.replace_settings(run.settings.model_copy(update={"model": tied}))
    run.save(Checkpoint(models.build(tied, run.settings.tokens).state_dict(), {}, {}, {"step": 1}), best=True, keep=1)
    export = open_export(write_export(run, tmp_path / "file.safetensors"))
    assert same(export.model()[0], run.model()[0])


def test_nothing_in_it_tells_where_the_machine_keeps_things(run, written):
    assert str(run.path.parent).encode() not in written.read_bytes()
    assert str(run.settings.data.path).encode() not in written.read_bytes()


def test_plain_weights_and_other_steps_are_in_it_when_asked_for(tmp_path, run):
    export = open_export(write_export(run, tmp_path / "plain.safetensors", "last", ema=False))
    assert (export.step, export.ema) == (7, False)
    assert same(export.model()[0], run.model("7", ema=False)[0])
    assert not same(export.model()[0], run.model("7")[0])


def test_what_it_does_not_hold_is_refused(written):
    with pytest.raises(UsageError, match=r"holds the weights of step 3 alone; 7 was asked for"):
        open_export(written).model("7")
    with pytest.raises(UsageError, match="holds the moving average of the weights alone"):
        open_export(written).model(ema=False)


def test_no_file_is_overwritten_and_no_folder_taken_for_one(tmp_path, run, written):
    before = written.read_bytes()
    with pytest.raises(UsageError, match=r"is there already"):
        write_export(run, written)
    assert written.read_bytes() == before
    with pytest.raises(UsageError, match=r"is a folder; an export is one file"):
        write_export(run, tmp_path)


def test_a_write_that_fails_leaves_nothing(tmp_path, run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights_file, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_export(run, tmp_path / "file.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_no_flipped_byte_goes_unnoticed(tmp_path, written):
    whole, damaged = written.read_bytes(), tmp_path / "damaged.safetensors"
    start = 8 + int.from_bytes(whole[:8], "little")
    places = [*range(0, start, 97), *range(start, len(whole), 1501), len(whole) - 1]
    for place in places:
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x04]) + whole[place + 1 :])
        with pytest.raises(SeqgenError, match=r"damaged|no whole|not one that|newer"):
            open_export(damaged).model()


def test_a_file_that_is_cut_is_told_from_a_whole_one(tmp_path, written):
    cut = tmp_path / "cut.safetensors"
    for size in (0, 5, 300, written.stat().st_size - 1):
        cut.write_bytes(written.read_bytes()[:size])
        with pytest.raises(SeqgenError, match=r"cut\.safetensors is no whole safetensors file"):
            open_export(cut)


def test_other_files_are_told_by_what_they_are(tmp_path, written):
    with pytest.raises(UsageError, match="There is no file"):
        open_export(tmp_path / "none.safetensors")
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other, {"format": "pt"})
    with pytest.raises(SeqgenError, match="a safetensors file, but not one that seqgen exported"):
        open_export(other)
    other.write_bytes(b"RIFF" + bytes(200))
    with pytest.raises(SeqgenError, match="is no whole safetensors file"):
        open_export(other)


def retold(written, path, **changes):
    """The file with other words in its header, sealed; None takes one away."""
    whole = written.read_bytes()
    told = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]
    told = {name: text for name, text in {**told, **changes}.items() if text is not None and name != "sha256"}
    save_file(load_file(written), path, {**told, "sha256": weights_file._seal(told)})
    return path


def test_a_newer_version_is_named(tmp_path, written):
    newer = retold(written, tmp_path / "newer.safetensors", format_version="2", seqgen="9.1")
    with pytest.raises(SeqgenError, match=r"was written by seqgen 9\.1, in version 2 of the format") as caught:
        open_export(newer)
    assert "pip install -U seqgen" in caught.value.hint


def test_settings_of_a_newer_version_are_told_from_a_slip_of_the_pen(tmp_path, written):
    settings = to_toml(open_export(written).settings).replace("[model]", "[model]\nfoo = 1", 1)
    newer = retold(written, tmp_path / "newer.safetensors", settings=settings, seqgen="9.1")
    with pytest.raises(
        SeqgenError, match=r"written by seqgen 9\.1 \(this is .*not known here: .*'model.foo'"
    ) as caught:
        open_export(newer)
    assert (caught.value.exit_code, "pip install -U seqgen" in caught.value.hint) == (1, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": "[model"}, "a header that cannot be read"),
        ({"step": "many"}, "a header that cannot be read: .*'many'"),
        ({"name": None}, "lacks or misstates 'name'"),
        ({"tensors_sha256": None}, "lacks or misstates 'tensors_sha256'"),
        ({"ema": "perhaps"}, "lacks or misstates 'perhaps'"),
        ({"format_version": "one"}, "states version 'one' of the format"),
        ({"format_version": None}, "states version '' of the format"),
    ],
)
def test_a_header_that_makes_no_sense_is_one_error(tmp_path, written, changes, said):
    with pytest.raises(SeqgenError, match=said) as caught:
        open_export(retold(written, tmp_path / "odd.safetensors", **changes))
    assert (caught.value.exit_code, caught.value.hint) == (1, weights_file.AGAIN)
