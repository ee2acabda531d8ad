"""Which windows a model is trained on: alone, whole images, or going on from one another."""

import numpy as np
import pytest
from tiny import TINY_MODELS, make_data, make_images

from seqgen_core import models
from seqgen_core.data.carried import CarriedWindows
from seqgen_core.data.store import PreparedData
from seqgen_core.data.windows import Windows
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.train import TrainSettings
from seqgen_core.training.feeding import training_windows


def source(kind, data, **train):
    model = models.build(TINY_MODELS[kind], data.manifest.tokens)
    settings = TrainSettings(**{"window": 32, "batch_size": 3, "seed": 5, **train})
    return training_windows(model, data, settings), model


@pytest.mark.parametrize(
    ("kind", "carry", "carried"),
    [
        ("wavenet", None, False),
        ("wavenet", False, False),
        ("wavenet", True, True),
        ("sequnet", None, False),
        ("sequnet", True, True),
        ("samplernn", None, True),
        ("samplernn", False, False),
    ],
)
def test_recurrent_models_carry_their_state_unless_told_otherwise(tiny_data, kind, carry, carried):
    windows, _ = source(kind, tiny_data, carry=carry)
    assert type(windows) is (CarriedWindows if carried else Windows)
    assert (windows.window, windows.batch_size, windows.seed) == (32, 3, 5)


@pytest.mark.parametrize("kind", ["wavenet", "sequnet"])
def test_windows_that_stand_alone_have_the_receptive_field_before_them(tiny_data, kind):
    windows, model = source(kind, tiny_data)
    assert windows.context == model.receptive_field - 1
    assert source(kind, tiny_data, context=3)[0].context == 3
    assert source(kind, tiny_data, context=0)[0].context == 0


def test_a_recurrent_model_without_its_state_has_the_context_that_is_asked_for(tiny_data):
    assert source("samplernn", tiny_data, carry=False)[0].context == 0
    assert source("samplernn", tiny_data, carry=False, context=40)[0].context == 40


@pytest.mark.parametrize(("window", "near"), [(33, 32), (3, 4), (1, 4), (30, 32), (35, 36)])
def test_a_window_that_would_break_the_clock_is_refused(tiny_data, window, near):
    with pytest.raises(UsageError, match=rf"train\.window = {window} is no multiple of 4") as caught:
        source("sequnet", tiny_data, window=window, carry=True)
    assert caught.value.hint == f"Set window={near}."
    source("sequnet", tiny_data, window=near, carry=True)
    source("sequnet", tiny_data, window=window)
    source("wavenet", tiny_data, window=window, carry=True)


def test_images_are_taken_whole(tmp_path):
    data = make_images(tmp_path / "images")
    windows, model = source("pixelcnn", data)
    assert type(windows) is Windows
    assert model.longest == 7
    assert (windows.window, windows.context, windows.steps_per_epoch) == (6, 0, 3)
    shapes = {windows.batch(step).inputs.shape for step in range(3)}
    assert shapes == {(3, 6), (1, 6)}
    batch = windows.batch(0)
    assert batch.mask.all()
    assert not batch.inputs[:, 0].any()


def test_streams_of_images_fit_into_one_window_too(tmp_path):
    data = make_images(tmp_path / "images")
    windows, _ = source("wavenet", data)
    assert windows.steps_per_epoch == 3
    assert {windows.batch(step).inputs.shape[1] for step in range(3)} == {6}


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_model_with_classes_wants_a_label_of_every_recording(tmp_path, split):
    with PreparedWriter(tmp_path, AudioCodecSettings(levels=16)) as writer:
        for name in ("train", "valid", "test"):
            writer.add(np.zeros(9, int), origin=name, split=name, label=None if name == split else 1)
        writer.finish(label_names=("a", "b"))
    data = PreparedData.open(tmp_path)
    model = models.build(TINY_MODELS["wavenet"].model_copy(update={"classes": 2}), data.manifest.tokens)
    if split == "test":
        training_windows(model, data, TrainSettings())
    else:
        with pytest.raises(UsageError, match=r"model\.classes = 2, but 1 of the recordings .* have no label"):
            training_windows(model, data, TrainSettings())
    source("wavenet", data)  # without classes nothing is asked for


def test_images_are_whole_so_there_is_nothing_to_carry(tmp_path):
    with pytest.raises(UsageError, match="each is taken whole"):
        source("pixelcnn", make_images(tmp_path / "images"), carry=True)


@pytest.mark.parametrize("carry", [True, False])
def test_nothing_to_train_on(tmp_path, carry):
    data = make_data(tmp_path / "prepared", lengths={"train": (1,), "test": (9,)})
    with pytest.raises(SeqgenError, match="no recording to train on"):
        source("wavenet", data, carry=carry)
