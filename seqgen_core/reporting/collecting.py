"""Clips of a run beside what is real: those that are there, or drawn for the page where there are none.

Axes: P tokens of a prime, N new tokens.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError
from seqgen_core.evaluation.likelihood import evaluate
from seqgen_core.progress import Progress
from seqgen_core.reporting.drawing import HELD_OUT, draw_continued, draw_from_nothing, held_out
from seqgen_core.reporting.pieces import content_of, cut
from seqgen_core.reporting.sheets import Sheet, SheetClip, continuing, find_sheets, from_nothing
from seqgen_core.reporting.specimens import Group, Pair, Specimen
from seqgen_core.settings.codec import PixelsCodecSettings
from seqgen_core.settings.report import ReportSettings
from seqgen_core.streams import Stream

if TYPE_CHECKING:
    from seqgen_core.library import Run

EXCERPT_SECONDS, EXCERPT_TOKENS = 3.0, 500
"""Length of real excerpts where there are no clips for them to be as long as; tokens of what takes no time."""
MORE_IMAGES = 4
"""As many images are shown as clips of another kind, times this."""


@dataclass
class Collected:
    """What was found or drawn. missing: sentences about what was not. speed: the head of the sheet that tells it."""

    groups: list[Group] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    speed: dict = field(default_factory=dict)


@dataclass
class _Plan:
    """A pair to be: the drawn clip, and the real tokens beside it, which are scored together with all others."""

    clip: SheetClip | None
    stream: Stream | None
    origin: str = ""
    start: float = 0.0
    note: str = ""


def collect(
    run: "Run", data: PreparedData | None, settings: ReportSettings, spare: Path, progress: Progress
) -> Collected:
    """The pairs of a run. spare: folder for clips where nothing can be written into the run."""
    made, codec = Collected(), run.settings.data.codec
    samples = run.path / "samples" if run.path.is_dir() else run.path.with_name(f"{run.path.stem}-samples")
    count = settings.count * (MORE_IMAGES if isinstance(codec, PixelsCodecSettings) else 1)
    classes = getattr(run.settings.model, "classes", 0)
    wanted = settings.model_copy(update={"count": count})

    def sheets() -> list[Sheet]:
        return find_sheets(samples) + find_sheets(spare)

    found = sheets()
    first = continuing(found)
    if (first is None or not first.asked_for) and settings.draw:
        why = "No real excerpt is continued, since the data are not here." if data is None else ""
        if data is not None:
            why = _tried(lambda: draw_continued(run, data, wanted, spare, progress))
        found, made.missing = sheets(), [*made.missing, *([why] if why else [])]
        first = continuing(found)
    if from_nothing(found, classes) is None and settings.draw:
        why = _tried(lambda: draw_from_nothing(run, data, wanted, spare, progress))
        found, made.missing = sheets(), [*made.missing, *([why] if why else [])]
    second = from_nothing(found, classes)

    plans: list[tuple[bool, Sheet | None, list[_Plan]]] = []
    if first is not None:
        plans.append((True, first, [_continued(clip, data, first.split) for clip in first.clips[:count]]))
    clips = [] if second is None else second[1][: max(count, classes)]
    beside = _excerpts(data, clips, count, settings.seed)
    if beside:
        plans.append((False, None if second is None else second[0], beside))
    bits = _score(run, [plan for _, _, some in plans for plan in some], settings, made, progress)
    for continued, sheet, some in plans:
        pairs = tuple(pair for plan in some if (pair := _pair(run, plan, bits, made)) is not None)
        if pairs:
            made.groups.append(
                Group(continued, pairs)
                if sheet is None
                else Group(continued, pairs, sheet.step, sheet.how(), sheet.settings)
            )
    made.speed = next((sheet.head for sheet in found if "tokens_per_second" in sheet.head), {})
    return made


def _tried(work: Callable[[], None]) -> str:
    try:
        work()
    except SeqgenError as error:
        return error.got
    return ""


def _continued(clip: SheetClip, data: PreparedData | None, split: str) -> _Plan:
    """A continuation and how its recording really goes on."""
    origin, start, given = str(clip.prime.get("origin", "")), int(clip.prime.get("start", 0)), clip.given
    items = [] if data is None else [item for item in data.manifest.items if item.origin == origin]
    items = [item for item in items if item.length > start + given]
    items.sort(key=lambda item: item.split != split)  # stretches of one recording may lie in several
    stream, seconds = None, float(start)
    if data is not None:
        rate = data.manifest.codec.tokens_per_second
        seconds = start / rate if rate else float(start)
        if items and given:
            stream = cut(data.stream(items[0]), start, start + given + clip.tokens, given)
    return _Plan(clip, stream, origin, seconds)


def _excerpts(data: PreparedData | None, clips: list[SheetClip], count: int, seed: int) -> list[_Plan]:
    """A plan with a real excerpt for each clip drawn from nothing, of its class and length; or `count` without clips.

    A class that nothing held out belongs to has its excerpt from the training data.
    """
    if data is None:
        return [_Plan(clip, None) for clip in clips]
    codec, plans, taken = data.manifest.codec, list[_Plan](), Counter[int | None]()
    rng = np.random.default_rng([seed, 7])  # the 7 sets it apart from the streams of clips
    usual = held_out(data)
    every = [item for split in HELD_OUT for item in data.items(split)]
    order, wider = rng.permutation(len(usual)), rng.permutation(len(every))
    for clip in clips or [None] * count:
        label = None if clip is None else clip.label
        fitting = [usual[place] for place in order if label is None or usual[place].label == label]
        fitting = fitting or [every[place] for place in wider if every[place].label == label]
        if not fitting:
            plans.append(_Plan(clip, None))
            continue
        item = fitting[taken[label] % len(fitting)]
        taken[label] += 1
        length = round(EXCERPT_SECONDS * codec.tokens_per_second) if codec.tokens_per_second else EXCERPT_TOKENS
        length = min(item.length, length if clip is None else clip.tokens)
        start = int(rng.integers(item.length - length + 1)) if 2 * length < item.length else 0
        stream = data.stream(item)
        if not isinstance(codec, PixelsCodecSettings) and item.given == 1:
            stream = cut(stream, start, start + length)
        note = "training data" if item.split == "train" else ""
        plans.append(_Plan(clip, stream, note=note))
    return plans


def _score(
    run: "Run", plans: list[_Plan], settings: ReportSettings, made: Collected, progress: Progress
) -> dict[int, float]:
    """Bits per token of the real streams, by their id; empty where there is no model to score them."""
    streams = [plan.stream for plan in plans if plan.stream is not None and len(plan.stream.tokens) > plan.stream.given]
    if not streams:
        return {}
    try:
        model, _ = run.model("best", device=settings.device, progress=progress)
        heard = streams if model.local_features else [replace(stream, features=None) for stream in streams]
        scored = evaluate(model, heard, progress=progress).recordings
    except SeqgenError as error:
        made.missing.append(f"Real excerpts are not scored: {error.got}")
        return {}
    return {id(stream): score.bits_per_token for stream, (_, score) in zip(streams, scored, strict=True)}


def _pair(run: "Run", plan: _Plan, bits: dict[int, float], made: Collected) -> Pair | None:
    codec, names = run.settings.data.codec, run.settings.data.label_names
    drawn = real = None
    if plan.clip is not None:
        try:
            drawn = Specimen(plan.clip.content(codec), plan.clip.bits, plan.clip.note)
        except (SeqgenError, OSError) as error:
            made.missing.append(f"A clip cannot be read: {getattr(error, 'got', error)}")
    if plan.stream is not None:
        real = Specimen(content_of(plan.stream, codec), bits.get(id(plan.stream)), plan.note)
    if drawn is None and real is None:
        return None
    label = plan.clip.label if plan.clip is not None else None
    if label is None and plan.stream is not None:
        label = plan.stream.label
    name = "" if label is None else names[label] if label < len(names) else str(label)
    origin = plan.origin or ("" if plan.stream is None else plan.stream.origin)
    return Pair(drawn, real, name, origin, plan.start)
