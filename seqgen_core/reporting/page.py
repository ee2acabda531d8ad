"""The page: facts into HTML that is complete in itself, written only where nothing else would be lost."""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from seqgen_core.errors import UsageError
from seqgen_core.files import write_text_atomically
from seqgen_core.reporting import pictures, players, tables
from seqgen_core.reporting.curves import charts
from seqgen_core.reporting.facts import RunFacts
from seqgen_core.reporting.headline import sentences, title_of
from seqgen_core.reporting.reach import Reach, reach_figure
from seqgen_core.reporting.specimens import Image, Roll, Sound
from seqgen_core.settings.report import ReportSettings

PARTS = Path(__file__).parent / "page"
MARK = "seqgen report"
"""What the generator of our own pages begins with."""
_HEAD = 2000  # bytes of a page in which its generator stands


@dataclass(frozen=True)
class Page:
    """A page that was written: where, how many bytes, and how many things to hear and see are on it.

    replaced: whether an older page of ours stood there.
    """

    path: Path
    size: int
    sounds: int
    pictures: int
    replaced: bool = False


def check_place(path: Path) -> None:
    """Raise UsageError where the page would replace what is no page of ours, or stand where a folder is."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "A file for the page, such as report.html.")
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UsageError(f"{path} cannot be written: {folder} takes no files.", hint="Name another by --out.")
        return
    with path.open("rb") as stream:
        ours = f'content="{MARK}'.encode() in stream.read(_HEAD)
    if not ours:
        raise UsageError(f"{path} is there and is no report of seqgen.", hint="Name another file by --out.")


def write_page(runs: Sequence[RunFacts], settings: ReportSettings) -> Page:
    """Write the page of some runs at settings.out. Raises UsageError as `check_place` does, OSError."""
    check_place(settings.out)
    text, replaced = render(runs, settings), settings.out.exists()
    write_text_atomically(settings.out, text)
    pictures_shown = text.count("<img ") + text.count("<svg ")
    return Page(settings.out, len(text.encode()), text.count("<audio "), pictures_shown, replaced)


def render(runs: Sequence[RunFacts], settings: ReportSettings) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(PARTS), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    groups = _same_data(runs)
    overview, differing = tables.overview(runs), tables.differing(runs)
    program = program_version()
    return environment.get_template("report.html.jinja").render(
        generator=f"{MARK}, {program}",
        title=settings.title or title_of(runs),
        style=Markup((PARTS / "style.css").read_text(encoding="utf-8")),
        script=Markup((PARTS / "script.js").read_text(encoding="utf-8")),
        runs=[_run(place, run) for place, run in enumerate(runs)],
        data_sets=len(groups),
        overview=overview,
        any_best=any(cell.best for section in overview for _, cells in section.rows for cell in cells),
        curves=[{"name": group[0][1].data.name, "charts": drawn} for group in groups if (drawn := charts(group))],
        reaches=[_reach(group[0][1].data.name, figure) for group in groups if (figure := reach_figure(group))],
        differing=differing,
        differing_names={name for name, _ in differing},
        commands=_commands(runs, settings),
        version=program,
        seed=settings.seed,
        date=f"{datetime.date.today():%-d %B %Y}",
    )


def program_version() -> str:
    """The program's name and version."""
    try:
        return f"seqgen {version('seqgen')}"
    except PackageNotFoundError:
        return "seqgen"


def _same_data(runs: Sequence[RunFacts]) -> list[list[tuple[int, RunFacts]]]:
    """Runs with their places on the page, those on the same data together."""
    groups: dict[str, list[tuple[int, RunFacts]]] = {}
    for place, run in enumerate(runs):
        groups.setdefault(f"{run.data.content} {run.data.codec}", []).append((place, run))
    return list(groups.values())


def _run(place: int, run: RunFacts) -> dict[str, Any]:
    blocks = players.blocks(run)
    return {
        "id": f"run-{place + 1}",
        "colour": place % 6,
        "name": run.name,
        "sentences": sentences(run),
        "missing": [*run.missing, *([f"Training ended early: {run.reason}"] if run.status == "failed" else [])],
        "blocks": [
            {**vars(block), "drawn": any(not one.real for row in block.rows for one in row.players)} for block in blocks
        ],
        "settings": tables.flat_settings(run),
        "seed": run.settings.train.seed,
    }


def _reach(name: str, figure: Reach) -> dict[str, Any]:
    content = figure.content
    made: dict[str, Any] = {"name": name, "figure": figure, "kind": "text"}
    source = players.file_name(figure.origin)
    if isinstance(content, Sound):
        peak = float(abs(content.waveform).max(initial=0))
        made |= {"kind": "sound", "waves": pictures.waves(content.waveform, peak)}
    elif isinstance(content, Roll):
        span = pictures.key_span([content.roll], content.codec)
        made |= {"kind": "roll", "roll": pictures.roll_picture(content.roll, content.codec, span, 0)}
    elif isinstance(content, Image):
        height, width, _ = content.pixels.shape
        made |= {"kind": "image", "image": pictures.image_address(content.pixels), "width": width, "height": height}
    made["caption"] = f"From {source}." if source else "A held-out excerpt."
    if isinstance(content, Image):
        of = f" of {figure.bars[0].name}" if len(figure.bars) > 1 else ""
        told = f"Blue: what the receptive field{of} reaches at most, counted back in raster order; it may be less."
        made["caption"] += f" Red: the pixel to be predicted. {told}"
    return made


def _commands(runs: Sequence[RunFacts], settings: ReportSettings) -> list[str]:
    made = [line for run in runs for line in tables.commands(run)]
    return list(dict.fromkeys([*made, tables.report_command(runs, settings)]))
