"""What the tests of downloading share: made sound, settings with short waits, the account as a dictionary."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from seqgen_core.data.download import DownloadReport, download
from seqgen_core.data.fetching.sources import Source, read_sources, sha256_of
from seqgen_core.settings.download import DownloadSettings


def sound(seconds: float = 1.0, pitch: float = 440.0, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """The bytes of a file with a tone at 16 kHz."""
    time = np.arange(int(16000 * seconds)) / 16000
    stream = io.BytesIO()
    soundfile.write(stream, 0.3 * np.sin(2 * np.pi * pitch * time), 16000, format=kind, subtype=subtype)
    return stream.getvalue()


def settings(out: Path, *urls: str, **others: Any) -> DownloadSettings:
    """Settings for the loopback: no proxy, short waits, one attempt after the first."""
    usual = {"urls": urls, "out": out, "proxy": "", "retries": 1, "backoff": 0.01, "timeout": 1.0}
    return DownloadSettings.model_validate({**usual, **others})


def fetch(out: Path, *urls: str, **others: Any) -> DownloadReport:
    return download(settings(out, *urls, **others))


def only(report: DownloadReport) -> Source:
    """The one item of a report."""
    (outcome,) = report.outcomes
    return outcome.source


def statuses(report: DownloadReport) -> list[str]:
    return [outcome.status for outcome in report.outcomes]


def assert_in_order(out: Path) -> None:
    """Every file that the account calls fetched is there with its size and sum, and there is no other file."""
    sources = [source for source in read_sources(out).values() if source.status == "fetched"]
    for source in sources:
        path = out / str(source.file)
        assert path.stat().st_size == source.bytes
        assert sha256_of(path) == source.sha256
    there = {path.name for path in out.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert there == {source.file for source in sources} | {"sources.jsonl"}
