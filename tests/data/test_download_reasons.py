"""Every fault is one plain sentence with a next step."""

import errno
import socket

import pytest
from yt_dlp.networking.exceptions import TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from seqgen_core.data.fetching.reasons import MESSAGES, OS_ERRORS, STATUSES, explain

NO_RUNTIME = "No supported JavaScript runtime could be found. Only deno is enabled by default; to use another"


def raised(message: str, cause: Exception | None = None) -> DownloadError:
    """A DownloadError as yt-dlp raises it around a cause."""
    return DownloadError(f"ERROR: [site] id: {message}", (type(cause), cause, None) if cause else None)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            "Sign in to confirm you’re not a bot. Use --cookies for the authentication",
            "sign-in",
        ),
        ("Sign in to confirm your age. This video may be inappropriate for some users.", "sign-in"),
        ("Join this channel to get access to members-only content like this video", "sign-in"),
        ("Private video. Sign in if you've been granted access to this video", "private"),
        ("Video unavailable. This video has been removed by the uploader", "removed"),
        ("This video is no longer available because the YouTube account has been terminated.", "removed"),
        ("The uploader has not made this video available in your country", "geo-blocked"),
        ("This video is DRM protected", "drm"),
        ("This live event will begin in 3 days.", "live"),
        ("Requested format is not available. Use --list-formats for a list of available formats", "no-format"),
        ("Got error: 1000 bytes read, 2000 more expected", "dropped"),
        ("The read operation timed out", "timeout"),
        ("HTTP Error 404: Not Found. Giving up after 2 retries", "not-found"),
        ("Something never seen before", "other"),
    ],
)
def test_messages(message: str, kind: str) -> None:
    reason = explain(raised(message))
    assert reason.kind == kind
    assert reason.next_step


def test_causes_count_more_than_words() -> None:
    lost = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    reason = explain(raised("Unable to download API page", TransportError(cause=lost)))
    assert (reason.kind, reason.unreachable) == ("offline", True)
    assert explain(raised("unable to write data", OSError(errno.ENOSPC, "No space left"))).kind == "disk-full"
    assert explain(GeoRestrictedError("not in your country")).kind == "geo-blocked"
    assert explain(UnsupportedError("http://x/drm-private-video-removed")).kind == "unsupported"


def test_a_missing_runtime_is_named_with_what_to_install() -> None:
    reason = explain(raised("Requested format is not available"), [NO_RUNTIME])
    assert reason.kind == "no-runtime"
    assert "pip install deno" in reason.next_step
    assert explain(raised("Private video"), [NO_RUNTIME]).kind == "private"


def test_unknown_faults_are_shown_short_and_clean() -> None:
    message = "Unable to parse thing; please report this issue on https://x , filling out the form"
    assert explain(raised(message)).text == "Unable to parse thing"
    assert len(explain(ExtractorError("a" * 5000)).text) <= 200


def test_every_reason_is_one_line_with_a_next_step() -> None:
    reasons = [*STATUSES.values(), *OS_ERRORS.values(), *(reason for _, reason in MESSAGES)]
    for reason in reasons:
        assert reason.text, reason
        assert reason.next_step.endswith("."), reason
        assert "\n" not in reason.text + reason.next_step
        assert not reason.text.endswith(".")
