"""seqgen download: fetch sound from the web into one folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_cli.screen import Screen
from seqgen_core.errors import SeqgenError
from seqgen_core.settings.download import DownloadSettings

if TYPE_CHECKING:
    from seqgen_core.data.download import DownloadReport, Outcome

SOURCES = ("urls", "lists", "test_lists", "dataset")


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "download")(download)


def download(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URL…]", help="Addresses of files, pages, playlists, feeds; overrides."),
    ] = None,
    lists: Annotated[list[Path] | None, flag(DownloadSettings, "lists", "--list", metavar="FILE")] = None,
    test_lists: Annotated[
        list[Path] | None, flag(DownloadSettings, "test_lists", "--test-list", metavar="FILE")
    ] = None,
    dataset: Annotated[str | None, flag(DownloadSettings, "dataset", metavar="NAME")] = None,
    list_datasets: Annotated[
        bool, typer.Option("--list-datasets", help="Show the data sets by name, and end.")
    ] = False,
    out: Annotated[Path | None, flag(DownloadSettings, "out")] = None,
    jobs: Annotated[int | None, flag(DownloadSettings, "jobs")] = None,
    retries: Annotated[int | None, flag(DownloadSettings, "retries")] = None,
    rate_limit: Annotated[float | None, flag(DownloadSettings, "rate_limit")] = None,
    max_items: Annotated[int | None, flag(DownloadSettings, "max_items")] = None,
    cookies: Annotated[Path | None, flag(DownloadSettings, "cookies")] = None,
    proxy: Annotated[str | None, flag(DownloadSettings, "proxy")] = None,
    check: Annotated[bool | None, flag(DownloadSettings, "check", "--check/--no-check")] = None,
) -> None:
    """Fetch sound: media files, pages, playlists, feeds, lists of addresses, a data set by name.

    Without addresses, lists or a data set: what [download] in seqgen.toml names. Run again to go on or to try again.
    """
    if list_datasets:
        _show_datasets(shared.screen)
        return
    urls, overrides = split_arguments(arguments)
    given = {
        "urls": urls or None,
        "lists": [str(path) for path in lists or []] or None,
        "test_lists": [str(path) for path in test_lists or []] or None,
        "dataset": dataset,
    }
    others = {
        "out": str(out) if out else None,
        "jobs": jobs,
        "retries": retries,
        "rate_limit": rate_limit,
        "max_items": max_items,
        "cookies": str(cookies) if cookies else None,
        "proxy": proxy,
        "check": check,
    }
    flags = {f"download.{name}": value for name, value in {**given, **others}.items()}
    settings = shared.project(["download"], flags, overrides=overrides).download
    settings = _only_what_is_asked(settings, given, [*shared.overrides, *overrides])

    from seqgen_core.data import download as stage

    report = stage.download(settings, shared.screen)
    _show(shared.screen, report)
    if not report.outcomes:
        raise SeqgenError("Nothing was fetched: the lists name nothing but themselves.")
    if not report.is_success:
        source = report.outcomes[0].source
        raise SeqgenError(
            f"Nothing was fetched: all {len(report.outcomes)} failed, the first because {source.reason}.",
            hint=source.next_step or "",
        )


def _only_what_is_asked(
    settings: DownloadSettings, given: Mapping[str, object], overrides: Sequence[str]
) -> DownloadSettings:
    """Sources on the command line stand instead of those of seqgen.toml, not beside them."""
    named = {text.partition("=")[0].strip().removeprefix("download.") for text in overrides}
    named |= {name for name, value in given.items() if value is not None}
    if not named & set(SOURCES):
        return settings
    defaults = DownloadSettings()
    return settings.model_copy(update={name: getattr(defaults, name) for name in SOURCES if name not in named})


def _show_datasets(screen: Screen) -> None:
    from seqgen_core.data.catalog import CATALOG

    sizes = {
        name: {split: len(dataset.addresses(split)) for split in dataset.splits} for name, dataset in CATALOG.items()
    }
    rows = [
        (name, ", ".join(f"{n} {split}" for split, n in sizes[name].items()), dataset.description, dataset.licence)
        for name, dataset in CATALOG.items()
    ]
    screen.table("Data sets", ["name", "recordings", "what", "licence"], rows)
    screen.result(
        [
            {"name": name, "recordings": sizes[name], "description": dataset.description, "licence": dataset.licence}
            for name, dataset in CATALOG.items()
        ]
    )


def _show(screen: Screen, report: "DownloadReport") -> None:
    """A row an item that was fetched or failed; what to do about failures, once each; the totals."""
    shown = [outcome for outcome in report.outcomes if outcome.status != "skipped"]
    if screen.verbosity > 0:
        shown = report.outcomes
    if shown:
        screen.table("", ["status", "address", "result"], [(o.status, o.source.url, _result(o)) for o in shown])
    steps = Counter(o.source.next_step for o in report.outcomes if o.status == "failed" and o.source.next_step)
    for step, number in steps.most_common():
        screen.line(f"hint ({number} failed): {step}")
    fetched = [outcome.source for outcome in report.outcomes if outcome.status == "fetched"]
    megabytes = sum(source.bytes or 0 for source in fetched) / 1e6
    seconds = sum(source.duration or 0 for source in fetched)
    counts = {status: report.count(status) for status in ("fetched", "skipped", "failed")}
    came, there, not_had = counts.values()
    screen.line(
        f"{came} fetched ({_clock(seconds)}, {megabytes:.1f} MB), {there} skipped (already there), {not_had} failed; "
        f"in {report.out}"
    )
    items = []
    for outcome in report.outcomes:
        source = vars(outcome.source).copy()
        items.append({**source, "status": outcome.status})
    screen.result({"out": report.out, **counts, "items": items})


def _result(outcome: "Outcome") -> str:
    source = outcome.source
    if outcome.status == "failed":
        return source.reason or "failed"
    title = f"  {source.title}" if source.title else ""
    return f"{source.file}  {_clock(source.duration or 0)}  {(source.bytes or 0) / 1e6:.1f} MB{title}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
