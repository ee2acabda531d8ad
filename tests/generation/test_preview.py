"""Samples during training: the same excerpt and randomness at every step, into the run's folder."""

import json

import numpy as np
import soundfile
from tiny import make_data, make_run

from seqgen_core.generation.preview import preview_drawer


def test_files_and_sounds_of_two_steps(tmp_path, tiny_data):
    run = make_run(tmp_path / "run", tiny_data, sample_count=2, sample_length=0.05)
    from seqgen_core import models

    model = models.build(run.settings.model, run.settings.tokens).eval()
    item = tiny_data.items("valid")[0]
    draw = preview_drawer(run, item.origin, tiny_data.tokens(item), None)
    first, second = draw(model, 3), draw(model, 4)
    assert [(name, rate) for name, _, rate in first] == [("sample-0", 1000), ("sample-1", 1000)]
    for (_, one, _), (_, other, _) in zip(first, second, strict=True):
        assert one.dtype == np.float32
        assert len(one) == 300 + 50  # the whole held-out recording, being short, and what was drawn
        assert np.array_equal(one, other)
    assert not np.array_equal(first[0][1], first[1][1])
    folder = run.path / "samples" / "step-3"
    sheet = json.loads((folder / "sheet.json").read_text())
    assert (sheet["checkpoint"], len(sheet["clips"])) == (3, 2)
    assert len(soundfile.read(folder / sheet["clips"][0]["files"]["joined"])[0]) == 350


def test_a_labelled_run_draws_with_the_recording_s_label(tmp_path):
    data = make_data(tmp_path / "prepared", labels=2)
    run = make_run(tmp_path / "run", data, "wavenet", sample_count=1, sample_length=0.05)
    from seqgen_core import models

    model = models.build(run.settings.model, run.settings.tokens).eval()
    item = data.items("valid")[0]
    sounds = [preview_drawer(run, item.origin, data.tokens(item), label)(model, 1)[0][1] for label in (0, 1)]
    assert not np.array_equal(*sounds)
