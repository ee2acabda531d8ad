"""Where the disk is full, drawn tokens say so once, naming the folder, and nothing more when they go."""

import errno
import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest

from seqgen_core.generation.kept import TokenFile

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.filterwarnings("error")
def test_a_full_disk_is_told_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FULL.open("w+b"))
    kept = TokenFile(256, ())
    with pytest.raises(OSError, match="No space") as found:
        kept.append(np.zeros(100_000, np.int64))
    assert found.value.errno == errno.ENOSPC
    assert found.value.filename == tempfile.gettempdir()
    del kept, found
    gc.collect()
    assert capfd.readouterr().err == ""
