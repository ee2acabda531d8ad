"""seqgen doctor: why it sounds like that, in one line for each finding."""

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqgen_cli.info_run import near
from seqgen_cli.options import Shared, command, flag
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.settings.evaluate import EvaluateSettings
from seqgen_core.settings.project import Project

if TYPE_CHECKING:
    from seqgen_core.data.store import PreparedData
    from seqgen_core.diagnosis.finding import Finding
    from seqgen_core.runs import RunFolder


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor")(doctor)


def doctor(
    shared: Shared,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA|RUN|CLIPS|FILE]",
            help="Prepared data, a run, a folder of clips or a sound file (the newest run without it, else the data); "
            "overrides.",
        ),
    ] = None,
    prime: Annotated[
        Path | None, typer.Option("--prime", metavar="FILE", help="Also look at a file that the run is to continue.")
    ] = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", metavar="DIR", help="Clips to look at in place of the run's newest.")
    ] = None,
    checkpoint: Annotated[str | None, flag(EvaluateSettings, "checkpoint")] = None,
    ema: Annotated[bool | None, flag(EvaluateSettings, "ema", "--ema/--no-ema")] = None,
) -> None:
    """Say what is wrong with data, a run or its samples, how bad it is, and what to do.

    A run is looked at with its data and its newest samples; -v also lists what is healthy, -q no remarks. The exit
    code is 1 where there is a warning or something severe, else 0.
    """
    ordinary, overrides = split_arguments(arguments)
    if len(ordinary) > 1:
        raise UsageError(f"One thing at a time; got {' '.join(ordinary)}.", hint="seqgen doctor [DATA|RUN|CLIPS|FILE]")
    flags = {"evaluate.checkpoint": checkpoint, "evaluate.ema": ema}
    project = shared.project(["evaluate"], flags, overrides=overrides)

    from seqgen_core.devices import use_threads
    from seqgen_core.diagnosis import diagnose
    from seqgen_core.diagnosis.diagnose import what_is
    from seqgen_core.diagnosis.sheets import run_of_clips

    use_threads(project.evaluate.threads)
    place = _place(ordinary[0] if ordinary else None, project)
    kind = what_is(place)
    if kind != "run" and (prime is not None or samples is not None):
        raise UsageError(
            f"{place} is no run; --prime and --samples go with one.", hint="Name a run, or leave them out."
        )
    if kind != "run" and (checkpoint is not None or ema is not None):
        raise UsageError(
            f"{place} is no run; --checkpoint and --ema/--no-ema go with one.", hint="Name a run, or leave them out."
        )
    if kind == "data":
        findings = diagnose.diagnose_data(_open_data(place), shared.screen)
    elif kind == "run":
        run, data, damage = _open_run(place)
        if prime is not None and not prime.is_file():
            raise UsageError(f"There is no file {prime}.", hint="Check the name.")
        findings = diagnose.diagnose_run(
            run,
            data,
            shared.screen,
            prime=prime,
            samples=samples,
            which=project.evaluate.checkpoint,
            ema=project.evaluate.ema,
            damage=damage,
        )
    else:
        drawn_from = run_of_clips(place) if kind == "folder" else None
        run, data, damage = _open_run(near(drawn_from)) if drawn_from is not None else (None, None, "")
        findings = diagnose.diagnose_clips(place, run, data, shared.screen, damage)
    _show(shared, place, kind, findings)
    if any(finding.alarming for finding in findings):
        raise typer.Exit(1)


def _place(named: str | None, project: Project) -> Path:
    """What is to be looked at: what was named, also a run by its bare name; else the newest run; else the data."""
    if named is not None:
        path = Path(named)
        if not path.exists() and (project.train.runs / named).exists():
            return project.train.runs / named
        if not path.exists():
            raise UsageError(
                f"There is no {named}.", hint="Name prepared data, a run, a folder of clips or a sound file."
            )
        if path.suffix == ".safetensors" and path.is_file():
            raise UsageError(
                f"{path} is an exported file, which tells nothing of its training or its data.",
                hint="Name the run's folder or clips of it; generate, evaluate, report and export take the file.",
            )
        return path
    from seqgen_core.runs import RunFolder

    if any(project.train.runs.glob("*/settings.toml")):
        return RunFolder.newest(project.train.runs).path
    if not project.train.data.exists():
        raise UsageError(
            f"There is no run in {project.train.runs} and no prepared data in {project.train.data}.",
            hint="Name what to look at: prepared data, a run, a folder of clips or a sound file.",
        )
    return project.train.data


def _open_data(path: Path) -> "PreparedData":
    from seqgen_core.data.store import PreparedData

    return PreparedData.open(path)


def _open_run(path: Path) -> "tuple[RunFolder, PreparedData | None, str]":
    """A run and its data, None where those are gone; and, where they are there but cannot be opened, why."""
    from seqgen_cli.finding import find_run_data
    from seqgen_core.data.store import MANIFEST, PreparedData
    from seqgen_core.runs import RunFolder

    run = RunFolder.open(path)
    try:
        data = find_run_data(run)
    except SeqgenError as error:
        kept = run.settings.data.path
        return run, None, error.got if kept is not None and (kept / MANIFEST).exists() else ""
    return run, PreparedData(near(data.path), data.manifest), ""


def _show(shared: Shared, place: Path, kind: str, findings: "list[Finding]") -> None:
    from seqgen_core.diagnosis.finding import SEVERITIES

    screen = shared.screen
    counts = Counter(finding.severity for finding in findings)
    least = "warning" if screen.verbosity < 0 else "info" if screen.verbosity == 0 else "healthy"
    shown = [finding for finding in findings if SEVERITIES.index(finding.severity) >= SEVERITIES.index(least)]
    screen.table("", ["", ""], [_line(finding) for finding in shown], quiet_too=True)
    told = [
        f"{counts[severity]} {word}{'s' if counts[severity] != 1 and plural else ''}"
        for severity, word, plural in (
            ("severe", "severe", False),
            ("warning", "warning", True),
            ("info", "remark", True),
            ("healthy", "healthy", False),
        )
        if counts[severity]
    ]
    verdict = "" if counts["severe"] or counts["warning"] else "; nothing serious"
    screen.sentence(f"{place}: {len(findings)} finding{'s' * (len(findings) != 1)}: {', '.join(told)}{verdict}")
    alarming = any(finding.alarming for finding in findings)
    screen.result(
        {
            "looked_at": place,
            "kind": kind,
            "exit_code": int(alarming),
            "findings": [_plain(finding) for finding in findings],
        }
    )


def _line(finding: "Finding") -> tuple[str, str]:
    word = "remark" if finding.severity == "info" else finding.severity
    advice = f" {finding.advice}" if finding.advice else ""
    return f"{word:<7}", f"{finding.check}: {finding.sentence}.{advice} [{finding.where}]"


def _plain(finding: "Finding") -> dict[str, Any]:
    figures = {name: value if math.isfinite(value) else None for name, value in finding.figures.items()}
    return {**vars(finding), "figures": figures}
