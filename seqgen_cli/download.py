"""seqgen download: fetch sound from the web, and data sets by name, into one folder."""

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
    from seqgen_core.data.datasets.entry import Dataset
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
    mirror: Annotated[str | None, flag(DownloadSettings, "mirror", metavar="DIR_OR_URL")] = None,
    out: Annotated[Path | None, flag(DownloadSettings, "out")] = None,
    jobs: Annotated[int | None, flag(DownloadSettings, "jobs")] = None,
    retries: Annotated[int | None, flag(DownloadSettings, "retries")] = None,
    rate_limit: Annotated[float | None, flag(DownloadSettings, "rate_limit")] = None,
    max_items: Annotated[int | None, flag(DownloadSettings, "max_items")] = None,
    cookies: Annotated[Path | None, flag(DownloadSettings, "cookies")] = None,
    proxy: Annotated[str | None, flag(DownloadSettings, "proxy")] = None,
    check: Annotated[bool | None, flag(DownloadSettings, "check", "--check/--no-check")] = None,
) -> None:
    """Fetch sound: media files, pages, playlists, feeds, lists of addresses; or a data set by name, of any kind.

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
        "mirror": mirror,
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
    if not report.outcomes and report.dataset is None:
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
    dropped = {name for name in SOURCES if name not in named}
    if "dataset" in dropped and "mirror" not in named:
        dropped.add("mirror")  # that of the data set that is not asked for
    return settings.model_copy(update={name: getattr(defaults, name) for name in dropped})


def _show_datasets(screen: Screen) -> None:
    from seqgen_core.data.catalog import CATALOG

    columns = ["name", "kind", ">size", "splits", "licence"]
    rows = [(d.name, d.kind, _size(d), _splits(d), d.licence) for d in CATALOG.values()]
    if screen.verbosity > 0:
        columns, rows = [*columns, "/what"], [(*row, CATALOG[row[0]].description) for row in rows]
    screen.table("Data sets", columns, rows)
    screen.sentence("Fetch one with `seqgen download --dataset NAME`; -v says more.")
    screen.result([_everything(dataset) for dataset in CATALOG.values()])


def _size(dataset: "Dataset") -> str:
    if not dataset.files:
        return "a list"
    size, about = (dataset.size, "") if dataset.size is not None else (dataset.most_bytes, "< ")
    for unit, bytes_of_it in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_of_it:
            return f"{about}{size / bytes_of_it:.1f} {unit}"
    return f"{about}{size / 1e3:.0f} kB"


def _splits(dataset: "Dataset") -> str:
    counts = (f"{count:,}" if split == "all" else f"{count:,} {split}" for split, count in dataset.splits.items())
    return f"{' + '.join(counts)} {dataset.unit}"


def _everything(dataset: "Dataset") -> dict[str, object]:
    return {
        "name": dataset.name,
        "kind": dataset.kind,
        "codec": dataset.codec,
        "description": dataset.description,
        "licence": dataset.licence,
        "page": dataset.page,
        "splits": dataset.splits,
        "unit": dataset.unit,
        "bytes": dataset.size,
        "bytes_unpacked_at_most": dataset.most_bytes or None,
        "files": [vars(file) for file in dataset.files],
        "recordings": {split: len(dataset.addresses(split)) for split in dataset.lists},
        "next": dataset.next_command(Path("FOLDER")),
    }


def _show(screen: Screen, report: "DownloadReport") -> None:
    """A row an item that was fetched or failed; what to do about failures, once each; the totals; the next command."""
    if report.outcomes or report.dataset is None:
        _show_items(screen, report)
    obtained = report.dataset
    if obtained is not None:
        name, there = obtained.dataset.name, "already there" if obtained.status == "skipped" else "fetched"
        screen.sentence(
            f"{name}: {there}, {obtained.files:,} files ({obtained.bytes / 1e6:,.1f} MB) in {obtained.folder}"
        )
        screen.sentence(f"licence: {obtained.dataset.licence}; {obtained.dataset.page}")
    if report.next_command:
        screen.line(f"next: {report.next_command}")
    counts = {status: report.count(status) for status in ("fetched", "skipped", "failed")}
    items = [{**vars(outcome.source), "status": outcome.status} for outcome in report.outcomes]
    dataset = None
    if obtained is not None:
        dataset = {
            "name": obtained.dataset.name,
            "status": obtained.status,
            "folder": obtained.folder,
            "files": obtained.files,
            "bytes": obtained.bytes,
            "licence": obtained.dataset.licence,
        }
    screen.result({"out": report.out, **counts, "items": items, "dataset": dataset, "next": report.next_command})


def _show_items(screen: Screen, report: "DownloadReport") -> None:
    shown = [outcome for outcome in report.outcomes if outcome.status != "skipped"]
    if screen.verbosity > 0:
        shown = report.outcomes
    if shown:
        screen.table("", ["status", "~address", "result"], [(o.status, o.source.url, _result(o)) for o in shown])
    steps = Counter(o.source.next_step for o in report.outcomes if o.status == "failed" and o.source.next_step)
    for step, number in steps.most_common():
        screen.sentence(f"hint ({number} failed): {step}")
    fetched = [outcome.source for outcome in report.outcomes if outcome.status == "fetched"]
    megabytes = sum(source.bytes or 0 for source in fetched) / 1e6
    seconds = sum(source.duration or 0 for source in fetched)
    came, there, not_had = (report.count(status) for status in ("fetched", "skipped", "failed"))
    screen.line(
        f"{came} fetched ({_clock(seconds)}, {megabytes:.1f} MB), {there} skipped (already there), {not_had} failed; "
        f"in {report.out}"
    )


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
