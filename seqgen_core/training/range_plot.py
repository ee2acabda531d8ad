"""A picture of a learning-rate range test: bits per token against the rate, the chosen one marked."""

import io

from seqgen_core.training.range_test import RangeTest


def draw(test: RangeTest, used: float) -> bytes:
    """A PNG. used: the rate to train with, marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(test.rates, test.bits, ".", c="#9ca3af", markersize=4, label="each step")
    axes.plot(test.rates, test.smoothed, c="#2563eb", label="smoothed")
    if test.chosen is not None and test.lowest is not None:
        axes.axvline(test.lowest, c="#6b7280", linestyle=":", linewidth=1, label=f"lowest at {test.lowest:.2g}")
    named = "chosen" if test.chosen is not None else "not found; taken"
    axes.axvline(used, c="#c2410c", linewidth=1.5, label=f"{named}: {used:g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate, rising from step to step")
    axes.set_ylabel("bits per token of the step's batch")
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
