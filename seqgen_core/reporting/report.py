"""From run folders to one page."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from seqgen_core.library import Run
from seqgen_core.progress import Progress, Silent
from seqgen_core.reporting.facts import RunFacts
from seqgen_core.reporting.gathering import gather, run_names
from seqgen_core.reporting.page import Page, check_place, write_page
from seqgen_core.settings.report import ReportSettings

LARGE = 25_000_000
"""Bytes of a page from which on it is unwieldy to send."""


def report(
    runs: Sequence[Run], settings: ReportSettings, progress: Progress | None = None
) -> tuple[Page, list[RunFacts]]:
    """Write the page of some runs, and return what it is made of.

    Raises UsageError where the page would replace what is no page of ours, OSError where it cannot be written.
    """
    progress = progress or Silent()
    check_place(settings.out)
    facts = []
    with tempfile.TemporaryDirectory(prefix="seqgen-") as spare:
        for number, (run, name) in enumerate(zip(runs, run_names(runs), strict=True)):
            progress.say(f"looking at {run.path}")
            facts.append(gather(run, name, settings, Path(spare) / str(number), progress))
        page = write_page(facts, settings)
    if page.size > LARGE:
        progress.warn(f"{page.path} has {page.size / 1e6:.0f} MB; a lower --count or shorter --seconds make it smaller")
    return page, facts
