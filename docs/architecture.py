"""Draw docs/models/*.svg from the built models: `python docs/architecture.py`.

What is drawn follows from each model's own table of layers, and for images from a measurement on the built model. The
figures behind a picture lie in its metadata, where tests/test_docs.py compares them with the models of today.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch

from seqgen_cli.choosing import preset_model
from seqgen_core import models
from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.settings.base import Settings
from seqgen_core.settings.model import (
    PixelcnnSettings,
    SamplernnSettings,
    SequnetPlainSettings,
    SequnetSettings,
    TcnSettings,
    WaveNetSettings,
)
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.project import load_project
from seqgen_core.settings.tokens import CategoricalTokens, PixelTokens

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

FOLDER = Path(__file__).parent / "models"
SOUND = CategoricalTokens(values=256, ordered=True)
RATE = 16000  # Hz
INK, QUIET, CONE, FAINT, BLUE = "#1f2933", "#c3c9d1", "#c2410c", "#f6c9a8", "#2563a8"
STREAMS: dict[str, tuple[Settings, str]] = {
    "wavenet": (WaveNetSettings(stacks=2, layers=3), "wavenet-small"),
    "sequnet": (SequnetSettings(levels=3, kernel_size=3), "sequnet-small"),
    "sequnet-plain": (SequnetPlainSettings(levels=3, kernel_size=3), "sequnet-nottingham"),
    "tcn": (TcnSettings(levels=3, kernel_size=2), "tcn-nottingham"),
}
"""Page → settings small enough to draw every connection, and the preset whose layers stand beside them."""
TIERS = SamplernnSettings(frame_sizes=(8, 2))
LAYERS = (1, 2, 4)
"""Layers of the PixelCNNs whose reach is measured, on images of so many rows and columns:"""
SIDE = 15


def stream_data(page: str) -> dict[str, Any]:
    """The layers [name, dilation, clock, receptive field] of the sketch and of the preset."""
    settings, preset = STREAMS[page]
    with torch.device("meta"):
        sketch = models.build(settings, SOUND)
    chosen = preset_model(preset, load_project(base={}, preset=preset).model, RATE)
    large = chosen.build(shapes_only=True)
    return {
        "sketch": _rows(sketch),
        "receptive_field": sketch.receptive_field,
        "preset": preset,
        "purpose": load_preset(preset)["description"],
        "unit": chosen.unit,
        "rate": chosen.rate,
        "layers": _rows(large),
    }


def tiers_data() -> dict[str, Any]:
    """Frame sizes of the tiers, slowest first, and the tokens that the network over samples hears itself."""
    with torch.device("meta"):
        table = models.build(TIERS, SOUND).layer_table()
    (newest,) = (row.kernel for row in table if row.name == "newest tokens")
    return {"frames": [row.clock for row in table if row.name.endswith(" layer 1")], "newest": newest}


def image_data() -> dict[str, Any]:
    """Which pixels move the output for the middle one, by the number of layers: measured by the gradient."""
    spec = PixelTokens(height=SIDE, width=SIDE, levels=2)
    place = spec.length // 2 - 1  # of the pixel in the middle
    reached = {}
    for layers in LAYERS:
        torch.manual_seed(0)
        model = models.build(PixelcnnSettings(layers=layers), spec).double()
        tokens = torch.randint(2, (4, spec.length))
        presence = torch.ones(tokens.shape, dtype=torch.float64, requires_grad=True)
        outputs = model.forward_weighted(tokens, presence)
        (influence,) = torch.autograd.grad(outputs[:, place].square().sum(), presence)
        heard = influence.abs().amax(dim=0)[1:]  # the first token is no pixel
        reached[str(layers)] = heard.nonzero()[:, 0].tolist()
    return {"side": SIDE, "place": place, "reached": reached}


def connections(rows: list[list[Any]]) -> list[dict[int, list[int]]]:
    """For each layer, at each lag that the newest output depends on: the lags of the layer below that it hears.

    Lag 0 is the newest token, at which all clocks tick. A layer hears as many ticks of the layer below as its receptive
    field grows by; where it doubles the clock, a value between two slow ticks hears one tick less.
    """
    wanted, found = {0}, []
    for number in reversed(range(len(rows))):
        _, dilation, clock, field = rows[number]
        _, _, below, narrower = rows[number - 1] if number else ("tokens", 1, 1, 1)
        spacing = below * dilation
        past = (field - narrower) // spacing
        heard = {}
        for lag in sorted(wanted):
            newest = -(-lag // below) * below
            last = (lag // below if clock < below else newest // below) * below + past * spacing
            heard[lag] = list(range(newest, last + 1, spacing))
        found.append(heard)
        wanted = {lag for lags in heard.values() for lag in lags}
    return found[::-1]


def shortcuts(names: list[str]) -> list[tuple[int, int]]:
    """Layers whose outputs go around others: (from, to), each the number of a layer; -1 is the tokens."""
    found = []
    for number, name in enumerate(names):
        kind, level, *rest = name.split()[:3] if name.count(" ") > 1 else (name, "", "")
        if kind == "up" and rest[0] == "upsample":  # a U-Net's level: from the way down to the way up
            (down,) = (place for place, other in enumerate(names) if other.startswith(f"down {level} conv"))
            found.append((down, number + 1))
        if name.endswith("conv 2"):  # around a block of a TCN
            found.append((number - 2, number))
        if kind == "mix":  # all layers of a WaveNet
            found += [(place, number) for place, other in enumerate(names) if other.startswith("stack")][:-1]
    return found


def draw_stream(data: dict[str, Any]) -> Figure:
    """Left: every connection by which one output hears its past. Right: how far each layer of the preset hears."""
    rows = data["sketch"]
    figure, (sketch, reach) = plt.subplots(1, 2, figsize=(10.5, 1.6 + 0.32 * len(rows)), width_ratios=(1.75, 1))
    heard, field = connections(rows), data["receptive_field"]
    clocks = [1, *(row[2] for row in rows)]
    for height, clock in enumerate(clocks):
        lags = np.arange(0, field + 2, clock)
        sketch.scatter(-lags, np.full(len(lags), height), s=9, color=QUIET, zorder=1)
    for height, layer in enumerate(heard):
        ways = [(past, lag) for lag, below in layer.items() for past in below]
        times = np.array([(-past, -lag, np.nan) for past, lag in ways]).ravel()
        sketch.plot(times, [height, height + 1, np.nan] * len(ways), color=FAINT, linewidth=0.9, zorder=0)
        lags = -np.array([*layer])
        sketch.scatter(lags, np.full(len(lags), height + 1), s=18, color=CONE, zorder=2)
    tokens = sorted({lag for lags in heard[0].values() for lag in lags})
    sketch.scatter([-lag for lag in tokens], [0] * len(tokens), s=22, color=BLUE, zorder=2)
    for begin, end in shortcuts([row[0] for row in rows]):
        _arrow(sketch, (0.35, begin + 1), (0.35, end + 1), BLUE, bend=0.9 / (0.5 + end - begin))
    sketch.set_yticks(range(len(rows) + 1), ["tokens", *(_named(row) for row in rows)], fontsize=8)
    sketch.set_xlim(-field - 1.5, 0.1 * field)
    sketch.set_xticks([1 - field, 0], [f"{field - 1} tokens ago", "newest"], fontsize=8)
    sketch.set_title(f"every way from the past to one output: {field} tokens", fontsize=9, color=INK)
    _bare(sketch)

    layers = data["layers"]
    scale = 1000 / data["rate"] if data["rate"] else 1
    widths = [row[3] * scale for row in layers]
    shades = mpl.colormaps["Oranges"](0.35 + 0.6 * np.log2([row[2] for row in layers]) / 10)
    reach.barh(range(len(layers)), widths, color=shades, height=0.8)
    reach.set_xscale("log")
    reach.xaxis.set_major_formatter("{x:g}")
    reach.set_yticks([0, len(layers) - 1], ["first", "last"], fontsize=8)
    reach.set_ylabel(f"{len(layers)} layers", fontsize=8, color=INK, labelpad=-8)
    reach.set_xlabel(f"milliseconds at {data['rate'] / 1000:g} kHz" if data["rate"] else f"{data['unit']}s", fontsize=8)
    reach.tick_params(axis="x", labelsize=8)
    total = f"{widths[-1]:,.0f} ms" if data["rate"] else f"{widths[-1]:,} {data['unit']}s"
    slowest = max(row[2] for row in layers)
    clock = f"; darker: up to 1 tick in {slowest}" if slowest > 1 else ""
    reach.set_title(f"{data['preset']}: how far each layer hears\n{total} in the end{clock}", fontsize=9, color=INK)
    _bare(reach, bottom=True)
    figure.tight_layout()
    return figure


def draw_tiers(data: dict[str, Any]) -> Figure:
    """Tiers as rows of frames, the newest token at 0; what one output depends on is coloured."""
    frames, newest = data["frames"], data["newest"]
    slowest, output = frames[0], 3  # the output after that token of a frame is followed
    span = range(-2 * slowest, slowest)
    figure, axes = plt.subplots(figsize=(10.5, 1.2 + 0.75 * (len(frames) + 2)))
    net = 1.3  # height of the network over samples
    tops = [net + len(frames) - number for number in range(len(frames))]  # of each tier, slowest first
    for token in span:
        past = token <= output
        near = output - newest < token <= output
        shade = BLUE if near else FAINT if past else QUIET
        axes.scatter(token + 0.5, 0, s=40 if near else 26, color=shade, zorder=2)
        if past:
            shade = CONE if token == output else QUIET
            axes.scatter(token + 0.5, net, s=40 if token == output else 16, color=shade, zorder=2)
        if near:
            _arrow(axes, (token + 0.5, 0.12), (output + 0.5, net - 0.12), BLUE)
    for number, (size, height) in enumerate(zip(frames, tops, strict=True)):
        for begin in range(span.start, span.stop, size):
            present = begin <= output < begin + size
            shade = CONE if present else FAINT if begin <= output else "#e6e9ed"
            axes.add_patch(Rectangle((begin + 0.08, height - 0.3), size - 0.16, 0.6, color=shade, zorder=1))
            if begin + size < span.stop:
                told = begin + size <= output
                _arrow(axes, (begin + size - 0.25, height), (begin + size + 0.3, height), INK if told else QUIET)
            if present:
                x = begin + size / 2
                words = f"hears {size} tokens, tells of {size} outputs"
                if size > 4:
                    axes.text(x, height, words, ha="center", va="center", fontsize=8, color="white", zorder=3)
                below = tops[number + 1] + 0.3 if number + 1 < len(tops) else net + 0.1
                target = (output // frames[number + 1]) * frames[number + 1] if number + 1 < len(tops) else output
                width = frames[number + 1] if number + 1 < len(tops) else 1
                _arrow(axes, (x, height - 0.3), (target + width / 2, below), CONE)
                axes.plot((begin - size + 1.1, begin + 0.9), (-0.42 - 0.22 * number,) * 2, color=CONE, linewidth=2)
                axes.text(
                    begin - size + 1, -0.42 - 0.22 * number, f"frame of {size} ", ha="right", va="center", fontsize=8
                )
    axes.text(output + 1, net, " next token's distribution", fontsize=8, va="center", color=CONE)
    names = [f"tier {number + 1}: 1 tick in {size}" for number, size in enumerate(frames)]
    axes.set_yticks([0, net, *tops], ["tokens", "network over samples", *names], fontsize=8)
    axes.set_xticks([])
    axes.set_xlim(span.start - 0.5, span.stop + 0.5)
    axes.set_ylim(-0.6 - 0.22 * len(frames), tops[0] + 0.6)
    axes.set_title(
        f"frames of {' and '.join(map(str, frames))}: every frame hands its state to the next, so the past has no end",
        fontsize=9,
        color=INK,
    )
    _bare(axes)
    figure.tight_layout()
    return figure


def draw_images(data: dict[str, Any]) -> Figure:
    """Which pixels the output for one pixel depends on, with more and more layers."""
    side, place = data["side"], data["place"]
    figure, panels = plt.subplots(1, len(data["reached"]), figsize=(10.5, 4.2))
    for axes, (layers, reached) in zip(panels, data["reached"].items(), strict=True):
        shades = []
        for pixel in range(side * side):
            near = BLUE if pixel // side == place // side else "#8db4de"
            known = "#e6e9ed" if pixel < place else "white"
            shades.append(CONE if pixel == place else near if pixel in reached else known)
        rows, columns = np.divmod(np.arange(side * side), side)
        axes.scatter(columns, rows, s=150, marker="s", color=shades, edgecolors=QUIET, linewidths=0.4)
        axes.set_xlim(-0.7, side - 0.3)
        axes.set_ylim(side - 0.3, -0.7)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{layers} layer{'s' if layers != '1' else ''}: {len(reached)} pixels", fontsize=9, color=INK)
        _bare(axes)
    figure.text(
        0.5,
        0.03,
        "orange: the pixel that is predicted; dark blue: heard in its row; light blue: heard in the rows above; "
        "grey: known, out of reach",
        ha="center",
        fontsize=8,
        color=INK,
    )
    figure.tight_layout(rect=(0, 0.06, 1, 0.98))
    return figure


PAGES = (*STREAMS, "samplernn", "pixelcnn")
"""Every page that has a picture."""


def figures(page: str) -> dict[str, Any]:
    """The figures behind the picture of a page."""
    if page == "samplernn":
        return tiers_data()
    return image_data() if page == "pixelcnn" else stream_data(page)


def draw(page: str, path: Path) -> None:
    """Write the picture of a page, with its figures in the metadata."""
    data = figures(page)
    drawing = {"samplernn": draw_tiers, "pixelcnn": draw_images}.get(page, draw_stream)
    with mpl.rc_context(
        {"svg.hashsalt": page, "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK}
    ):
        figure = drawing(data)
        figure.savefig(path, facecolor="white", metadata={"Date": None, "Description": json.dumps(data)})
        plt.close(figure)


def _rows(model: CausalModel) -> list[list[Any]]:
    return [[row.name, row.dilation, row.clock, row.receptive_field] for row in _heard(model.layer_table())]


def _heard(table: list[LayerRow]) -> list[LayerRow]:
    """Without what stands beside a layer: the 1×1 convolution around a block of a TCN."""
    return [row for row in table if not row.name.endswith("match")]


def _named(row: list[Any]) -> str:
    name, dilation, clock, _ = row
    told = [f"dilation {dilation}"] if dilation > 1 else [f"1 in {clock}"] if clock > 1 else []
    return f"{name} ({', '.join(told)})" if told else name


def _arrow(
    axes: Axes, begin: tuple[float, float], end: tuple[float, float], colour: str, bend: float | None = None
) -> None:
    way = "arc3" if bend is None else f"arc3,rad={bend:.3f}"
    arrow = FancyArrowPatch(
        begin, end, connectionstyle=way, arrowstyle="-|>", mutation_scale=8, color=colour, linewidth=1, zorder=2
    )
    axes.add_patch(arrow)


def _bare(axes: Axes, bottom: bool = False) -> None:
    for side, spine in axes.spines.items():
        spine.set_visible(bottom and side == "bottom")
    axes.tick_params(length=3 if bottom else 0, colors=INK)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for page in PAGES:
        draw(page, FOLDER / f"{page}.svg")
