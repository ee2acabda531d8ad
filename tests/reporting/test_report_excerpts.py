"""Real excerpts that differ, and what is said of clips by where their beginnings are from."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from test_report_curves import a_run
from tiny import make_data, make_run

from seqgen_core.errors import UsageError
from seqgen_core.generation import starts
from seqgen_core.library import Run
from seqgen_core.library.blueprint import blueprint
from seqgen_core.library.prime_places import seed_of_primes
from seqgen_core.reporting import gathering, page
from seqgen_core.reporting.excerpts import Excerpts
from seqgen_core.reporting.players import blocks
from seqgen_core.reporting.sheets import find_sheets
from seqgen_core.reporting.specimens import Group, Pair, Recording, Sound, Specimen
from seqgen_core.reporting.tables import differing


def test_excerpts_are_of_other_recordings_first_and_never_overlap(tmp_path):
    data = make_data(tmp_path / "data", lengths={"train": (900,), "valid": (300,), "test": (400, 200)})
    shown = next(item for item in data.items("test") if item.length == 200)
    real = Excerpts(data, 0, [(shown.key, 0, 100)])
    found = []
    while (one := real.take(None, 100)) is not None:
        found.append(one)
    assert {one[0].origin for one in found[:2]} == {"valid 0", "test 0"}  # test 1 stands on the page
    places = [(item.key, place) for item, start, size in found for place in range(start, start + size)]
    assert len(set(places)) == len(places)
    assert len(found) >= 5
    assert all(item.split != "train" for item, _, _ in found)


def test_short_recordings_come_after_those_that_fit(tmp_path):
    data = make_data(tmp_path / "data", lengths={"train": (900,), "valid": (40,), "test": (400,)})
    real = Excerpts(data, 0)
    assert real.take(None, 150)[0].origin == "test 0"
    assert Excerpts(data, 0).take(5, 100) is None


def test_what_a_sheet_tells_wrongly_makes_it_none(tmp_path):
    good = {"tokens": 9, "files": {"clip": "c.wav"}, "bits_per_token": float("nan"), "prime": {"origin": 7, "start": 3}}
    cases = {"good": good, "start": good | {"prime": {"start": "x"}}, "tokens": good | {"tokens": -1}}
    cases |= {"label": good | {"label": -1}, "endless": good | {"prime": {"start": float("inf")}}}
    for name, entry in cases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.wav").touch()
        sheet = {"checkpoint": 8, "settings": {"ema": False}, "clips": [entry]}
        (tmp_path / name / "sheet.json").write_text(json.dumps(sheet))
    (sheet,) = find_sheets(tmp_path)
    assert (sheet.folder.name, sheet.how(), sheet.clips[0].bits) == ("good", "no-ema", None)
    assert (sheet.clips[0].prime["origin"], sheet.clips[0].name) == ("7", "c.wav")


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("test", "which is held out; beside it stands"),
        ("train", "which is from the training data; beside it stands"),
        ("", "which is not from the data that are here."),
    ],
)
def test_the_lead_says_where_beginnings_are_from(split, said):
    sound = Specimen(Sound(np.zeros(80, np.float32), 8000, Recording(b"", "audio/wav", 0.01), 0.005))
    pair = Pair(sound, sound if split else None, origin="a/piano.wav", split=split, file="clip-005.wav")
    run = dataclasses.replace(a_run(), groups=(Group(True, (pair,), 8), Group(False, (pair,), 8, folder="now")))
    continued, free = blocks(run)
    assert said in continued.lead
    assert ("how the recording really goes on" in continued.lead) == bool(split)
    assert continued.rows[0].heading == "piano.wav (clip-005.wav)"
    assert free.rows[0].heading == "clip-005.wav"
    assert free.lead.endswith("The files are in now.")
    assert ("held-out" in free.lead) == (split == "test")


def test_data_are_called_by_what_says_something():
    named = {"/x/voices/data/prepared": "voices", "/x/data/music": "music", "/data": "data"}
    assert {path: gathering._telling(Path(path)) for path in named} == named


def test_a_place_that_takes_no_files_is_told_before_any_work():
    with pytest.raises(UsageError, match="cannot be written"):
        page.check_place(Path("/dev/null/page.html"))


def test_settings_that_differ_stand_by_section():
    runs = [a_run("a"), a_run("b")]
    changed = runs[1].settings
    model = changed.model.model_copy(update={"kernel_size": 99})
    train = changed.train.model_copy(update={"steps": 77})
    runs[1] = dataclasses.replace(runs[1], settings=changed.model_copy(update={"model": model, "train": train}))
    sections = [name.partition(".")[0] for name, _ in differing(runs)]
    assert len(set(sections)) == sum(a != b for a, b in zip(["", *sections], sections, strict=False))


def test_primes_lie_apart_with_as_much_after_them_as_is_drawn(tmp_path):
    data = make_data(tmp_path / "data", lengths={"train": (300,), "valid": (90,), "test": (1500, 90)})
    run = Run(make_run(tmp_path / "run", data, "tcn"))
    run.model = lambda *_, **__: (blueprint(run.settings), 0)
    streams = [data.stream(item) for item in data.items("test")]
    seed = seed_of_primes(run, streams, 3, 4, seconds=0.2, prime_seconds=0.1)
    assert seed >= 4
    found = sorted(starts.draw_primes(streams, 100, 3, seed), key=lambda one: one.start)
    assert all(one.origin == "test 0" and one.start + 300 <= 1500 for one in found)
    assert all(b.start - a.start >= 300 for a, b in itertools.pairwise(found))
