"""seqgen download as typed: exit codes, the table, --json, seqgen.toml."""

import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from seqgen_cli import download as command
from seqgen_core.data.fetching.sources import read_sources

app = typer.Typer(rich_markup_mode=None)
app.callback()(lambda: None)
command.register(app)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with one.wav and two.wav; the current folder is an empty project."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, pitch in {"one": 200.0, "two": 300.0}.items():
        stream = io.BytesIO()
        soundfile.write(stream, 0.3 * np.sin(pitch * np.arange(8000) / 8000), 8000, format="WAV")
        (folder / f"{name}.wav").write_bytes(stream.getvalue())
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["download", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_table_totals_and_exit_code(site: str) -> None:
    code, out, _ = run(f"{site}/one.wav", f"{site}/none.wav")
    assert code == 0
    assert f"{site}/none.wav" in out
    assert "there is nothing at this address (404)" in out
    assert "hint (1 failed): Check the address, or take it off the list." in out
    assert "1 fetched (0:01, 0.0 MB), 0 skipped (already there), 1 failed; in data/raw" in out
    code, out, _ = run(f"{site}/one.wav")
    assert code == 0
    assert "0 fetched (0:00, 0.0 MB), 1 skipped (already there), 0 failed" in out


def test_nothing_fetched_is_exit_1(site: str) -> None:
    code, out, err = run(f"{site}/none.wav")
    assert code == 1
    assert "0 fetched" in out
    assert "error: Nothing was fetched" in err
    code, out, err = run(f"{site}/none.wav", "-q")
    assert (code, out) == (1, "")
    assert "there is nothing at this address (404)" in err


def test_a_list_of_nothing_but_itself_is_exit_1(site: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "loop.m3u").write_text("loop.m3u\n")
    code, _, err = run(f"{site}/loop.m3u")
    assert code == 1
    assert "name nothing but themselves" in err


def test_nothing_asked_for_is_exit_2(site: str) -> None:
    code, _, err = run()
    assert code == 2
    assert "There is nothing to download." in err
    assert "--dataset" in err


def test_json(site: str) -> None:
    code, out, _ = run(f"{site}/one.wav", f"{site}/none.wav", "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["fetched"], result["skipped"], result["failed"]) == (1, 0, 1)
    assert [item["status"] for item in result["items"]] == ["fetched", "failed"]
    assert result["items"][1]["next_step"]
    assert Path(result["out"], result["items"][0]["file"]).is_file()


def test_lists_and_folder(site: str, tmp_path: Path) -> None:
    Path("train.txt").write_text(f"{site}/one.wav\n")
    Path("test.txt").write_text(f"{site}/two.wav\n")
    assert run("--list", "train.txt", "--test-list", "test.txt", "--out", "sound", "jobs=1")[0] == 0
    assert [source.split for source in read_sources(Path("sound")).values()] == ["train", "test"]


def test_without_arguments_what_the_settings_say(site: str) -> None:
    Path("seqgen.toml").write_text(f'[download]\nurls = ["{site}/one.wav"]\nout = "elsewhere"\n')
    assert run()[0] == 0
    assert [url for url in read_sources(Path("elsewhere"))] == [f"{site}/one.wav"]


def test_what_is_asked_for_stands_instead_of_the_settings(site: str) -> None:
    Path("seqgen.toml").write_text(f'[download]\nurls = ["{site}/one.wav"]\nout = "elsewhere"\n')
    assert run(f"{site}/two.wav")[0] == 0
    assert list(read_sources(Path("elsewhere"))) == [f"{site}/two.wav"]


def test_list_datasets(site: str) -> None:
    code, out, _ = run("--list-datasets")
    assert code == 0
    assert "sequnet-piano" in out
    assert json.loads(run("--list-datasets", "--json")[1])[0]["recordings"] == {"train": 253, "test": 24}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "piano"], "There is no data set 'piano' (did you mean 'piano-midi'?)."),
        (["--list", "none.txt"], "The list none.txt cannot be read: No such file or directory."),
        (["http://x/a", "format=bestvideo+bestaudio"], "several streams"),
        (["http://x/a", "jobs=0"], "jobs"),
    ],
)
def test_usage_errors(site: str, arguments: list[str], words: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err
