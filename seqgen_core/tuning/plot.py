"""A picture of a search: held-out bits trial by trial, and against each setting that was searched."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seqgen_core.files import write_bytes_atomically
from seqgen_core.tuning.report import SearchReport, TrialReport, shown
from seqgen_core.tuning.space import Choice, Dimension

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3  # of panels
_PANEL = (4.2, 3.2)  # inches
_COLOURS = {"finished": "#2563eb", "stopped early": "#9ca3af"}
_BEST = "#c2410c"


def draw(report: SearchReport) -> None:
    """Write the search's PNG; nothing where no trial has any bits yet. Raises OSError where it cannot be written."""
    trials = [trial for trial in report.trials if trial.bits is not None and trial.state in _COLOURS]
    if not trials:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = 1 + len(report.dimensions)
    columns = min(_COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    places = [figure.add_subplot(rows, columns, number + 1) for number in range(panels)]
    _history(places[0], trials)
    for axes, dimension in zip(places[1:], report.dimensions, strict=True):
        _against(axes, trials, dimension, report)
    for axes in places:
        axes.grid(alpha=0.3, linewidth=0.5)
        axes.set_ylabel("held-out bits per token")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes_atomically(report.folder.plot, buffer.getvalue())


def _history(axes: "Axes", trials: Sequence[TrialReport]) -> None:
    from matplotlib.ticker import MaxNLocator

    for state, colour in _COLOURS.items():
        some = [trial for trial in trials if trial.state == state]
        axes.scatter([t.number for t in some], [t.bits or 0.0 for t in some], s=18, c=colour, label=state)
    course, best = [], math.inf
    for trial in sorted((t for t in trials if t.state == "finished"), key=lambda one: one.number):
        best = min(best, trial.bits or 0.0)
        course.append((trial.number, best))
    axes.step(
        [number for number, _ in course], [bits for _, bits in course], where="post", c=_BEST, label="best so far"
    )
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8)


def _against(axes: "Axes", trials: Sequence[TrialReport], dimension: Dimension, report: SearchReport) -> None:
    values = [trial.settings[dimension.name] for trial in trials]
    if isinstance(dimension, Choice):
        places = [float(dimension.values.index(value)) for value in values]
        axes.set_xticks(range(len(dimension.values)), [shown(value) for value in dimension.values])
        axes.set_xlim(-0.5, len(dimension.values) - 0.5)
    else:
        places = [float(value) for value in values]
        axes.set_xscale("log" if dimension.log else "linear")
    axes.scatter(places, [t.bits or 0.0 for t in trials], s=18, c=[_COLOURS[t.state] for t in trials])
    for place, trial in zip(places, trials, strict=True):
        if trial is report.best:
            axes.scatter([place], [trial.bits or 0.0], s=70, facecolors="none", edgecolors=_BEST, linewidths=1.5)
    axes.set_xlabel(dimension.name)
