"""Which of a run's clips a page shows, and what stands in its tables."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from test_report_curves import a_run

from seqgen_core.errors import UsageError
from seqgen_core.reporting import page as page_module
from seqgen_core.reporting import report as report_module
from seqgen_core.reporting.facts import DataFacts
from seqgen_core.reporting.gathering import run_names
from seqgen_core.reporting.headline import sentences, title_of
from seqgen_core.reporting.sheets import continuing, find_sheets, from_nothing
from seqgen_core.reporting.specimens import Group
from seqgen_core.reporting.tables import commands, differing, duration, overview, size
from seqgen_core.settings.report import ReportSettings


def write(folder, clips, time, **head):
    """A sheet with empty files; clips: (label, primed) of each."""
    folder.mkdir(parents=True)
    entries = []
    for number, (label, primed) in enumerate(clips):
        name = f"clip-{number}.wav"
        (folder / name).touch()
        entry = {"clip": number, "tokens": 9, "bits_per_token": 2.5, "files": {"clip": name}}
        entry |= {"label": label} if label is not None else {}
        entry |= {"prime": {"origin": "o", "start": 3, "tokens": 4}} if primed else {}
        entries.append(entry)
    (folder / "sheet.json").write_text(json.dumps({"checkpoint": 8, **head, "clips": entries}))
    os.utime(folder / "sheet.json", (time, time))


def test_what_was_asked_for_comes_before_what_training_drew_and_the_newest_first(tmp_path):
    write(tmp_path / "step-8", [(None, True)], 50)
    write(tmp_path / "old", [(None, True)], 10, settings={})
    write(tmp_path / "new", [(None, True)], 20, settings={"temperature": 0.9, "top_k": 0, "rank": 40, "dither": True})
    write(tmp_path / "free", [(None, False)], 5, settings={})
    found = find_sheets(tmp_path)
    assert [sheet.folder.name for sheet in found] == ["new", "old", "free", "step-8"]
    assert continuing(found).folder.name == "new"
    assert from_nothing(found, 0)[0].folder.name == "free"
    assert found[0].how() == "temperature 0.9, rank 40, dither"
    assert found[1].how() == ""
    assert (found[0].step, found[0].clips[0].given, found[0].clips[0].bits) == (8, 4, 2.5)


def test_damaged_sheets_and_clips_whose_files_are_gone_count_as_none(tmp_path):
    write(tmp_path / "gone", [(None, False)], 1)
    (tmp_path / "gone/clip-0.wav").unlink()
    write(tmp_path / "half", [(None, False), (None, False)], 2)
    (tmp_path / "half/clip-1.wav").unlink()
    for name, text in (("cut", '{"clips": ['), ("list", "[1]"), ("no", "{}"), ("odd", '{"clips": [{"tokens": "x"}]}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sheet.json").write_text(text)
    found = find_sheets(tmp_path)
    assert [(sheet.folder.name, len(sheet.clips)) for sheet in found] == [("half", 1)]
    assert find_sheets(tmp_path / "nowhere") == []
    assert continuing(found) is None


def test_clips_of_each_class_come_together_from_several_sheets(tmp_path):
    for time, label in enumerate((2, 0, 1, 0)):
        write(tmp_path / f"{time}", [(label, False)], time, settings={})
    write(tmp_path / "other", [(3, False)], -1, settings={}, checkpoint=4)
    _, clips = from_nothing(find_sheets(tmp_path), 4)
    assert [(clip.label, clip.folder.name) for clip in clips] == [(0, "3"), (1, "2"), (2, "0")]


def test_names_of_runs_are_told_apart():
    class Named:
        def __init__(self, path):
            self.path = Path(path)

    assert run_names([Named("/a/x/run"), Named("/a/y/run"), Named("/a/y/other")]) == ["x/run", "y/run", "other"]


def test_the_fewest_bits_stand_out_only_among_runs_on_the_same_data():
    runs = [a_run("a", valid=[(1, 1.0, 5.0), (2, 2.0, 5.5)]), a_run("b", valid=[(1, 1.0, 5.2)]), a_run("c")]
    rows = {name: cells for section in overview(runs) for name, cells in section.rows}
    assert [cell.best for cell in rows["held-out, best"]] == [True, False, False]
    assert [cell.best for cell in rows["held-out, last"]] == [False, True, False]
    assert [cell.text for cell in rows["held-out, best"]] == ["5.000 (step 1)", "5.200 (step 1)", "–"]
    other = dataclasses.replace(runs[1], data=dataclasses.replace(runs[1].data, content="y"))
    rows = {name: cells for section in overview([runs[0], other]) for name, cells in section.rows}
    assert not any(cell.best for cell in rows["held-out, best"])
    assert differing(runs) == []


def test_sentences_say_what_bits_are_worth():
    run = dataclasses.replace(
        a_run("a", trained=[(9, 61.0, 5.0)], valid=[(9, 61.0, 6.0)]), step=9, parameters=2_500_000
    )
    said = sentences(run)
    assert "A TCN with 2.5 million parameters, trained for 9 steps" in said[0]
    assert said[1:] == [
        "It needs 6.000 bits per sample on held-out data.",
        "2.000 bits fewer than knowing nothing (uniform: 8.000).",
        "1.000 bits fewer than knowing how often each value occurs (order-0: 7.000).",
        "1.000 bits more than knowing that for each value before (order-1: 5.000).",
    ]
    tested = dataclasses.replace(run, test=4.0)
    assert sentences(tested)[1] == "It needs 4.000 bits per sample on test data."
    assert title_of([run, tested]) == "TCN on sound"
    many = [
        dataclasses.replace(run, data=DataFacts(f"d{k}", run.data.codec, None, "", run.data.yardsticks))
        for k in range(5)
    ]
    assert title_of(many) == "5 runs on 5 data sets"


def test_figures_have_units():
    assert [duration(t).replace("\u00a0", " ") for t in (None, 3.21, 61, 3700)] == [
        "–",
        "3.2 s",
        "1 min 1 s",
        "1 h 1 min",
    ]
    assert [size(b) for b in (None, 900, 123456, 2.5e6, 3e9)] == ["–", "0.9 kB", "0.1 MB", "2.5 MB", "3.0 GB"]


def test_commands_can_be_typed():
    data = dataclasses.replace(a_run().data, inputs=("my music",), preprocessing={"labels": "{label}_{}.wav"})
    run = dataclasses.replace(a_run("it's"), data=data)
    group = Group(True, (), settings={"conditional": True, "seed": 0, "count": 2, "out": "x", "label": None})
    lines = commands(dataclasses.replace(run, groups=(group,)))
    assert lines[0] == "seqgen preprocess 'my music' --out data/prepared 'preprocess.labels={label}_{}.wav'"
    assert lines[-1] == """seqgen generate 'runs/it'"'"'s' generate.conditional=true generate.count=2"""


def test_a_large_page_is_warned_of(monkeypatch, tmp_path):
    told = []

    class Heard:
        def warn(self, line):
            told.append(line)

    monkeypatch.setattr(report_module, "LARGE", 10)
    monkeypatch.setattr(report_module, "write_page", lambda facts, settings: page_module.Page(settings.out, 30, 0, 0))
    report_module.report([], ReportSettings(out=tmp_path / "p.html"), Heard())
    assert "a lower --count or shorter --seconds" in told[0]


def test_a_page_stands_only_where_nothing_else_is_lost(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        page_module.check_place(tmp_path)
    mine = tmp_path / "mine.html"
    mine.write_text("<html>")
    with pytest.raises(UsageError, match="no report of seqgen"):
        page_module.check_place(mine)
    mine.write_text(f'<meta name="generator" content="{page_module.MARK}, seqgen 0">')
    page_module.check_place(mine)
    page_module.check_place(tmp_path / "new.html")
