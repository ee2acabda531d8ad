"""`kill -9` at random moments: what stood stays whole, and the next run goes on to the very result of an unhurt one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from seqgen_core.audio.files import write_wav
from seqgen_core.data.preprocess import preprocess
from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.preprocess import PreprocessSettings

SCRIPT = """
import sys
from pathlib import Path
from seqgen_core.data.preprocess import preprocess
from seqgen_core.settings.preprocess import PreprocessSettings
if __name__ == "__main__":
    raw, out, levels, jobs = sys.argv[1:]
    print("begins", flush=True)
    preprocess(PreprocessSettings(inputs=(Path(raw),), out=Path(out), rate=16000, levels=int(levels), jobs=int(jobs)))
"""


def start(tmp_path: Path, out: Path, levels: int, jobs: int) -> subprocess.Popen:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    arguments = [sys.executable, str(script), str(tmp_path / "raw"), str(out), str(levels), str(jobs)]
    process = subprocess.Popen(
        arguments,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begins\n"
    return process


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for number in range(12):
        waveform = np.random.default_rng(number).normal(0, 0.1, 44100 * 3).clip(-1, 1)
        write_wav(tmp_path / "raw" / f"{number:02}.wav", waveform, 44100)
    return tmp_path / "raw"


def unhurt(raw: Path, out: Path, levels: int) -> list[tuple]:
    report = preprocess(PreprocessSettings(inputs=(raw,), out=out, levels=levels, jobs=1))
    return [(item.key, item.split, item.sha256) for item in report.manifest.items]


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_any_moment_it_goes_on_to_the_same_result(tmp_path, raw, jobs):
    expected_old, expected = unhurt(raw, tmp_path / "old", 16), unhurt(raw, tmp_path / "whole", 256)
    began = time.monotonic()
    start(tmp_path, tmp_path / "timed", 256, jobs).communicate()
    whole = time.monotonic() - began
    moments, kills = random.Random(jobs), 0
    for trial in range(3):
        out = tmp_path / f"out-{trial}"
        shutil.copytree(tmp_path / "old", out)  # older data, which must stay valid until the new are whole
        for _ in range(2):
            process = start(tmp_path, out, 256, jobs)
            time.sleep(moments.uniform(0, whole))
            kills += process.poll() is None
            process.kill()  # the parent alone: its workers must end by themselves
            process.communicate()
            assert standing(out) in (expected_old, expected)
        assert unhurt(raw, out, 256) == expected == standing(out)
        assert len(list(out.glob("*.bin"))) == 1
        assert not list(out.glob(".tmp-*"))
    assert kills


def standing(out: Path) -> list[tuple]:
    data = PreparedData.open(out)
    data.verify()
    return [(item.key, item.split, item.sha256) for item in data.manifest.items]


def test_ctrl_c_ends_it_and_leaves_no_data_but_the_work(tmp_path, raw):
    process = start(tmp_path, tmp_path / "out", 256, 2)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".work/*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to parent and workers alike
    process.communicate(timeout=60)
    if process.returncode != 0:  # it may have been done already
        with pytest.raises(SeqgenError, match="no prepared data"):
            PreparedData.open(tmp_path / "out")
        assert list((tmp_path / "out").glob(".work/*.json"))
    assert unhurt(raw, tmp_path / "out", 256) == unhurt(raw, tmp_path / "whole", 256)
