"""A download that is killed, or stopped by Ctrl-C, at any moment goes on without a wrong file."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from download_help import assert_in_order, fetch, sound, statuses
from loopback import Loopback, running, serve

PROGRAM = """
import sys
from pathlib import Path
from seqgen_core.data.download import download
from seqgen_core.settings.download import DownloadSettings
out, *urls = sys.argv[1:]
print("ready", flush=True)
download(DownloadSettings(urls=tuple(urls), out=Path(out), proxy="", jobs=3, backoff=0.01, timeout=5))
"""


@pytest.fixture
def bodies() -> dict[str, bytes]:
    return {f"/{number}.wav": sound(2.0, 200.0 + 20 * number) for number in range(6)}


@pytest.fixture
def server(bodies: dict[str, bytes]) -> Iterator[Loopback]:
    with running() as server:
        for path, body in bodies.items():
            server.route(path, serve(body, pause=0.02))  # 16 pieces, a third of a second a file
        yield server


def start(out: Path, urls: list[str]) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out), *urls],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def assert_nothing_wrong(out: Path, bodies: dict[str, bytes]) -> None:
    """Whatever lies in the folder under a final name is complete."""
    sums = {hashlib.sha256(body).hexdigest() for body in bodies.values()}
    for path in out.glob("*.wav"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in sums


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_random_moments_then_go_on(
    server: Loopback, bodies: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    urls = [server.url(path) for path in bodies]
    draw = random.Random(seed)
    for _ in range(3):
        process = start(tmp_path, urls)
        time.sleep(draw.uniform(0.2, 1.3))
        process.kill()
        process.communicate()
        assert_nothing_wrong(tmp_path, bodies)
    report = fetch(tmp_path, *urls, timeout=5)
    assert set(statuses(report)) <= {"fetched", "skipped"}
    assert_in_order(tmp_path)
    for url, body in zip(urls, bodies.values(), strict=True):
        (source,) = [outcome.source for outcome in report.outcomes if outcome.source.url == url]
        assert source.sha256 == hashlib.sha256(body).hexdigest()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_keeps_what_is_done_and_ends_soon(server: Loopback, tmp_path: Path) -> None:
    done = server.route("/done.wav", serve(sound(0.5)))
    endless = server.route("/slow.wav", serve(sound(60.0), pause=0.05))
    process = start(tmp_path, [done, endless])
    deadline = time.monotonic() + 30
    while not (list(tmp_path.glob("*.wav")) and server.asked["/slow.wav"] >= 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode != 0
    assert len(list(tmp_path.glob("*.wav"))) == 1
    assert statuses(fetch(tmp_path, done)) == ["skipped"]


def test_two_processes_share_a_folder(server: Loopback, bodies: dict[str, bytes], tmp_path: Path) -> None:
    urls = [server.url(path) for path in bodies]
    first, second = start(tmp_path, urls), start(tmp_path, urls[::-1])
    for process in (first, second):
        process.communicate()
    fetch(tmp_path, *urls, timeout=5)
    assert_in_order(tmp_path)
    assert len(list(tmp_path.glob("*.wav"))) == len(bodies)
