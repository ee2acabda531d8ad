"""Shared fixtures: the folder of real data, one torch thread per test process."""

import os
from pathlib import Path

import pytest


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
