"""Data sets of files against a server that misbehaves, and from mirrors: whole and right, or not there at all."""

import dataclasses
import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from download_help import settings
from loopback import Loopback, answer, running, serve, status

from seqgen_core.data.datasets import fetch_all
from seqgen_core.data.datasets.entry import Dataset, Placed, RemoteFile
from seqgen_core.data.datasets.mirror import MirrorFolder
from seqgen_core.data.datasets.obtain import Obtained, obtain
from seqgen_core.data.download import download
from seqgen_core.data.fetching.locks import lock
from seqgen_core.data.fetching.sources import read_sources, write_sources
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.progress import Silent
from seqgen_core.settings.download import DownloadSettings

TEXT = os.urandom(200_000)
WAVES = {"digits/1_a_0.wav": os.urandom(3000), "digits/1_a_1.wav": os.urandom(5000), "digits/README": b"hello"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tarred(files: dict[str, bytes] = WAVES) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = tarred()


def place(name: str) -> Placed | None:
    short = name.rpartition("/")[2]
    split = "test" if short.endswith("_0.wav") else "train"
    return Placed(f"{split}/{short}", split) if short.endswith(".wav") else None


def dataset(*files: RemoteFile, **others: Any) -> Dataset:
    """A small data set of the given files."""
    usual = {
        "name": "small", "description": "Small.", "kind": "text", "codec": "characters", "licence": "none",
        "page": "https://example.org", "splits": {"all": 1}, "unit": "files", "files": files, "most_bytes": 300_000,
    }  # fmt: skip
    return Dataset(**{**usual, **others})


def text_file(*addresses: str, **others: Any) -> RemoteFile:
    return RemoteFile("text.txt", addresses, **{"size": len(TEXT), "sha256": sha256(TEXT), **others})


def digits(*addresses: str, **others: Any) -> Dataset:
    file = RemoteFile("digits.tar.gz", addresses, len(ARCHIVE), sha256(ARCHIVE))
    return dataset(file, **{"name": "digits", "place": place, "count": 2, "trees": ("digits-1.0",), **others})


def bring(one: Dataset, out: Path, **others: Any) -> Obtained:
    return obtain(one, settings(out, **others), Silent())


def everything(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the accounts."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "sources.jsonl")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as server:
        yield server


class Told(Silent):
    """A listener that remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, line: str) -> None:
        self.warnings.append(line)


# from the publisher


def test_an_archive_is_fetched_unpacked_and_accounted_for(server: Loopback, tmp_path: Path):
    url = server.route("/digits.tar.gz", serve(ARCHIVE, "application/gzip"))
    obtained = bring(digits(url), tmp_path)
    assert (obtained.status, obtained.files, obtained.bytes) == ("fetched", 2, 8000)
    assert everything(tmp_path / "digits") == {
        "test/1_a_0.wav": WAVES["digits/1_a_0.wav"],
        "train/1_a_1.wav": WAVES["digits/1_a_1.wav"],
    }
    sources = read_sources(tmp_path / "digits")
    first = sources[f"{url}#digits/1_a_0.wav"]
    assert (first.split, first.file, first.bytes) == ("test", "test/1_a_0.wav", 3000)
    assert first.sha256 == sha256(WAVES["digits/1_a_0.wav"])
    assert (first.licence, first.listed_in) == ("none", "digits")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits"]


def test_what_is_there_is_skipped_and_what_is_gone_comes_back(server: Loopback, tmp_path: Path):
    one = digits(server.route("/digits.tar.gz", serve(ARCHIVE)))
    bring(one, tmp_path)
    asked = server.asked["/digits.tar.gz"]
    assert bring(one, tmp_path).status == "skipped"
    assert server.asked["/digits.tar.gz"] == asked
    (tmp_path / "digits" / "test" / "1_a_0.wav").unlink()
    (tmp_path / "digits" / "mine.txt").write_text("my own notes")
    assert bring(one, tmp_path).status == "fetched"
    assert len(everything(tmp_path / "digits")) == 3  # the person's own file stays
    (tmp_path / "digits" / "test" / "1_a_0.wav").write_bytes(bytes(3000))
    assert bring(one, tmp_path).status == "skipped"
    assert bring(one, tmp_path, check=True).status == "fetched"
    assert everything(tmp_path / "digits")["test/1_a_0.wav"] == WAVES["digits/1_a_0.wav"]


def test_a_folder_that_is_not_ours_is_not_touched(server: Loopback, tmp_path: Path):
    one = digits(server.route("/digits.tar.gz", serve(ARCHIVE)))
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mine.txt").write_text("my own notes")
    with pytest.raises(SeqgenError, match="is there already, and no download made it"):
        bring(one, tmp_path)
    assert everything(tmp_path / "digits") == {"mine.txt": b"my own notes"}
    (tmp_path / "digits" / "mine.txt").unlink()
    assert bring(one, tmp_path).status == "fetched"  # an empty one may be filled


def test_a_dropped_connection_is_continued(server: Loopback, tmp_path: Path):
    url = server.route("/text.txt", serve(TEXT, drop_after=lambda count: 60_000))
    bring(dataset(text_file(url)), tmp_path)
    assert everything(tmp_path / "small") == {"text.txt": TEXT}
    assert server.ranges["/text.txt"] == [None, "bytes=60000-", "bytes=120000-", "bytes=180000-"]


def test_what_broke_off_is_continued_by_the_next_run(server: Loopback, tmp_path: Path):
    url = server.route("/text.txt", serve(TEXT, drop_after=lambda count: 60_000 if count < 1 else 0))
    with pytest.raises(SeqgenError, match="could not be had"):
        bring(dataset(text_file(url)), tmp_path)
    assert not (tmp_path / "small").exists()
    server.route("/text.txt", serve(TEXT))
    bring(dataset(text_file(url)), tmp_path)
    assert server.ranges["/text.txt"][-1] == "bytes=60000-"
    assert everything(tmp_path) == {"small/text.txt": TEXT}


def test_another_address_helps(server: Loopback, tmp_path: Path):
    urls = [server.url("/gone.txt"), server.route("/text.txt", serve(TEXT))]
    bring(dataset(text_file(*urls)), tmp_path)
    assert everything(tmp_path / "small") == {"text.txt": TEXT}
    assert list(read_sources(tmp_path / "small")) == [urls[0]]  # the first, which the sum proves it to be from


def test_what_cannot_be_had_is_one_clear_error(server: Loopback, tmp_path: Path):
    with pytest.raises(SeqgenError) as caught:
        bring(dataset(text_file(server.url("/a.txt"), server.url("/b.txt"))), tmp_path)
    assert "text.txt of small could not be had: there is nothing at this address (404), at" in caught.value.got
    assert caught.value.got.count("404") == 1
    assert "--mirror" in caught.value.hint
    assert not list(tmp_path.rglob("*.*"))


def test_an_offline_machine_is_told_as_such(tmp_path: Path):
    with pytest.raises(SeqgenError) as caught:
        bring(dataset(text_file("http://127.0.0.1:9/text.txt")), tmp_path)
    assert "the server refuses the connection" in caught.value.got
    assert "Check the network connection" in caught.value.hint


def test_passing_faults_are_tried_again_and_a_server_may_ask_to_wait(server: Loopback, tmp_path: Path):
    url = server.route("/text.txt", status(503, 429, then=serve(TEXT), Retry_After="0"))
    bring(dataset(text_file(url)), tmp_path, retries=2)
    busy = server.route("/busy.txt", status(503, then=serve(TEXT), Retry_After="1000"))
    with pytest.raises(SeqgenError, match="asks to wait 1000 s"):
        bring(dataset(text_file(busy), name="other"), tmp_path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"sha256": "0" * 64}, "SHA-256"), ({"sha256": "", "md5": "0" * 32}, "MD5"), ({"sha256": "", "size": 5}, "bytes")],
)
def test_a_file_that_is_not_the_one_meant_is_refused(server: Loopback, tmp_path: Path, wrong: dict, words: str):
    url = server.route("/text.txt", serve(TEXT))
    with pytest.raises(SeqgenError, match=rf"{words}.* instead of .*, at its source too"):
        bring(dataset(text_file(url, **wrong)), tmp_path)
    assert not (tmp_path / "small").exists()


def test_a_file_damaged_on_the_way_comes_again(server: Loopback, tmp_path: Path):
    def behave(request: Any, count: int) -> None:
        answer(request, 200, TEXT[:-1] + b"!" if count == 0 else TEXT, length=None)

    bring(dataset(text_file(server.route("/text.txt", behave), size=None)), tmp_path)
    assert everything(tmp_path / "small") == {"text.txt": TEXT}


def test_a_right_md5_is_enough(server: Loopback, tmp_path: Path):
    url = server.route("/text.txt", serve(TEXT))
    known = text_file(url, sha256="", md5=hashlib.md5(TEXT, usedforsecurity=False).hexdigest())
    assert bring(dataset(known), tmp_path).status == "fetched"


def test_a_body_without_end_is_cut_off(server: Loopback, tmp_path: Path):
    def endless(request: Any, count: int) -> None:
        request.send_response(200)
        request.end_headers()
        while not request.server.finish.is_set():
            request.wfile.write(bytes(65536))

    unknown = text_file(server.route("/text.txt", endless), size=None, sha256="")
    with pytest.raises(SeqgenError, match="the file is larger than") as caught:
        bring(dataset(unknown, most_bytes=300_000), tmp_path)
    assert "--mirror" in caught.value.hint


def test_an_archive_that_means_harm_leaves_nothing(server: Loopback, tmp_path: Path):
    evil = tarred({"../../evil.wav": b"evil"})
    url = server.route("/digits.tar.gz", serve(evil))
    one = digits(url)
    file = dataclasses.replace(one.files[0], size=len(evil), sha256=sha256(evil))
    with pytest.raises(SeqgenError, match="leads out of the folder"):
        bring(dataclasses.replace(one, files=(file,)), tmp_path / "raw")
    assert not list(tmp_path.rglob("*.wav"))
    assert not (tmp_path / "raw" / "digits").exists()


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"count": 3}, "consists of 3 files, and 2 came"),
        ({"tree_sha256": "0" * 64}, "digits has files that are not those that the catalogue means"),
        ({"place": lambda name: None}, "came without any of its files"),
    ],
)
def test_an_archive_that_is_not_the_whole_is_refused(server: Loopback, tmp_path: Path, others: dict, words: str):
    url = server.route("/digits.tar.gz", serve(ARCHIVE))
    with pytest.raises(SeqgenError, match=words):
        bring(digits(url, **others), tmp_path)
    assert not (tmp_path / "digits").exists()
    # what was fetched is kept for the next run, which asks for nothing again
    asked = server.asked["/digits.tar.gz"]
    bring(digits(url), tmp_path)
    assert server.asked["/digits.tar.gz"] == asked


def test_a_cut_archive_of_which_no_sum_is_known_is_fetched_again(server: Loopback, tmp_path: Path):
    def behave(request: Any, count: int) -> None:
        answer(request, 200, ARCHIVE[:4000] if count == 0 else ARCHIVE, length=None, ETag='"one"')

    url = server.route("/digits.tar.gz", behave)
    one = digits(url)
    one = dataclasses.replace(one, files=(dataclasses.replace(one.files[0], size=None, sha256=""),))
    with pytest.raises(SeqgenError, match=r"digits.tar.gz is damaged or cut short"):
        bring(one, tmp_path)
    assert bring(one, tmp_path).status == "fetched"


def test_the_sum_over_all_files(server: Loopback, tmp_path: Path):
    lines = [("test/1_a_0.wav", "digits/1_a_0.wav"), ("train/1_a_1.wav", "digits/1_a_1.wav")]
    listing = "".join(f"{sha256(WAVES[member])}  {name}\n" for name, member in lines)
    one = digits(server.route("/digits.tar.gz", serve(ARCHIVE)), tree_sha256=sha256(listing.encode()))
    assert bring(one, tmp_path).status == "fetched"


def test_several_files_come_side_by_side_up_to_the_jobs(server: Loopback, tmp_path: Path):
    waiting: list[int] = []
    most: list[int] = []

    def behave(request: Any, count: int) -> None:
        waiting.append(1)
        most.append(len(waiting))
        time.sleep(0.1)
        waiting.pop()
        answer(request, 200, b"hello")

    files = [RemoteFile(f"{n}.txt", (server.route(f"/{n}.txt", behave),)) for n in range(4)]
    bring(dataset(*files), tmp_path, jobs=2)
    assert max(most) == 2
    assert len(everything(tmp_path / "small")) == 4
    bring(dataset(*files, name="again"), tmp_path, jobs=1)
    assert max(most[4:]) == 1


def test_a_table_among_the_files_tells_their_splits(server: Loopback, tmp_path: Path):
    table = b"title,split,midi\nA,train,2004/a.midi\nB,validation,2004/b.midi\nC,test,2004/c.midi\nD,?,2004/d.midi\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in "abcde":
            archive.writestr(f"m/2004/{name}.midi", name)
        archive.writestr("m/table.csv", table)
    file = RemoteFile("m.zip", (server.route("/m.zip", serve(buffer.getvalue())),))
    bring(dataset(file, table=("table.csv", "midi", "split")), tmp_path)
    assert sorted(everything(tmp_path / "small")) == [
        "d.midi", "e.midi", "test/c.midi", "train/a.midi", "valid/b.midi",
    ]  # fmt: skip
    splits = {source.file: source.split for source in read_sources(tmp_path / "small").values()}
    assert (splits["valid/b.midi"], splits["test/c.midi"], splits["e.midi"]) == ("valid", "test", None)


@pytest.mark.parametrize("table", ["title,midi\nA,2004/a.midi\n", "", "\0\0"])
def test_a_table_that_says_nothing(tmp_path: Path, table: str):
    mirror = lay(tmp_path / "mirror", **{"small__a.midi": b"a", "small__table.csv": table.encode()})
    with pytest.raises(SeqgenError, match=r"table.csv (names no splits|is damaged)"):
        bring(dataset(table=("table.csv", "midi", "split"), most_bytes=9), tmp_path / "out", mirror=str(mirror))


def test_a_full_disk_is_foreseen(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch_all.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(SeqgenError, match=r"needs 0.0 GB to download, and 0.0 GB are free"):
        bring(dataset(text_file(server.route("/text.txt", serve(TEXT)))), tmp_path)
    assert not server.asked["/text.txt"]


def test_another_process_at_the_same_data_set(tmp_path: Path):
    with lock(tmp_path / ".partial" / "small.lock"), pytest.raises(SeqgenError, match="Another process is fetching"):
        bring(dataset(text_file("http://127.0.0.1:9/x")), tmp_path)


PROGRAM = """
import os, sys
from pathlib import Path
import test_datasets
from seqgen_core.data.datasets import fetch_all, obtain, unpack
from seqgen_core.progress import Silent

url, out, moment, archive = sys.argv[1:]
test_datasets.ARCHIVE = bytes.fromhex(archive)
fetch_all.PARTING = 0.3


def dying(function, before):
    def wrapped(*arguments, **options):
        if before:
            os._exit(9)
        function(*arguments, **options)
        os._exit(9)

    return wrapped


if moment == "unpacking":
    unpack.Unpacker._write = dying(unpack.Unpacker._write, False)
elif moment == "before it is in place":
    obtain.publish = dying(obtain.publish, True)
elif moment == "after it is in place":
    obtain.publish = dying(obtain.publish, False)
print("ready", flush=True)
obtain.obtain(test_datasets.digits(url), test_datasets.settings(Path(out), timeout=5), Silent())
"""


def start(url: str, out: Path, moment: str = "") -> subprocess.Popen[bytes]:
    here = Path(__file__).resolve().parent
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, str(out), moment, ARCHIVE.hex()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("moment", ["fetching", "unpacking", "before it is in place", "after it is in place"])
def test_a_kill_at_any_moment_leaves_it_done_or_not_begun(server: Loopback, tmp_path: Path, moment: str):
    url = server.route("/digits.tar.gz", serve(ARCHIVE, pause=0.1 if moment == "fetching" else 0))  # three pieces
    process = start(url, tmp_path, moment)
    if moment == "fetching":
        time.sleep(0.25)
        process.kill()
    process.communicate()
    assert process.returncode != 0
    whole = {"test/1_a_0.wav": WAVES["digits/1_a_0.wav"], "train/1_a_1.wav": WAVES["digits/1_a_1.wav"]}
    assert (tmp_path / "digits").exists() == (moment == "after it is in place")
    if (tmp_path / "digits").exists():
        assert everything(tmp_path / "digits") == whole
    bring(digits(url), tmp_path)
    assert everything(tmp_path) == {f"digits/{name}": content for name, content in whole.items()}


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_soon_and_keeps_what_is_partial(server: Loopback, tmp_path: Path):
    url = server.route("/digits.tar.gz", serve(ARCHIVE, pause=0.05, stall_after=lambda count: 5000))
    process = start(url, tmp_path)
    deadline = time.monotonic() + 20
    while not list(tmp_path.rglob("body.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode != 0
    assert list(tmp_path.rglob("body.part"))


# from mirrors


def lay(root: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


NOWHERE = "http://127.0.0.1:9/x"


@pytest.mark.parametrize(
    "files",
    [
        {"small__text.txt": TEXT},
        {"text.txt": TEXT},
        {"deep__er__text.txt": TEXT},
        {"a__text.txt": b"another", "b__text.txt": TEXT},
        {"small__text.txt": b"another", "text.txt": TEXT},
    ],
)
def test_a_folder_that_holds_the_file_somewhere(tmp_path: Path, files: dict[str, bytes]):
    mirror = lay(tmp_path / "mirror", **files)
    bring(dataset(text_file(NOWHERE)), tmp_path / "out", mirror=str(mirror))
    assert everything(tmp_path / "out") == {"small/text.txt": TEXT}
    assert list(read_sources(tmp_path / "out" / "small")) == [NOWHERE]
    assert everything(mirror) == {name.replace("__", "/"): content for name, content in files.items()}


def test_the_order_in_which_a_mirror_is_searched(tmp_path: Path):
    unknown = dataset(text_file(NOWHERE, sha256="", size=None))
    mirror = lay(tmp_path, a__deep__text__text=b"", **{"b__text.txt": b"2", "text.txt": b"1", "small__text.txt": b"0"})
    assert MirrorFolder(mirror, unknown).file(unknown.files[0]) == (mirror / "small" / "text.txt", "text.txt")
    (mirror / "small" / "text.txt").unlink()
    assert MirrorFolder(mirror, unknown).file(unknown.files[0]) == (mirror / "text.txt", "text.txt")
    (mirror / "text.txt").unlink()
    assert MirrorFolder(mirror, unknown).file(unknown.files[0]) == (mirror / "b" / "text.txt", "text.txt")


def test_what_no_sum_proves_is_said_to_come_from_the_mirror(tmp_path: Path):
    mirror = lay(tmp_path / "mirror", **{"text.txt": TEXT})
    bring(dataset(text_file(NOWHERE, sha256="", size=None)), tmp_path / "out", mirror=str(mirror))
    assert list(read_sources(tmp_path / "out" / "small")) == [str(mirror / "text.txt")]


@pytest.mark.parametrize("name", ["words.gz", "words"])
def test_a_file_packed_anew_or_unpacked_is_known_by_its_content(tmp_path: Path, name: str):
    published = gzip.compress(TEXT, 1)
    file = RemoteFile("words.gz", (NOWHERE,), len(published), sha256(published), content_sha256=sha256(TEXT))
    mirror = lay(tmp_path / "mirror", **{name: gzip.compress(TEXT, 9, mtime=5) if name.endswith("gz") else TEXT})
    bring(dataset(file), tmp_path / "out", mirror=str(mirror))
    assert everything(tmp_path / "out" / "small") == {"words": TEXT}


def test_a_file_of_another_content_in_a_mirror_is_refused(tmp_path: Path):
    file = RemoteFile("words.gz", (NOWHERE,), 1, "0" * 64, content_sha256=sha256(TEXT))
    mirror = lay(tmp_path / "mirror", **{"x__words.gz": gzip.compress(b"others")})
    with pytest.raises(SeqgenError, match=r"x/words.gz is not the file of small: its SHA-256 is \w+… instead of 0000"):
        bring(dataset(file), tmp_path / "out", mirror=str(mirror))


@pytest.mark.parametrize("folder", ["digits", "digits-1.0", "deep/er/digits", ".."])
def test_a_folder_in_which_the_data_set_lies_unpacked(tmp_path: Path, folder: str):
    root = tmp_path / "mirror" / "digits-1.0" if folder == ".." else tmp_path / "mirror" / folder
    lay(root, recordings__x=b"x", **{f"recordings__{Path(name).name}": content for name, content in WAVES.items()})
    lay(tmp_path / "mirror" / "a" / "digits", readme=b"none of its files")
    mirror = root if folder == ".." else tmp_path / "mirror"
    bring(digits(NOWHERE), tmp_path / "out", mirror=str(mirror))
    assert sorted(everything(tmp_path / "out" / "digits")) == ["test/1_a_0.wav", "train/1_a_1.wav"]
    assert str(root / "recordings" / "1_a_0.wav") in read_sources(tmp_path / "out" / "digits")


def test_a_part_of_a_data_set_is_taken_from_a_mirror_with_a_warning(tmp_path: Path):
    lay(tmp_path / "mirror" / "digits", **{"1_a_0.wav": b"x"})
    told = Told()
    obtain(digits(NOWHERE), settings(tmp_path / "out", mirror=str(tmp_path / "mirror")), told)
    assert told.warnings == [f"digits consists of 2 files, and 1 came from {tmp_path / 'mirror' / 'digits'}"]


def test_hidden_folders_of_a_mirror_are_not_searched(tmp_path: Path):
    lay(tmp_path / "mirror", **{".cache__text.txt": TEXT})
    with pytest.raises(SeqgenError, match=r"holds no text.txt and no folder small with its files"):
        bring(dataset(text_file(NOWHERE)), tmp_path / "out", mirror=str(tmp_path / "mirror"))
    assert not list((tmp_path / "out").rglob("*"))


def test_a_mirror_that_is_no_folder(tmp_path: Path):
    with pytest.raises(UsageError, match="is no folder"):
        bring(dataset(text_file(NOWHERE)), tmp_path / "out", mirror=str(tmp_path / "none"))


@pytest.mark.parametrize("path", ["/base/small/text.txt", "/base/text.txt"])
def test_a_base_address(server: Loopback, tmp_path: Path, path: str):
    server.route(path, serve(TEXT))
    bring(dataset(text_file(NOWHERE)), tmp_path, mirror=server.url("/base/"))
    assert everything(tmp_path / "small") == {"text.txt": TEXT}
    assert server.asked["/base/small/text.txt"] == 1


def test_sums_hold_for_a_base_address_too(server: Loopback, tmp_path: Path):
    server.route("/small/text.txt", serve(TEXT[::-1]))
    with pytest.raises(SeqgenError, match="SHA-256"):
        bring(dataset(text_file(NOWHERE)), tmp_path, mirror=server.url(""))


# through `download`


def test_the_real_data_of_the_mirror(shared_data: Path, tmp_path: Path):
    def get(name: str) -> Obtained:
        report = download(DownloadSettings(dataset=name, mirror=str(shared_data), out=tmp_path))
        assert report.is_success
        assert report.dataset is not None
        assert report.next_command.startswith(f"seqgen preprocess {tmp_path / name}")
        return report.dataset

    mnist = get("mnist")
    assert (mnist.files, mnist.bytes) == (4, 54_950_048)
    penn = get("penn-treebank")
    assert [source.split for source in read_sources(penn.folder).values()] == ["train", "valid", "test"]
    fsdd = get("fsdd")
    assert (fsdd.files, len(list((fsdd.folder / "train").iterdir()))) == (300, 300)
    for name in ("tinyshakespeare", "jsb-chorales", "nottingham", "musedata", "piano-midi"):
        assert get(name).files == 1
    assert all(get(name).status == "skipped" for name in ("mnist", "penn-treebank", "fsdd", "jsb-chorales"))


def test_a_list_of_recordings_can_come_from_a_mirror(tmp_path: Path):
    mirror = lay(tmp_path / "mirror", **{"sequnet-piano__test__a.m4a": b"1", "sequnet-piano__train__b.webm": b"2"})
    report = download(DownloadSettings(dataset="sequnet-piano", mirror=str(mirror), out=tmp_path / "raw"))
    assert report.dataset is not None
    assert sorted(everything(report.dataset.folder)) == ["test/a.m4a", "train/b.webm"]
    with pytest.raises(UsageError, match="is a list of recordings"):
        download(DownloadSettings(dataset="sequnet-piano", mirror="http://127.0.0.1:9", out=tmp_path / "other"))


def test_a_mirror_without_a_data_set(tmp_path: Path):
    with pytest.raises(UsageError, match="no data set to take from it"):
        download(DownloadSettings(urls=("http://x/a",), mirror=str(tmp_path), out=tmp_path))


def test_splits_reach_whoever_prepares_the_data(shared_data: Path, tmp_path: Path):
    from seqgen_core.data.discover import find_sources
    from seqgen_core.data.kinds import looks_like_text

    download(DownloadSettings(dataset="penn-treebank", mirror=str(shared_data), out=tmp_path))
    found = find_sources([tmp_path / "penn-treebank"], tmp_path / "prepared", looks_like_text, "text")
    assert {file.path.stem: file.given for file in found.files} == {"train": "train", "valid": "valid", "test": "test"}
    assert all(file.origin.startswith("https://raw.githubusercontent.com/") for file in found.files)
    assert not found.notes


def test_an_account_of_nothing_counts_as_nothing(tmp_path: Path):
    mirror = lay(tmp_path / "mirror", **{"text.txt": TEXT})
    (tmp_path / "small").mkdir()
    write_sources(tmp_path / "small", [])
    assert bring(dataset(text_file(NOWHERE)), tmp_path, mirror=str(mirror)).status == "fetched"
