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
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert lines["sequnet-piano"] == "sequnet-piano sound a list 253 train + 24 test recordings each recording's own"
    assert lines["mnist"] == "mnist images 11.6 MB 60,000 train + 10,000 test images CC BY-SA 3.0, as Keras states"
    assert lines["maestro"].startswith("maestro notes 58.4 MB 962 train + 137 valid")
    assert lines["fsdd"].startswith("fsdd sound < 21.1 MB")
    assert lines["jsb-chorales"].startswith("jsb-chorales notes 96 kB")
    assert "seqgen download --dataset NAME" in out
    assert "Handwritten digits" not in out
    assert "Handwritten digits" in run("--list-datasets", "-v")[1]


def test_list_datasets_as_json(site: str) -> None:
    listed = {one["name"]: one for one in json.loads(run("--list-datasets", "--json")[1])}
    assert listed["sequnet-piano"]["recordings"] == {"train": 253, "test": 24}
    mnist = listed["mnist"]
    assert (mnist["kind"], mnist["codec"], mnist["bytes"], mnist["unit"]) == ("images", "pixels", 11_594_722, "images")
    assert mnist["splits"] == {"train": 60_000, "test": 10_000}
    assert mnist["files"][0]["sha256"].startswith("440fcabf")
    assert mnist["next"] == "seqgen preprocess FOLDER --codec pixels"
    assert all(one["licence"] and one["page"] and one["description"] for one in listed.values())


@pytest.fixture
def shakespeare(site: str, shared_data: Path, tmp_path: Path) -> Path:
    """A mirror that holds tinyshakespeare."""
    folder = tmp_path / "mirror" / "somewhere"
    folder.mkdir(parents=True)
    (folder / "tinyshakespeare.txt").write_bytes((shared_data / "text" / "tinyshakespeare.txt").read_bytes())
    return tmp_path / "mirror"


def test_a_data_set_from_a_mirror_and_the_next_command(shakespeare: Path) -> None:
    for status in ("fetched", "already there"):
        code, out, _ = run("--dataset", "tinyshakespeare", "--mirror", str(shakespeare))
        assert code == 0
        assert out.splitlines() == [
            f"tinyshakespeare: {status}, 1 files (1.1 MB) in data/raw/tinyshakespeare",
            "licence: public domain; https://github.com/karpathy/char-rnn",
            "next: seqgen preprocess data/raw/tinyshakespeare --codec characters",
        ]
    assert Path("data/raw/tinyshakespeare/tinyshakespeare.txt").is_file()
    code, out, _ = run("--dataset", "tinyshakespeare", "--mirror", str(shakespeare), "--json")
    result = json.loads(out)
    assert result["dataset"]["status"] == "skipped"
    assert result["next"].endswith("--codec characters")
    assert (result["items"], result["fetched"]) == ([], 0)


def test_a_data_set_from_a_base_address_beside_a_recording(site: str, shakespeare: Path, tmp_path: Path) -> None:
    (shakespeare / "somewhere" / "tinyshakespeare.txt").rename(tmp_path / "site" / "tinyshakespeare.txt")
    code, out, _ = run(f"{site}/one.wav", "--dataset", "tinyshakespeare", "--mirror", site, "--out", "sound")
    assert code == 0
    assert "1 fetched (0:01, 0.0 MB)" in out
    assert "tinyshakespeare: fetched, 1 files" in out
    assert Path("sound/tinyshakespeare/tinyshakespeare.txt").is_file()


def test_a_data_set_of_the_settings_with_its_mirror(shakespeare: Path, site: str) -> None:
    Path("seqgen.toml").write_text(f'[download]\ndataset = "tinyshakespeare"\nmirror = "{shakespeare}"\n')
    assert run()[0] == 0
    assert Path("data/raw/tinyshakespeare").is_dir()
    assert run(f"{site}/one.wav")[0] == 0  # stands instead of the data set, and of the mirror that belongs to it


def test_a_data_set_that_the_mirror_lacks(site: str, tmp_path: Path) -> None:
    code, out, err = run("--dataset", "mnist", "--mirror", str(tmp_path / "project"))
    assert (code, out) == (1, "")
    assert "holds no train-images-idx3-ubyte.gz and no" in err
    assert "hint: Leave --mirror out" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "piano"], "There is no data set 'piano' (did you mean 'piano-midi'?)."),
        (["--dataset", "minst"], "(did you mean 'mnist'?)"),
        (["--dataset", "mnist", "--mirror", "nowhere"], "The mirror nowhere is no folder."),
        (["--mirror", "."], "no data set to take from it"),
        (["--list", "none.txt"], "The list none.txt cannot be read: No such file or directory."),
        (["http://x/a", "format=bestvideo+bestaudio"], "several streams"),
        (["http://x/a", "jobs=0"], "jobs"),
    ],
)
def test_usage_errors(site: str, arguments: list[str], words: str) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err
