"""Lists, playlists and feeds become items; train and test never mix."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from download_help import assert_in_order, fetch, only, settings, sound, statuses
from loopback import Loopback, answer, running, serve

from seqgen_core.data.catalog import CATALOG, find_dataset
from seqgen_core.data.download import download
from seqgen_core.data.fetching.lists import Entry, parse_list, read_list_file
from seqgen_core.data.fetching.sources import read_sources
from seqgen_core.data.fetching.wanted import gather
from seqgen_core.errors import UsageError
from seqgen_core.progress import Silent
from seqgen_core.settings.download import DownloadSettings


class Listener(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, line: str) -> None:
        self.warnings.append(line)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as server:
        for name, pitch in {"one": 200.0, "two": 300.0, "three": 400.0}.items():
            server.route(f"/{name}.wav", serve(sound(0.5, pitch)))
        yield server


def give(server: Loopback, path: str, text: str, kind: str) -> str:
    return server.route(path, lambda request, count: answer(request, 200, text.encode(), kind))


def test_m3u() -> None:
    text = "\ufeff#EXTM3U\r\n#EXTINF:123,Nocturne, op. 9\r\na.mp3\r\n\r\n#comment\r\nhttp://y/b.mp3\r\n"
    assert parse_list(text, "http://x/p/l.m3u") == [
        Entry("http://x/p/a.mp3", "Nocturne, op. 9"),
        Entry("http://y/b.mp3", None),
    ]


def test_pls_in_the_order_of_its_numbers() -> None:
    text = "[playlist]\nFile10=ten.ogg\nTitle10=x\nfile2=http://y/two.ogg\nNumberOfEntries=2\n"
    assert [entry.url for entry in parse_list(text, "http://x/l.pls")] == ["http://y/two.ogg", "http://x/ten.ogg"]


@pytest.mark.parametrize("text", ["<html></html>", "\x00\x01", "", "#EXTM3U\n"])
def test_what_is_no_list_has_no_entries(text: str) -> None:
    assert parse_list(text) == []


def test_list_files_have_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\ufeff# piano\nhttp://x/a#t=3 # a comment\n\n  http://x/b\n; no\n", encoding="utf-8")
    assert [entry.url for entry in read_list_file(path)] == ["http://x/a#t=3", "http://x/b"]


@pytest.mark.parametrize("text", [None, "# nothing\n"])
def test_a_list_file_without_addresses_is_a_usage_error(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "list.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=r"The list .* (read|holds)"):
        read_list_file(path)


def test_nothing_asked_for_says_how() -> None:
    with pytest.raises(UsageError) as caught:
        download(DownloadSettings())
    assert "--dataset" in caught.value.wanted


def test_train_and_test_lists_give_splits(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(f"{server.url('/one.wav')}\n{server.url('/two.wav')}\n")
    (tmp_path / "test.txt").write_text(f"{server.url('/two.wav')}\n{server.url('/three.wav')}\n")
    listener, out = Listener(), tmp_path / "raw"
    chosen = settings(out, lists=[tmp_path / "train.txt"], test_lists=[tmp_path / "test.txt"])
    download(chosen, listener)
    splits = {url.rpartition("/")[2]: source.split for url, source in read_sources(out).items()}
    assert splits == {"one.wav": "train", "two.wav": "test", "three.wav": "test"}
    assert len(listener.warnings) == 1
    assert "two.wav" in listener.warnings[0]


def test_one_list_alone_leaves_the_split_open_until_a_test_list_comes(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(server.url("/one.wav"))
    (tmp_path / "b.txt").write_text(server.url("/two.wav"))
    out = tmp_path / "raw"
    fetch(out, lists=[tmp_path / "a.txt"])
    assert [source.split for source in read_sources(out).values()] == [None]
    report = fetch(out, lists=[tmp_path / "a.txt"], test_lists=[tmp_path / "b.txt"])
    assert statuses(report) == ["skipped", "fetched"]
    assert [source.split for source in read_sources(out).values()] == ["train", "test"]
    fetch(out, server.url("/two.wav"))
    assert [source.split for source in read_sources(out).values()] == ["train", "test"]


def test_the_same_recording_under_two_addresses_is_told(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(server.url("/one.wav"))
    (tmp_path / "b.txt").write_text(server.route("/copy.wav", serve(sound(0.5, 200.0))))
    listener = Listener()
    download(settings(tmp_path / "raw", lists=[tmp_path / "a.txt"], test_lists=[tmp_path / "b.txt"]), listener)
    (warning,) = listener.warnings
    assert "same recording" in warning


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/l.m3u", "one.wav\n/two.wav\n", "audio/x-mpegurl"),
        ("/l.m3u8", "#EXTM3U\n#EXTINF:1,x\none.wav\n/two.wav\n", "application/vnd.apple.mpegurl"),
        ("/l.pls", "[playlist]\nFile1=one.wav\nFile2=two.wav\n", "audio/x-scpls"),
        ("/radio", "#EXTM3U\n#EXTINF:1,x\none.wav\n/two.wav\n", "audio/x-mpegurl"),  # nothing in the name tells
    ],
)
def test_lists_of_complete_files(server: Loopback, tmp_path: Path, path: str, text: str, kind: str) -> None:
    report = fetch(tmp_path, give(server, path, text, kind))
    assert [(o.status, o.source.url, o.source.listed_in) for o in report.outcomes] == [
        ("fetched", server.url("/one.wav"), server.url(path)),
        ("fetched", server.url("/two.wav"), server.url(path)),
    ]
    assert_in_order(tmp_path)


def test_a_stream_in_pieces_is_one_recording(server: Loopback, tmp_path: Path) -> None:
    whole = sound(2.0, kind="MP3")
    pieces = [whole[:1500], whole[1500:]]
    for number, piece in enumerate(pieces):
        server.route(f"/{number}.mp3", serve(piece, "audio/mpeg"))
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n0.mp3\n#EXTINF:1,\n1.mp3\n#EXT-X-ENDLIST\n"
    source = only(fetch(tmp_path, give(server, "/s.m3u8", text, "application/vnd.apple.mpegurl")))
    assert source.status == "fetched", source.reason
    assert (tmp_path / str(source.file)).read_bytes() == whole


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # yt-dlp leaves its file open here
def test_a_stream_with_a_missing_piece_fails(server: Loopback, tmp_path: Path) -> None:
    server.route("/0.mp3", serve(sound(2.0, kind="MP3"), "audio/mpeg"))
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n0.mp3\n#EXTINF:1,\nnone.mp3\n#EXT-X-ENDLIST\n"
    source = only(fetch(tmp_path, give(server, "/s.m3u8", text, "application/vnd.apple.mpegurl")))
    assert source.reason == "there is nothing at this address (404)"
    gc.collect()  # so that the file is closed within this test


def feed(server: Loopback, *names: str) -> str:
    items = "".join(
        f'<item><title>On {name}</title><enclosure url="{server.url(f"/{name}.wav")}" type="audio/wav"/></item>'
        for name in names
    )
    text = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Sound</title>{items}</channel></rss>'
    return give(server, "/feed", text, "application/rss+xml")


def test_a_feed_gives_its_enclosures_and_its_titles(server: Loopback, tmp_path: Path) -> None:
    report = fetch(tmp_path, feed(server, "one", "two"))
    assert [(o.source.url, o.source.title) for o in report.outcomes] == [
        (server.url("/one.wav"), "On one"),
        (server.url("/two.wav"), "On two"),
    ]
    assert read_sources(tmp_path)[server.url("/feed")].status == "listed"


def test_a_feed_that_grew_brings_only_the_new(server: Loopback, tmp_path: Path) -> None:
    fetch(tmp_path, feed(server, "one"))
    assert statuses(fetch(tmp_path, feed(server, "two", "one"))) == ["fetched", "skipped"]


def test_a_test_list_may_name_a_feed(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text(feed(server, "one"))
    report = fetch(tmp_path / "raw", server.url("/two.wav"), test_lists=[tmp_path / "test.txt"])
    assert {o.source.url.rpartition("/")[2]: o.source.split for o in report.outcomes} == {
        "two.wav": None,
        "one.wav": "test",
    }


@pytest.mark.parametrize("kind", ["feed", "m3u"])
def test_max_items(server: Loopback, tmp_path: Path, kind: str) -> None:
    text = "one.wav\ntwo.wav\nthree.wav\n"
    url = feed(server, "one", "two", "three") if kind == "feed" else give(server, "/l.m3u", text, "audio/x-mpegurl")
    assert statuses(fetch(tmp_path, url, max_items=2)) == ["fetched", "fetched"]


def test_a_feed_with_an_entity_bomb_fails_quietly(server: Loopback, tmp_path: Path) -> None:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE rss [{entities}]><rss><channel><title>&a11;</title></channel></rss>'
    assert only(fetch(tmp_path, give(server, "/bomb", text, "application/rss+xml"))).status == "failed"


def test_a_list_that_lists_itself_ends(server: Loopback, tmp_path: Path) -> None:
    url = give(server, "/l.m3u", "l.m3u\none.wav\n", "audio/x-mpegurl")
    assert statuses(fetch(tmp_path, url)) == ["fetched"]


def test_lists_without_end_end(server: Loopback, tmp_path: Path) -> None:
    for number in range(9):
        give(server, f"/{number}.m3u", f"{number + 1}.m3u\n", "audio/x-mpegurl")
    source = only(fetch(tmp_path, server.url("/0.m3u")))
    assert source.reason == "a list within 3 lists"


@pytest.mark.parametrize("dataset", [d for d in CATALOG.values() if d.lists], ids=lambda dataset: dataset.name)
def test_named_lists_are_whole(dataset) -> None:
    splits = {split: dataset.addresses(split) for split in dataset.splits}
    assert {split: len(urls) for split, urls in splits.items()} == dataset.splits
    every = [url for urls in splits.values() for url in urls]
    assert len(set(every)) == len(every) > 0
    assert all(url.startswith("https://") for url in every)


def test_the_seq_u_net_list_is_that_of_the_paper(shared_data: Path) -> None:
    for split in ("train", "test"):
        published = (shared_data / "lists" / f"sequnet_{split}.txt").read_text().split()
        assert find_dataset("sequnet-piano").addresses(split) == published


def test_a_data_set_is_asked_for_by_split() -> None:
    items = gather(DownloadSettings(dataset="sequnet-piano"), Silent())
    assert [sum(item.split == split for item in items) for split in ("train", "test")] == [253, 24]


def test_an_unknown_data_set_names_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        find_dataset("piano")
    assert "sequnet-piano" in caught.value.wanted
