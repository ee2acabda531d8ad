"""Shared fixtures: the folder of real data, one torch thread per test process."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from tiny import STREAM_MODELS, Program, make_data, make_run

from seqgen_core.data.store import PreparedData

# A width that is told to this process (readline tells it to those that begin after it) is none of the programs' tested.
os.environ.pop("COLUMNS", None)

# A job in the background inherits an ignored SIGINT and hands it on: the tests of Ctrl-C want it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, unless somebody goes looking for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("SEQGEN_HYPOTHESIS", "same"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; the test is skipped, visibly, where it is absent."""
    named = os.environ.get("SEQGEN_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SEQGEN_TEST_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def tiny_data(tmp_path: Path) -> PreparedData:
    """Prepared data of tones, a few hundred tokens each."""
    return make_data(tmp_path / "prepared")


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from seqgen_core.training import loop

    folder = tmp_path_factory.mktemp("trained")
    data = make_data(folder / "data" / "prepared")
    for model in STREAM_MODELS:
        loop.train(make_run(folder / "runs" / model, data, model), data)
    return folder


@pytest.fixture
def trained_project(_trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: data/prepared and a trained run of each stream model, such as runs/sequnet, of 8 steps."""
    folder = tmp_path / "project"
    shutil.copytree(_trained, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Program:
    """The command line, called in this process."""
    return Program(monkeypatch, capfdbinary)
