"""sources.jsonl survives torn lines, several writers and strange titles."""

import json
import multiprocessing
from pathlib import Path

import pytest

from seqgen_core.data.fetching.locks import lock
from seqgen_core.data.fetching.sources import Account, Source, read_sources
from seqgen_core.errors import SeqgenError


def test_the_last_line_about_an_address_counts(tmp_path: Path) -> None:
    account = Account(tmp_path)
    for status in ("failed", "fetched"):
        account.record(Source("http://x/a", status))
    account.record(Source("http://x/b", "failed"))
    assert {url: source.status for url, source in read_sources(tmp_path).items()} == {
        "http://x/a": "fetched",
        "http://x/b": "failed",
    }
    account.tidy()
    assert len((tmp_path / "sources.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("torn", [b'{"url": "http://x/b", "sta', b"\xc3", b"x" * 3000000])
def test_a_line_cut_short_is_left_out_and_cut_off(tmp_path: Path, torn: bytes) -> None:
    account = Account(tmp_path)
    account.record(Source("http://x/a", "failed"))
    with (tmp_path / "sources.jsonl").open("ab") as stream:
        stream.write(torn)
    assert list(read_sources(tmp_path)) == ["http://x/a"]
    account.record(Source("http://x/c", "failed"))
    assert list(account.read()) == list(read_sources(tmp_path)) == ["http://x/a", "http://x/c"]


def test_a_reader_follows_other_writers_through_a_rewrite(tmp_path: Path) -> None:
    mine, theirs = Account(tmp_path), Account(tmp_path)
    mine.record(Source("http://x/a", "failed"))
    assert list(mine.read()) == ["http://x/a"]
    theirs.record(Source("http://x/a", "fetched"))
    theirs.tidy()
    theirs.record(Source("http://x/b", "fetched"))
    assert [source.status for source in mine.read().values()] == ["fetched", "fetched"]


@pytest.mark.parametrize("title", ["line\nbreak", "sep\u2028arator", "half a \ud83d sign", 'quote " \\', "日本"])
def test_strange_titles_come_back(tmp_path: Path, title: str) -> None:
    Account(tmp_path).record(Source("http://x/a", "failed", title=title))
    assert read_sources(tmp_path)["http://x/a"].title == title


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "sources.jsonl").write_text(json.dumps({"url": "u", "status": "failed", "mood": "good"}) + "\n")
    assert read_sources(tmp_path)["u"].status == "failed"


def test_a_line_that_is_no_account_is_named(tmp_path: Path) -> None:
    (tmp_path / "sources.jsonl").write_text("hello\n")
    with pytest.raises(SeqgenError, match="hello"):
        read_sources(tmp_path)


def _write(folder: Path, name: str) -> None:
    account = Account(folder)
    for number in range(20):
        account.record(Source(f"http://{name}/{number}", "failed", title="x" * 500))
        if number % 7 == 0:
            account.tidy()


def test_two_processes_write_side_by_side(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_sources(tmp_path)) == 40


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with lock(tmp_path / "l") as first, lock(tmp_path / "l") as second:
        assert (first, second) == (True, False)
    with lock(tmp_path / "l") as again:
        assert again
