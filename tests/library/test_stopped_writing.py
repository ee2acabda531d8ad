"""Ctrl-C and full disks while clips are written: what is drawn is kept, and each file has its entry."""

import errno
import json
import signal
from pathlib import Path

import pytest

from seqgen_core.generation import render


def sheet():
    return json.loads(Path("clips/sheet.json").read_text())


def listed():
    return sorted(name for entry in sheet()["clips"] for name in entry["files"].values())


def there():
    return sorted(path.name for path in Path("clips").iterdir() if path.name != "sheet.json")


@pytest.fixture
def pressed(monkeypatch):
    """Make Ctrl-C come when the files of a clip are written, so many times."""
    plain, left = render.write_clip, []

    def write_clip(*arguments):
        entry = plain(*arguments)
        for _ in range(left.pop() if left else 0):
            signal.raise_signal(signal.SIGINT)
        return entry

    monkeypatch.setattr(render, "write_clip", write_clip)
    return left.append


def test_a_stop_while_clips_are_written_keeps_those_that_are_drawn(trained_project, program, pressed):
    pressed(1)
    out = program("generate", "tcn", "--length", 20, "--count", 7, "--batch-size", 3, "--out", "clips")
    assert out.code == 130
    assert "kept in clips: 3 clips\n" in out.err  # those of the batch; no other was begun
    assert sheet()["stopped"] is True
    assert there() == listed() == ["clip-000.wav", "clip-001.wav", "clip-002.wav"]


def test_a_stop_while_chosen_clips_are_written_keeps_all_of_them(trained_project, program, pressed):
    pressed(1)
    out = program("generate", "tcn", "--length", 9, "--rank", 12, "--count", 3, "--out", "clips")
    assert out.code == 130
    kept = {one["clip"] for one in sheet()["candidates"] if one["verdict"] == "kept"}
    assert {entry["clip"] for entry in sheet()["clips"]} == kept
    assert len(there()) == len(listed()) == 3


def test_a_second_stop_ends_the_writing_at_once(trained_project, program, pressed):
    pressed(2)
    pressed(0)
    out = program("generate", "tcn", "--length", 9, "--count", 3, "--out", "clips")
    assert out.code == 130
    assert there() == listed() == ["clip-000.wav"]


def test_a_stop_without_a_whole_candidate_says_so(trained_project, program, monkeypatch):
    from seqgen_core.generation import clips

    plain = clips.draw_blocks

    def stopped(*arguments):
        yield next(plain(*arguments, 4))
        raise KeyboardInterrupt

    monkeypatch.setattr(clips, "draw_blocks", stopped)
    out = program("generate", "tcn", "--length", 20, "--rank", 9, "--out", "clips")
    assert (out.code, "no candidate was whole; nothing is kept" in out.err) == (130, True)
    assert not Path("clips").exists()


def test_a_clip_that_no_sheet_tells_of_is_taken_away(trained_project, program, monkeypatch):
    plain = render.write_sheet

    def full(folder, head, entries):
        if len(entries) > 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / "sheet.json"))
        return plain(folder, head, entries)

    monkeypatch.setattr(render, "write_sheet", full)
    out = program("generate", "tcn", "--length", 9, "--count", 3, "--out", "clips")
    assert (out.code, "clips/sheet.json: no space is left on the disk" in out.err) == (1, True)
    assert "kept in clips: 1 clip\n" in out.err
    assert there() == listed() == ["clip-000.wav"]
