"""Measures of samples as tables: drawn clips beside real ones, with their intervals."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqgen_cli.screen import Screen
    from seqgen_core.evaluation.fidelity.bootstrap import Estimate
    from seqgen_core.library.quality import MeasuredClips
    from seqgen_core.settings.codec import CodecSettings
    from seqgen_core.settings.evaluate import EvaluateSettings

COLUMNS = 80


def show_quality(screen: "Screen", found: Sequence["MeasuredClips"], codec: "CodecSettings") -> None:
    """A table of each set of clips, and what the columns mean."""
    for clips in found:
        rate = codec.tokens_per_second
        length = f"{clips.length / rate:.3g} s" if rate else f"{clips.length:,} {codec.unit}s"
        screen.line()
        screen.table(
            f"{clips.clips} clips of {length}: {clips.name}",
            ["measure", ">drawn [95 %]", ">real [95 %]", "better"],
            [
                (
                    f"{measure.name}, {measure.unit}" if measure.unit else measure.name,
                    _figures(measure.drawn, measure.decimals),
                    _figures(measure.real, measure.decimals),
                    measure.better,
                )
                for measure in clips.measures
            ],
        )
        if clips.accuracy:
            labels = ", ".join(f"{name}\0{share:.0f}\0%" for name, share in clips.accuracy.items())  # not to be parted
            for line in textwrap.wrap(f"accuracy by label: {labels}", COLUMNS):
                screen.line(line.replace("\0", " "))
        screen.line(f"real: {clips.real} held-out clips, measured like the drawn ones against {clips.reference} others")


def quality_json(found: Sequence["MeasuredClips"], settings: "EvaluateSettings") -> dict[str, Any]:
    """The same for machines, with how the clips were drawn."""
    drawn = ("clips_from", "temperature", "top_k", "top_p", "seed", "resamples")
    told = {name: getattr(settings, name) for name in drawn}
    if settings.clips_from is not None:
        from seqgen_core.library.samples import sheet_settings

        sheet = sheet_settings(settings.clips_from)
        told |= {name: sheet.get(name) for name in ("temperature", "top_k", "top_p")}
    return {**told, "sets": [clips.as_json() for clips in found]}


def _figures(estimate: "Estimate", decimals: int) -> str:
    if not math.isfinite(estimate.value):
        return "none"
    value, low, high = (_figure(x, decimals) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]" if math.isfinite(estimate.low) else value


def _figure(value: float, decimals: int) -> str:
    return f"{value:.{0 if abs(value) >= 1000 else decimals}f}"
