"""seqgen report: one page about runs, to open in a browser and to send around."""

from pathlib import Path
from typing import Annotated

import typer

from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.settings.report import ReportSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "report")(report)


def report(
    shared: Shared,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN…]", help="Run folders (the newest without any), overrides.")
    ] = None,
    out: Annotated[Path | None, flag(ReportSettings, "out", metavar="FILE")] = None,
    title: Annotated[str | None, flag(ReportSettings, "title")] = None,
    draw: Annotated[bool | None, flag(ReportSettings, "draw", "--draw/--no-draw")] = None,
    count: Annotated[int | None, flag(ReportSettings, "count")] = None,
    seconds: Annotated[str | None, flag(ReportSettings, "seconds", metavar="DURATION")] = None,
    evaluate: Annotated[bool | None, flag(ReportSettings, "evaluate", "--evaluate/--no-evaluate")] = None,
    seed: Annotated[int | None, flag(ReportSettings, "seed")] = None,
    device: Annotated[str | None, flag(ReportSettings, "device")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """One page about runs: curves, samples to hear beside real ones, receptive field, settings; a single HTML file."""
    ordinary, overrides = split_arguments(arguments)
    flags = {
        "report.out": out,
        "report.title": title,
        "report.draw": draw,
        "report.count": count,
        "report.seconds": seconds,
        "report.evaluate": evaluate,
        "report.seed": seed,
        "report.device": device,
    }
    project = shared.project(["report"], flags, overrides=overrides)

    from seqgen_cli.finding import load_named_run
    from seqgen_core.devices import use_threads
    from seqgen_core.reporting.report import report as write_report
    from seqgen_core.reporting.tables import size

    named: list[str | None] = [*dict.fromkeys(ordinary)]
    runs = [load_named_run(name, project) for name in named or [None]]
    use_threads(project.report.threads)
    page, facts = write_report(runs, project.report, shared.screen)
    screen = shared.screen
    for run in facts:
        for sentence in run.missing:
            screen.say(f"{run.path}: {sentence}")
    runs_shown = f"{len(facts)} run{'' if len(facts) == 1 else 's'}"
    replaced = ", replaced" if page.replaced else ""
    screen.line(
        f"{page.path}{replaced}: {size(page.size)}, {page.sounds} sounds, {page.pictures} pictures; {runs_shown}"
    )
    screen.result(
        {
            "out": page.path,
            "replaced": page.replaced,
            "bytes": page.size,
            "sounds": page.sounds,
            "pictures": page.pictures,
            "runs": [
                {"run": run.path, "name": run.name, "status": run.status, "missing": run.missing} for run in facts
            ],
        }
    )
    if open_it:
        import webbrowser

        if not webbrowser.open(page.path.resolve().as_uri()):
            screen.warn(f"no browser could be started; open {page.path} yourself")
