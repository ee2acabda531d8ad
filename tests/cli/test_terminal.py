"""What is seen at a terminal: tables within its width, one line of progress that keeps still, colours as asked for."""

import io
import json
import re
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

from seqgen_cli import curve, memory, meter, screen, tables, terminal
from seqgen_cli.creating import run_path
from seqgen_cli.meter import Meter
from seqgen_cli.screen import Screen

ESCAPE = "\x1b"
TABLES = [
    "info run sequnet",
    "info presets",
    "info model --preset wavenet-sequnet-baseline --tensors",
    "info model sequnet",
    "info data data/prepared --items",
    "info system",
    "info receptive-field --preset wavenet-small --measure",
    "info receptive-field --preset samplernn-small",
    "evaluate sequnet",
    "evaluate sequnet -v",
    "generate sequnet --length 5 --count 3 --out clips",
    "train sequnet --resume --steps 9",
    "download --list-datasets -v",
]


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("command", TABLES)
def test_every_table_fits_80_columns(trained_project, program, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    out = program(*command.split())
    assert out.code == 0, out.err
    lines = out.out.splitlines()
    assert len(lines) > 3
    assert [line for line in lines if cell_len(line) > 80 and "seqgen " not in line] == []  # commands stay whole


def test_a_pipe_has_a_line_for_each_row(trained_project, program):
    out = program("info", "presets").out
    (line,) = (line for line in out.splitlines() if line.startswith("wavenet-sequnet-baseline"))
    assert line.endswith("(arXiv:1911.06393, raw audio).")


# tables


def test_names_are_cut_in_their_middle_and_prose_is_wrapped():
    rows = [("/a/very/long/way/to/some/recording.wav", "12,345", "what was wrong with it, in words")]
    heading, lines = tables.lay_out(["~file", ">samples", "reason"], rows, 48)
    assert heading == ["file                      samples  reason"]
    assert lines == [
        "/a/very…me/recording.wav   12,345  what was",
        "                                   wrong with",
        "                                   it, in words",
    ]
    assert tables.lay_out(["~file", ">samples", "reason"], rows, None)[1] == [
        "/a/very/long/way/to/some/recording.wav   12,345  what was wrong with it, in words"
    ]


def test_a_sentence_goes_below_its_row_where_it_has_no_room():
    rows = [("one", "12", "A sentence that is rather long."), ("two", "3", "Short.")]
    heading, lines = tables.lay_out(["name", ">size", "/what it is"], rows, 24)
    assert heading == ["name  size"]
    assert lines == ["one     12", "  A sentence that is", "  rather long.", "two      3", "  Short."]
    assert tables.lay_out(["name", ">size", "/what it is"], rows, 60)[1][1] == "two      3  Short."


@pytest.mark.parametrize("width", [24, 33, 57, 80])
def test_no_line_is_longer_than_the_width(width):
    rows = [("日本語の名前がここにある", "1", "one-word-that-is-longer-than-its-column-can-be and some more")] * 2
    heading, lines = tables.lay_out(["~name", ">n", "words"], rows, width)
    assert max(map(cell_len, [*heading, *lines])) <= width


def test_wrapping_keeps_what_fits_as_it_is():
    assert tables.wrap("two  spaces", 20) == ["two  spaces"]
    assert tables.wrap("", 5) == [""]
    assert tables.wrap("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]


# progress


def filled(done=1140.0, **figures):
    task = Meter("training", 20000, "steps")
    task.update(1000, {})
    task._seen[0] = (task._seen[0][0] - 14, 1000.0)
    task.update(done, {"bits": 4.55, "held-out": 5.46, "samples/s": "58,645", **figures})
    return task


def test_what_gives_way_first():
    task = filled()
    lines = {width: task.fitted(width, "486 MiB") for width in (120, 100, 79, 60, 40)}
    assert re.fullmatch(
        r"training  ━─+   1,140/20,000 steps  4\.550 bits  held-out 5\.460  58,645 samples/s  31:2\d left"
        r"  memory 486 MiB",
        lines[120],
    )
    assert "━" not in lines[100]
    assert "held-out" in lines[100]
    assert "held-out" not in lines[79]
    assert re.fullmatch(
        r"training   1,140/20,000 steps  4\.550 bits  58\.6k samples/s  31:2\d left  486 MiB", lines[79]
    )
    assert re.fullmatch(r"training    6%  4\.550 bits  58\.6k samples/s  31:2\d left", lines[60])
    assert re.fullmatch(r"training    6%  4\.550 bits  31:2\d left", lines[40])
    assert all(len(line) <= width for width, line in lines.items())
    assert len(task.fitted(12)) == 12


def test_memory_is_called_so_where_there_is_room():
    assert filled().line("486 MiB").endswith("left  memory 486 MiB")
    assert filled().line("GPU 3.1 GiB").endswith("left  GPU memory 3.1 GiB")


def test_what_has_given_way_stays_away_and_figures_keep_their_places():
    task = filled()
    long = task.fitted(80, "486 MiB")
    task.update(1141, {"bits": 4.5, "samples/s": "9"})
    short = task.fitted(80, "486 MiB")
    assert len(long) == len(short)
    assert "       9 samples/s" in short
    task.update(1142, {"now": "validating 12%"})
    assert "validating 12%" in task.fitted(80, "486 MiB")
    assert "4.500 bits" in task.fitted(80, "486 MiB")
    assert "validating" not in task.line(over=True)
    assert "9 samples/s" in task.line(over=True)


def test_time_left_by_speed_or_by_what_the_stage_knows():
    assert filled().seconds_left == pytest.approx(1886, abs=2)
    assert filled(**{"time left": 60.0}).seconds_left == pytest.approx(60, abs=1)
    task = Meter("reading", None, "files")
    task.update(3, {})
    assert task.seconds_left is None
    assert task.line() == "reading: 3 files"
    assert [meter.clock(seconds) for seconds in (5, 192, 3840, 200_000)] == ["0:05", "3:12", "1:04:00", "2d 7h"]


def test_checks_are_counted_without_a_speed():
    task = Meter("looking", None, "checks")
    task.update(1, {"last": "silence"})
    task._seen[0] = (task._seen[0][0] - 2, 0.0)
    task.update(50, {"last": "amount"})
    assert task.line() == "looking: 50 checks  last amount"


def test_a_limit_in_time_has_a_bar_too():
    task = Meter("training", None, "steps")
    task.started -= 30
    task.update(7, {"time left": 10.0})
    assert task.share == pytest.approx(0.75, abs=0.01)
    assert task.fitted(80).startswith("training  ━━━━━━━")
    task = Meter("training", None, "steps")
    task.update(7, {})
    assert task.share is None


def test_a_real_time_factor_and_other_figures():
    task = filled(**{"real-time factor": "0.312", "set_aside": 3})
    assert "real-time factor 0.312" in task.line()
    assert "set aside 3" in task.line()
    assert "0.312× real time" in task.fitted(100)
    task = Meter("scoring", 100, "tokens")
    task.update(10, {})
    task._seen[0] = (task._seen[0][0] - 2, 0.0)
    task.update(50, {})
    assert re.match(r"scoring: +50/100 tokens  (25|24\.\d) tokens/s  0:02 left", task.line())
    assert meter.bar(0.5, 4) == "━━──"
    assert meter.bar(0.5, 4, unicode=False) == "##--"


def test_a_pipe_gets_plain_lines_at_intervals(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = Screen()
    shown.say_once_begun("a run begins")
    shown.begin("training", 1000, "steps")
    for step in range(1, 41):
        now[0] += 1
        shown.update(step, bits=4.5)
    shown.end()
    lines = [re.sub(r"  (GPU )?memory [\d.]+ [MG]iB", "", line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == "a run begins"
    assert lines[1] == "training:    10/1,000 steps  4.500 bits  1 steps/s  16:30 left"
    assert len(lines) == 5
    assert lines[-1] == "training:    40/1,000 steps  4.500 bits  1 steps/s  16:00 left"


def test_a_refusal_comes_without_an_opening_line(trained_project, program):
    out = program("train", "refused", "--device", "cpu", "precision=tf32")
    assert out.code == 2
    assert out.err.startswith("error: train.precision = tf32 is for CUDA")
    assert not Path("runs/refused").exists()


def test_memory_is_that_of_the_process_or_the_gpu(monkeypatch):
    assert re.fullmatch(r"\d+ MiB|\d+\.\d GiB", memory.in_use())
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda: 3.25 * 2**30)
    assert memory.in_use() == "GPU 3.2 GiB"
    monkeypatch.delitem(sys.modules, "torch")
    assert memory.in_use() == ""


# colours and characters


@pytest.mark.parametrize(
    ("environment", "is_terminal", "interactive", "colour"),
    [
        ({"TERM": "xterm-256color"}, True, True, True),
        ({"TERM": "xterm-256color"}, False, False, False),
        ({"TERM": "dumb"}, True, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, False, True),
        ({"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, True, True, False),
    ],
)
def test_how_to_write_to_a_stream(monkeypatch, environment, is_terminal, interactive, colour):
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if is_terminal else io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    seen = terminal.look(stream)
    assert (seen.interactive, seen.colour, seen.unicode) == (interactive, colour, True)
    assert (seen.width is None) == (not is_terminal)
    if isinstance(stream, Terminal):
        monkeypatch.setattr(sys, "stderr", stream)
        Screen().warn("careful")
        assert (ESCAPE in stream.getvalue()) == colour


def test_forced_colours_draw_no_bar_and_colour_no_json(trained_project, program, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = program("evaluate", "sequnet", "--json")
    assert json.loads(out.out)["tokens"] == 698
    assert ESCAPE not in out.out
    assert f"{ESCAPE}[2K" not in out.err  # no line is drawn over
    assert ESCAPE in program("evaluate", "sequnet").out
    monkeypatch.setenv("NO_COLOR", "1")
    out = program("evaluate", "sequnet")
    assert ESCAPE not in out.out + out.err


def test_progress_at_a_terminal_is_one_line_drawn_over(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(screen, "REDRAWN", 0.01)  # no thread draws in between
    shown = Screen()
    shown.begin("training", 10, "steps")
    shown.update(5, bits=4.5)
    assert shown._live is not None
    shown._live.refresh()
    shown.say("a word between")
    shown.end()
    text = re.sub(rf"{ESCAPE}\[[\d;?]*[A-Za-z]", "", stream.getvalue())
    assert "training" in text
    assert "4.500 bits" in text
    assert "a word between" in text
    assert all(cell_len(part) <= 60 for line in text.splitlines() for part in line.split("\r"))
    assert stream.getvalue().rstrip().endswith((f"{ESCAPE}[2K", f"{ESCAPE}[?25h"))  # nothing of it stays


def test_an_encoding_without_our_signs_gets_plain_ones(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    shown = Screen()
    assert not shown.unicode
    shown.line("a…b · 2 × 3 − 1, Fréchet")
    shown.table("", ["~name"], [("ⵣ",)])
    stream.flush()
    assert stream.buffer.getvalue() == b"a~b . 2 x 3 - 1, Fr?chet\nname\n?\n"


# the curve


def test_a_curve_with_yardstick_and_circles():
    trained = [(step, 8 * 0.98**step + 3) for step in range(1, 101)]
    lines = curve.draw(trained, [(50, 6.1), (100, 4.6)], {"uniform": 14.0, "order-0": 9.0}, width=60)
    assert all(len(line) <= 60 for line in lines)
    assert any("╌╌╌╌" in line and "9" in line for line in lines)
    assert sum(line.count("o") for line in lines[1 : 1 + curve.HEIGHT]) == 2
    assert any("⠀" < sign <= "⣿" for line in lines for sign in line)
    assert "uniform" not in "".join(lines)
    assert lines[-1] == "⠒⠢⠤ training   o held-out   ╌╌╌ order-0 9.00"
    plain = curve.draw(trained, [(50, 6.1)], {"order-0": 9.0}, width=60, unicode=False)
    assert "\n".join(plain).isascii()
    assert "- - order-0 9.00" in plain[-1]


def test_a_curve_of_one_point_of_none_and_of_no_numbers():
    lines = curve.draw([(10, 4.0)], [], {"uniform": 8.0}, width=60)
    assert sum(bool(set(line) & {chr(0x2801 + n) for n in range(255)}) for line in lines[1:-1]) == 1
    assert curve.draw([], [], {"uniform": 8.0}) == []
    assert curve.draw([(1, float("nan"))], [], {}) == []
    lines = curve.draw([(1, 500.0), (2, float("nan")), *((n, 4.0 + 1 / n) for n in range(3, 60))], [], {"uniform": 8.0})
    assert lines[-2:] == ["1 value lies above the axis, up to 500 bits", "1 value is no number, the first at step 2"]
    assert "500" not in "".join(lines[:-2])


def test_huge_first_values_do_not_flatten_the_rest():
    values = [(step, 300.0 if step < 3 else 5 - step / 100) for step in range(1, 101)]
    lines = curve.draw(values, [], {"uniform": 8.0, "order-0": 7.0})
    labels = [float(label) for label in re.findall(r"^ *([\d.]+) ┤", "\n".join(lines), re.MULTILINE)]
    assert max(labels) <= 7.0
    assert lines[-1] == "2 values lie above the axis, up to 300 bits"


# names


def test_what_a_bare_name_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    assert run_path("mine", runs) == Path("runs/mine")
    assert run_path("here/mine", runs) == Path("here/mine")
    assert run_path("./mine", runs) == Path("mine")
    Path("there").mkdir()
    assert run_path("there", runs) == Path("there")
    (runs / "there").mkdir(parents=True)
    (runs / "there" / "settings.toml").touch()
    assert run_path("there", runs) == Path("runs/there")
    assert run_path("there/trial-1", runs) == Path("there/trial-1")
    (runs / "there" / "trial-1").mkdir()
    (runs / "there" / "trial-1" / "settings.toml").touch()
    assert run_path("there/trial-1", runs) == Path("runs/there/trial-1")


def test_one_label_for_all_is_warned_of(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    Path("flat").mkdir()
    for number in range(3):
        Path(f"flat/{number}.txt").write_text("some words of a text, again and again\n" * 9)
    out = program("preprocess", "flat", "--codec", "characters", "--labels", "folder", "--out", "data", "jobs=1")
    assert out.code == 0, out.err
    assert "labels = folder gave all files one label" in out.err


def test_torchrun_is_told_the_cause(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert program("generate", "nix").code == 2
    told = json.loads((tmp_path / "error.json").read_text())["message"]
    assert told["message"].startswith("error: There is no run at nix")
    assert told["extraInfo"]["timestamp"].isdecimal()
