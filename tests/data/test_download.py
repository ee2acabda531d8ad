"""Downloads against a server that misbehaves: nothing wrong is accepted, nothing that can be had is lost."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from download_help import assert_in_order, fetch, only, sound, statuses
from loopback import Loopback, answer, running, serve, status

from seqgen_core.data.fetching.sources import key_of, read_sources
from seqgen_core.errors import UsageError

LONG = sound(4.0)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as server:
        yield server


def test_a_direct_link_is_fetched_with_its_account(server: Loopback, tmp_path: Path) -> None:
    source = only(fetch(tmp_path, server.route("/tone.wav", serve(LONG))))
    assert source.file == f"{key_of(source.url)}-tone.wav"
    assert (tmp_path / source.file).read_bytes() == LONG
    assert source.sha256 == hashlib.sha256(LONG).hexdigest()
    assert (source.status, source.duration, source.bytes, source.title) == ("fetched", 4.0, len(LONG), "tone")
    lines = [json.loads(line) for line in (tmp_path / "sources.jsonl").read_text().splitlines()]
    assert [line["url"] for line in lines] == [source.url]
    assert_in_order(tmp_path)


def test_same_base_names_do_not_collide(server: Loopback, tmp_path: Path) -> None:
    bodies = {"/a/tone.wav": sound(1.0), "/b/tone.wav": sound(1.0, 220.0), "/b/tone.flac": sound(1.0, kind="FLAC")}
    report = fetch(tmp_path, *(server.route(path, serve(body)) for path, body in bodies.items()))
    assert statuses(report) == ["fetched"] * 3
    got = {(tmp_path / str(outcome.source.file)).read_bytes() for outcome in report.outcomes}
    assert got == set(bodies.values())


def test_what_is_there_is_skipped_and_what_is_missing_or_cut_comes_again(server: Loopback, tmp_path: Path) -> None:
    urls = [server.route(f"/{n}.wav", serve(sound(1.0, 200.0 + n))) for n in range(3)]
    first = fetch(tmp_path, *urls)
    files = [tmp_path / str(outcome.source.file) for outcome in first.outcomes]
    files[1].unlink()
    files[2].write_bytes(files[2].read_bytes()[:-2])
    asked = server.asked["/0.wav"]
    assert statuses(fetch(tmp_path, *urls)) == ["skipped", "fetched", "fetched"]
    assert server.asked["/0.wav"] == asked
    assert_in_order(tmp_path)


def test_check_finds_a_file_changed_in_place(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/tone.wav", serve(LONG))
    path = tmp_path / str(only(fetch(tmp_path, url)).file)
    path.write_bytes(LONG[:-2] + b"\x11\x11")
    assert statuses(fetch(tmp_path, url)) == ["skipped"]
    assert statuses(fetch(tmp_path, url, check=True)) == ["fetched"]
    assert path.read_bytes() == LONG


def test_a_dropped_connection_is_continued(server: Loopback, tmp_path: Path) -> None:
    behaviour = serve(LONG, drop_after=lambda count: 50000 if count == 1 else None)  # request 0 only looks
    source = only(fetch(tmp_path, server.route("/tone.wav", behaviour)))
    assert source.status == "fetched"
    assert server.ranges["/tone.wav"][-1] == "bytes=50000-"
    assert_in_order(tmp_path)


def test_progress_starts_the_count_of_attempts_again(server: Loopback, tmp_path: Path) -> None:
    behaviour = serve(LONG, drop_after=lambda count: 30000)  # five pieces, one attempt after the first
    assert only(fetch(tmp_path, server.route("/tone.wav", behaviour))).status == "fetched"
    assert_in_order(tmp_path)


def test_a_connection_that_always_drops_fails(server: Loopback, tmp_path: Path) -> None:
    source = only(fetch(tmp_path, server.route("/x.wav", serve(LONG, ranges=False, drop_after=lambda count: 20000))))
    assert (source.status, source.reason) == ("failed", "the connection broke off")
    assert_in_order(tmp_path)


def test_a_stalled_connection_is_given_up_and_continued(server: Loopback, tmp_path: Path) -> None:
    behaviour = serve(LONG, stall_after=lambda count: 30000 if count == 1 else None)
    source = only(fetch(tmp_path, server.route("/tone.wav", behaviour), timeout=0.3))
    assert source.status == "fetched"
    assert server.ranges["/tone.wav"][-1] is not None
    assert_in_order(tmp_path)


def test_a_server_that_never_answers_fails_as_too_slow(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/tone.wav", lambda request, count: request.server.finish.wait(20))
    assert only(fetch(tmp_path, url, timeout=0.2)).reason == "the server sent nothing for too long"


@pytest.mark.parametrize(("kind", "name"), [("WAV", "x.wav"), ("FLAC", "x.flac"), ("OGG", "x.ogg"), ("MP3", "x.mp3")])
def test_a_body_cut_without_a_length_is_refused(server: Loopback, tmp_path: Path, kind: str, name: str) -> None:
    body = sound(4.0, kind=kind)
    cut = body[: int(len(body) * 0.7)]
    url = server.route(f"/{name}", lambda request, count: answer(request, 200, cut, "audio/x", length=None))
    source = only(fetch(tmp_path, url))
    assert source.status == "failed"
    assert str(source.reason).startswith("the file is cut short")
    assert_in_order(tmp_path)


def test_a_body_cut_once_comes_whole_the_second_time(server: Loopback, tmp_path: Path) -> None:
    def behave(request: object, count: int) -> None:
        answer(request, 200, LONG[:40000] if count == 1 else LONG, "audio/wav", length=None)

    assert only(fetch(tmp_path, server.route("/x.wav", behave))).status == "fetched"
    assert_in_order(tmp_path)


def test_a_body_cut_at_its_source_is_not_fetched_over_and_over(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/x.wav", serve(LONG[:70000]))
    source = only(fetch(tmp_path, url, retries=9))
    assert str(source.reason).endswith("at its source too")
    assert server.asked["/x.wav"] == 4  # twice a look and a body


@pytest.mark.parametrize("claimed", [len(LONG) // 2, len(LONG) + 1000])
def test_a_lying_content_length_is_caught(server: Loopback, tmp_path: Path, claimed: int) -> None:
    url = server.route("/x.wav", lambda request, count: answer(request, 200, LONG, "audio/wav", length=claimed))
    assert only(fetch(tmp_path, url)).status == "failed"
    assert_in_order(tmp_path)


def test_a_page_named_mp3_is_not_sound(server: Loopback, tmp_path: Path) -> None:
    page = b"<html><body>Buy our sound!</body></html>"
    as_sound = server.route("/x.mp3", lambda request, count: answer(request, 200, page, "audio/mpeg"))
    as_page = server.route("/y.mp3", lambda request, count: answer(request, 200, page, "text/html"))
    reasons = [outcome.source.reason for outcome in fetch(tmp_path, as_sound, as_page).outcomes]
    assert reasons == ["what came is not sound", "a page in which no sound was found"]
    assert_in_order(tmp_path)


def test_the_suffix_tells_what_the_file_is(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/x.mp3", serve(sound(1.0, kind="FLAC"), "audio/mpeg"))
    assert str(only(fetch(tmp_path, url)).file).endswith(".flac")


@pytest.mark.parametrize("codes", [(500,), (503, 502), (429,)])
def test_passing_faults_are_tried_again(server: Loopback, tmp_path: Path, codes: tuple[int, ...]) -> None:
    url = server.route("/x.wav", status(*codes, then=serve(LONG)))
    assert only(fetch(tmp_path, url, retries=2)).status == "fetched"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (403, "the site forbids access (403)"),
        (404, "there is nothing at this address (404)"),
        (451, "this is withheld for legal reasons (451)"),
    ],
)
def test_lasting_faults_are_asked_once(server: Loopback, tmp_path: Path, code: int, reason: str) -> None:
    source = only(fetch(tmp_path, server.route("/x.wav", lambda request, count: answer(request, code))))
    assert source.reason == reason
    assert source.next_step
    assert server.asked["/x.wav"] == 1


def test_passing_faults_end_after_the_retries(server: Loopback, tmp_path: Path) -> None:
    source = only(fetch(tmp_path, server.route("/x.wav", lambda request, count: answer(request, 503)), retries=2))
    assert source.reason == "the server has a fault (503)"
    assert server.asked["/x.wav"] == 3


def test_a_wait_longer_than_allowed_fails_and_says_so(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/x.wav", lambda request, count: answer(request, 429, Retry_After="3600"))
    source = only(fetch(tmp_path, url, longest_wait=1))
    assert str(source.reason).endswith("and asks to wait 3600 s")
    assert server.asked["/x.wav"] == 1


def test_retry_after_is_waited_for(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqgen_core.data.fetching.hosts import Hosts

    held = []
    monkeypatch.setattr(Hosts, "hold", lambda self, host, seconds: held.append((host, seconds)))
    url = server.route("/x.wav", status(429, then=serve(LONG), Retry_After="7"))
    assert only(fetch(tmp_path, url)).status == "fetched"
    assert held == [(f"127.0.0.1:{server.server_address[1]}", 7.0)]


def test_a_redirect_is_followed(server: Loopback, tmp_path: Path) -> None:
    target = server.route("/real/tone.wav", serve(LONG))
    url = server.route("/go", lambda request, count: answer(request, 302, Location="/real/tone.wav"))
    source = only(fetch(tmp_path, url))
    assert (source.url, source.webpage_url, source.status) == (url, target, "fetched")


def leave_partial(out: Path, url: str, part: bytes, fingerprint: dict[str, object] | None) -> None:
    folder = out / ".partial" / key_of(url)
    folder.mkdir(parents=True)
    (folder / "body.part").write_bytes(part)
    if fingerprint is not None:
        (folder / "fingerprint.json").write_text(json.dumps(fingerprint))


def test_a_partial_file_of_the_same_content_is_continued_in_a_later_run(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/x.wav", serve(LONG))
    leave_partial(tmp_path, url, LONG[:60000], {"etag": '"one"', "length": len(LONG)})
    assert only(fetch(tmp_path, url)).status == "fetched"
    assert server.ranges["/x.wav"][-1] == "bytes=60000-"
    assert_in_order(tmp_path)


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("fingerprint", [None, {"etag": '"old"'}, {"modified": "Sat, 01 Jan 2000 00:00:00 GMT"}])
def test_a_stale_partial_file_never_ends_up_inside(
    server: Loopback, tmp_path: Path, honest: bool, fingerprint: dict[str, object] | None
) -> None:
    url = server.route("/x.wav", serve(LONG, honest=honest))
    if fingerprint and not honest and "etag" not in fingerprint:
        fingerprint = {**fingerprint, "length": 5}
    leave_partial(tmp_path, url, b"\x22" * 60000, fingerprint)
    assert (tmp_path / str(only(fetch(tmp_path, url)).file)).read_bytes() == LONG


def test_a_partial_file_without_validators_is_begun_anew(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/x.wav", serve(LONG, etag=None))
    leave_partial(tmp_path, url, LONG[:50] + b"\x22" * 60000, {"length": len(LONG)})
    assert (tmp_path / str(only(fetch(tmp_path, url)).file)).read_bytes() == LONG


def test_a_stale_partial_file_longer_than_the_new_one_is_dropped(server: Loopback, tmp_path: Path) -> None:
    url = server.route("/x.wav", serve(LONG))
    leave_partial(tmp_path, url, LONG + b"\x00" * 50, {"etag": '"one"'})  # yt-dlp alone would take it for complete
    assert (tmp_path / str(only(fetch(tmp_path, url)).file)).read_bytes() == LONG


@pytest.mark.parametrize("ranges", [True, False])
def test_content_that_changes_between_attempts_is_not_mixed(server: Loopback, tmp_path: Path, ranges: bool) -> None:
    new = sound(4.0, 300.0)
    old_way = serve(LONG, etag='"old"', drop_after=lambda count: 50000)
    new_way = serve(new, etag='"new"', ranges=ranges, honest=False)
    url = server.route("/x.wav", lambda request, count: (old_way if count < 2 else new_way)(request, count))
    assert (tmp_path / str(only(fetch(tmp_path, url, retries=3)).file)).read_bytes() == new


def test_a_failed_item_stops_nothing(server: Loopback, tmp_path: Path) -> None:
    good = [server.route(f"/{n}.wav", serve(sound(0.5, 200.0 + n))) for n in range(4)]
    report = fetch(tmp_path, server.url("/none.wav"), "no address", good[0], "ftp://h/x.wav", *good[1:])
    assert statuses(report) == ["failed", "failed", "fetched", "failed", "fetched", "fetched", "fetched"]
    assert report.is_success
    assert {source.status for source in read_sources(tmp_path).values()} == {"fetched", "failed"}


def test_nothing_fetched_is_no_success(server: Loopback, tmp_path: Path) -> None:
    assert not fetch(tmp_path, server.url("/none.wav")).is_success


def test_a_file_too_large_is_refused_with_its_size(server: Loopback, tmp_path: Path) -> None:
    source = only(fetch(tmp_path, server.route("/x.wav", serve(LONG)), max_megabytes=0.05))
    assert source.reason == "the file is larger than 0.05 MB (0.128 MB)"
    source = only(
        fetch(
            tmp_path,
            server.route("/y.wav", lambda request, count: answer(request, 200, LONG, "audio/wav", length=None)),
            max_megabytes=0.05,
        )
    )
    assert str(source.reason).startswith("the file is larger than 0.05 MB")


def test_offline_each_item_fails_at_once_after_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    calls = []

    def no_name(host: str, *args: object, **kwargs: object) -> list[object]:
        calls.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    report = fetch(tmp_path, *(f"http://music.invalid/{n}.wav" for n in range(30)), jobs=2, backoff=100.0, retries=5)
    assert statuses(report) == ["failed"] * 30
    assert {outcome.source.reason for outcome in report.outcomes} == {"the server's name cannot be found (offline?)"}
    assert len(calls) <= 2


def test_a_refused_connection_is_tried_again_only_once_something_was_reached(server: Loopback, tmp_path: Path) -> None:
    report = fetch(tmp_path, server.route("/x.wav", serve(LONG)), "http://127.0.0.1:1/x.wav", jobs=1)
    assert statuses(report) == ["fetched", "failed"]
    assert report.outcomes[1].source.reason == "the server refuses the connection"


def test_a_server_that_never_answers_is_given_up_after_some_items(server: Loopback, tmp_path: Path) -> None:
    def silence(request: Any, count: int) -> None:
        request.server.finish.wait(20)

    urls = [server.route(f"/{number}.wav", silence) for number in range(12)]
    report = fetch(tmp_path, *urls, jobs=1, timeout=0.1, retries=0)
    assert {outcome.source.reason for outcome in report.outcomes} == {"the server sent nothing for too long"}
    assert sum(server.asked.values()) == 3


def test_cookies_are_sent_and_their_file_is_left_alone(server: Loopback, tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    text = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tabc\n"
    cookies.write_text(text)
    fetch(tmp_path / "out", server.route("/x.wav", serve(LONG)), cookies=cookies)
    assert all("session=abc" in headers.get("Cookie", "") for headers in server.headers_seen["/x.wav"])
    assert cookies.read_text() == text


def test_a_cookies_file_without_cookies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cookies.txt").write_text("nothing")
    with pytest.raises(UsageError, match="holds no cookies"):
        fetch(tmp_path / "out", "http://127.0.0.1:1/", cookies=tmp_path / "cookies.txt")


def test_a_proxy_is_used(server: Loopback, tmp_path: Path) -> None:
    far = "http://far.invalid/x.wav"
    server.routes[far] = serve(LONG)
    assert only(fetch(tmp_path, far, proxy=server.url(""))).status == "fetched"


def test_the_rate_limit_slows_every_job(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yt_dlp.downloader.common import FileDownloader

    limits = []
    monkeypatch.setattr(
        FileDownloader, "slow_down", lambda self, start, now, count: limits.append(self.params["ratelimit"])
    )
    fetch(tmp_path, server.route("/x.wav", serve(LONG)), rate_limit=100.0, jobs=4)
    assert set(limits) == {25000.0}  # bytes a second of one job


def test_another_process_at_the_same_item_is_left_alone(server: Loopback, tmp_path: Path) -> None:
    from seqgen_core.data.fetching.locks import lock

    url = server.route("/x.wav", serve(LONG))
    with lock(tmp_path / ".partial" / f"{key_of(url)}.lock") as held:
        assert held
        assert only(fetch(tmp_path, url)).reason == "another process is fetching it"
    assert only(fetch(tmp_path, url)).status == "fetched"


def test_folder_names_are_taken_literally(server: Loopback, tmp_path: Path) -> None:
    out = tmp_path / "my $HOME ~ %(id)s 100%"
    assert only(fetch(out, server.route("/x.wav", serve(LONG)))).status == "fetched"
    assert_in_order(out)
