"""seqgen report from the command line: which runs, where the page goes, what each option changes."""

import html
import re
import shlex
import webbrowser
from pathlib import Path

from seqgen_core.settings.run import RunSettings
from seqgen_core.settings.toml import read_toml

SHORT = ("--count", 1, "--seconds", "0.2s", "--device", "cpu", "report.threads=1")


def samples(run):
    return sorted(Path(run).glob("samples/*"))


def test_the_newest_run_without_a_name_and_several_by_name(trained_project, program):
    out = program("report", "--json", *SHORT)
    assert out.code == 0, out.err
    assert out.json["out"] == "report.html"
    assert len(out.json["runs"]) == 1
    assert out.json["bytes"] == Path("report.html").stat().st_size
    newest = out.json["runs"][0]["run"]
    assert len(samples(newest)) == 2
    both = program(
        "report", "runs/sequnet", "wavenet", "--no-draw", "--out", "pages/both.html", "--title", "<Two> & more"
    )
    assert both.code == 0, both.err
    page = Path("pages/both.html").read_text()
    assert "<title>&lt;Two&gt; &amp; more</title>" in page
    assert "sequnet" in page
    assert "wavenet" in page
    assert not samples("runs/wavenet") if newest != "runs/wavenet" else True
    assert re.search(r"pages/both\.html: \d+\.\d [kM]B, \d+ sounds, \d+ pictures; 2 runs", both.out)


def test_a_page_of_ours_is_replaced_and_nothing_else(trained_project, program):
    assert program("report", "tcn", "--no-draw", "--out", "page.html").code == 0
    before = Path("page.html").read_text()
    again = program("report", "tcn", "--no-draw", "--out", "page.html", "--title", "Again")
    assert "page.html, replaced: " in again.out
    assert again.code == 0, again.err
    assert Path("page.html").read_text() != before
    Path("mine.html").write_text("<!DOCTYPE html><title>mine</title>")
    for place, said in (("mine.html", "is no report of seqgen"), ("runs", "is a folder")):
        out = program("report", "tcn", "--no-draw", "--out", place)
        assert out.code == 2
        assert said in out.err
    assert Path("mine.html").read_text() == "<!DOCTYPE html><title>mine</title>"
    assert not samples("runs/tcn")  # it was asked before any work


def test_what_is_drawn_is_as_long_and_as_many_as_asked(trained_project, program):
    out = program("report", "tcn", "--out", "a.html", "--count", 2, "--seconds", 0.1, "--seed", 5, "report.threads=1")
    assert out.code == 0, out.err
    sheets = [path / "sheet.json" for path in samples("runs/tcn")]
    text = [sheet.read_text() for sheet in sheets]
    assert all(one.count('"bits_per_token"') == 2 for one in text)
    assert all('"seed": 5' in one for one in text)
    assert all('"seconds": 0.1' in one for one in text)


def test_the_test_split_is_scored_when_asked(trained_project, program):
    program("report", "tcn", "--no-draw", "--out", "a.html")
    assert ">test</th>" not in Path("a.html").read_text()
    program("report", "tcn", "--no-draw", "--out", "a.html", "--evaluate")
    bits = program("evaluate", "tcn", "--json").json["bits_per_token"]
    assert f">test</th><td>{bits:.3f}</td>" in Path("a.html").read_text()


def test_it_opens_in_the_browser_when_asked(trained_project, program, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or len(opened) == 1)
    assert program("report", "tcn", "--no-draw").code == 0
    assert opened == []
    assert "browser" not in program("report", "tcn", "--no-draw", "--open").err
    assert opened == [Path("report.html").resolve().as_uri()]
    assert "no browser could be started" in program("report", "tcn", "--no-draw", "--open").err


def test_its_commands_make_the_run_again(trained_project, program, tmp_path, monkeypatch):
    assert program("report", "tcn", "--out", "page.html", *SHORT).code == 0
    lines = re.findall(r"<code>(seqgen .*?)</code>", Path("page.html").read_text())
    told = [shlex.split(html.unescape(line))[1:] for line in lines]
    assert [words[0] for words in told] == ["preprocess", "train", "generate", "generate", "report"]
    before = read_toml(RunSettings, Path("runs/tcn/settings.toml"))
    clips = [path.read_bytes() for path in sorted(Path("runs/tcn/samples").glob("*/*.wav"))]
    monkeypatch.chdir(tmp_path)
    for words in told[1:4]:
        out = program(*words)
        assert out.code == 0, out.err
    assert read_toml(RunSettings, Path("runs/tcn/settings.toml")) == before
    assert [path.read_bytes() for path in sorted(Path("runs/tcn/samples").glob("*-*/*.wav"))] == clips


def test_a_run_that_is_not_there_is_told(trained_project, program):
    out = program("report", "runs/nowhere")
    assert out.code == 2
    assert "There is no run at runs/nowhere" in out.err
    assert not Path("report.html").exists()


def test_a_run_without_data_and_one_file_of_weights_have_a_page(trained_project, program):
    assert program("export", "tcn", "--to", "safetensors", "--out", "tcn.safetensors").code == 0
    settings = Path("runs/tcn/settings.toml")  # where the data are kept for all copies of this project
    settings.write_text(re.sub(r'(?m)^(path|data) = ".*"$', r'\1 = "gone"', settings.read_text()))
    out = program("report", "tcn", "tcn.safetensors", "--json", *SHORT)
    assert out.code == 0, out.err
    assert [run["status"] for run in out.json["runs"]] == ["finished", "exported"]
    assert all(any("data are not here" in one for one in run["missing"]) for run in out.json["runs"])
    assert out.json["sounds"] == 2  # from nothing, which needs no data
    assert "The data are not here" in program("report", "tcn", "--no-draw").err
