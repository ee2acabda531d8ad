"""Settings of `seqgen download`: what is fetched, to where, and how patiently."""

from pathlib import Path

from pydantic import Field, field_validator

from seqgen_core.settings.base import Settings
from seqgen_core.settings.durations import Duration


class DownloadSettings(Settings):
    """What is fetched from the web, and how."""

    urls: tuple[str, ...] = ()
    """Addresses of media files, pages, playlists, feeds, .m3u or .pls lists."""
    lists: tuple[Path, ...] = ()
    """Text files with one address a line (# starts a comment), or local .m3u or .pls lists."""
    test_lists: tuple[Path, ...] = ()
    """Lists whose recordings are for the test only; with them, those of `lists` are for training only."""
    dataset: str | None = None
    """A data set by name: see `seqgen download --list-datasets`."""
    mirror: str | None = Field(None, min_length=1)
    """Where to take the data set's files from instead: a folder, or an address below which they lie by their names."""
    out: Path = Path("data/raw")
    """Folder for the files and their account, sources.jsonl; data sets of files get a folder each in it."""
    jobs: int = Field(4, ge=1, le=64)
    """Files fetched at a time."""
    retries: int = Field(4, ge=0, le=100)
    """New attempts after a fault that may pass (429, 5xx, dropped, stalled); progress starts the count again."""
    backoff: Duration = Field(2.0, ge=0, le=3600)
    """Seconds before the first new attempt, such as 2 or "10s"; doubled each time, unless the server says how long."""
    longest_wait: Duration = Field(120.0, ge=0, le=86400)
    """Longest wait before an attempt in seconds; a server that asks for more fails the item."""
    timeout: Duration = Field(30.0, gt=0, le=3600)
    """Seconds without a byte after which a connection counts as stalled."""
    rate_limit: float | None = Field(None, gt=0)
    """Kilobytes a second over all jobs together; unset is as fast as it goes."""
    max_items: int | None = Field(None, ge=1)
    """Items taken at most from each playlist, feed or channel; unset takes all."""
    max_megabytes: float = Field(2000.0, gt=0)
    """Size above which a file is refused; the files of data sets may have what the catalogue says of them."""
    format: str = Field("bestaudio[ext=m4a]/bestaudio/best", min_length=1)
    """Format choice in the language of yt-dlp, for sites that offer several."""
    cookies: Path | None = None
    """Cookies of a signed-in browser, exported as cookies.txt (Netscape format); read, never written."""
    proxy: str | None = None
    """Proxy address; unset follows the environment (HTTPS_PROXY and so on), "" uses none."""
    check: bool = False
    """Read files that are already there again and fetch those whose SHA-256 has changed."""

    @field_validator("format")
    @classmethod
    def _one_stream(cls, value: str) -> str:
        if "+" in value or "," in value:
            raise ValueError("it asks for several streams at once; choose one, such as bestaudio/best")
        return value
