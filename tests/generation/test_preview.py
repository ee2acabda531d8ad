"""Samples during training: the same excerpt and randomness at every step, into the run's folder."""

import json

import numpy as np
import pytest
import soundfile
from tiny import make_data, make_images, make_run

from seqgen_core import models
from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.generation.preview import preview_drawer
from seqgen_core.settings.codec import CodecSettings, NotesCodecSettings, TextCodecSettings
from seqgen_core.streams import Stream


def built(run):
    return models.build(run.settings.model, run.settings.tokens).eval()


def prepared(path, codec: CodecSettings, length: int = 60) -> PreparedData:
    """Random recordings of any codec."""
    spec = codec.tokens
    with PreparedWriter(path, codec) as writer:
        for number, split in enumerate(("train", "valid")):
            tokens = np.random.default_rng(number).integers(0, spec.values, (length, *spec.shape))
            writer.add(tokens, origin=split, split=split)
        writer.finish()
    return PreparedData.open(path)


def valid_stream(data: PreparedData) -> Stream:
    return data.stream(data.items("valid")[0])


def sheet_of(run, step):
    return json.loads((run.path / "samples" / f"step-{step}" / "sheet.json").read_text())


def test_files_and_sounds_of_two_steps(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, sample_count=2, sample_length=0.05)
    model = built(run)
    draw = preview_drawer(run, valid_stream(tiny_data))
    first, second = draw(model, 3), draw(model, 4)
    assert [(shown.name, shown.kind, shown.rate) for shown in first] == [
        ("sample-0", "sound", 1000),
        ("sample-1", "sound", 1000),
    ]
    for one, other in zip(first, second, strict=True):
        assert one.value.dtype == np.float32
        assert len(one.value) == 300 + 50  # the whole held-out recording, being short, and what was drawn
        assert np.array_equal(one.value, other.value)
    assert not np.array_equal(first[0].value, first[1].value)
    folder = run.path / "samples" / "step-3"
    sheet = sheet_of(run, 3)
    assert (sheet["checkpoint"], len(sheet["clips"])) == (3, 2)
    assert len(soundfile.read(folder / sheet["clips"][0]["files"]["joined"])[0]) == 350


def test_a_labelled_run_draws_with_the_recording_s_label(tmp_path):
    data = make_data(tmp_path / "prepared", labels=2)
    run = make_run(tmp_path / "run", data, "wavenet", sample_count=1, sample_length=0.05)
    model, tokens = built(run), valid_stream(data).tokens
    sounds = [preview_drawer(run, Stream("", tokens, label))(model, 1)[0].value for label in (0, 1)]
    assert not np.array_equal(*sounds)


def test_a_run_with_features_leaves_something_to_draw(tmp_path):
    data = make_data(tmp_path / "prepared", bands=2)
    run = make_run(tmp_path / "run", data, "wavenet", sample_count=1, sample_length=0.1)
    (shown,) = preview_drawer(run, valid_stream(data))(built(run), 1)
    assert len(shown.value) == 150 + 100  # half of the recording, and as much again as was asked for
    unaware = make_run(
        tmp_path / "unaware", make_data(tmp_path / "plain"), "wavenet", sample_count=1, sample_length=0.1
    )
    (shown,) = preview_drawer(unaware, valid_stream(data))(built(unaware), 1)
    assert len(shown.value) == 300 + 100  # the model is not told of them


@pytest.mark.parametrize("codec", [TextCodecSettings(vocabulary=tuple("\nabc")), NotesCodecSettings(keys=5)], ids=str)
def test_texts_have_their_length_and_notes_their_seconds(tmp_path, codec):
    data = prepared(tmp_path / "prepared", codec)
    run = make_run(tmp_path / "run", data, "wavenet", sample_count=2, sample_length=5.0)
    shown = preview_drawer(run, valid_stream(data))(built(run), 1)
    text = codec.kind == "characters"
    assert [(one.name, one.kind) for one in shown] == [(f"sample-{n}", "text" if text else "image") for n in (0, 1)]
    assert [clip["tokens"] for clip in sheet_of(run, 1)["clips"]] == [200 if text else 20] * 2
    if text:
        assert all(set(one.value) <= set("\nabc") for one in shown)
        assert {len(one.value) for one in shown} == {260}


def test_the_answer_of_a_task_is_drawn_and_no_more(tmp_path):
    data = prepared(tmp_path / "prepared", TextCodecSettings(kind="words", vocabulary=tuple("012345")), length=30)
    run = make_run(tmp_path / "run", data, "wavenet", sample_count=1)
    stream = valid_stream(data)
    preview_drawer(run, Stream("", stream.tokens, given=24))(built(run), 1)
    (clip,) = sheet_of(run, 1)["clips"]
    assert (clip["tokens"], clip["prime"]["tokens"]) == (6, 24)


def test_images_are_completed(tmp_path):
    data = make_images(tmp_path / "images", labels=2)
    run = make_run(tmp_path / "run", data, "pixelcnn", sample_count=2)
    shown = preview_drawer(run, valid_stream(data))(built(run), 1)
    assert [one.kind for one in shown] == ["image", "image"]
    assert all(one.value.dtype == np.uint8 and one.value.shape[2] == 3 for one in shown)
    for clip in sheet_of(run, 1)["clips"]:
        assert (clip["prime"]["tokens"], clip["tokens"]) == (1 + 2, 4)  # the first row is given, two are drawn
        assert clip["label"] == valid_stream(data).label
