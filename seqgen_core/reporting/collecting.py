"""Clips of a run beside what is real: those that are there, or drawn for the page where there are none.

Axes: P tokens of a prime, N new tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from seqgen_core.data.store import PreparedData
from seqgen_core.errors import SeqgenError
from seqgen_core.evaluation.likelihood import evaluate
from seqgen_core.progress import Progress
from seqgen_core.reporting.drawing import draw_continued, draw_from_nothing
from seqgen_core.reporting.excerpts import Excerpts
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
    """A pair to be: the drawn clip, and the real tokens beside it, which are scored by what drew the clip.

    split: where the real ones are from, "" where not known. place: key, start and end of them. file: of the clip.
    """

    clip: SheetClip | None
    stream: Stream | None
    origin: str = ""
    start: float = 0.0
    note: str = ""
    split: str = ""
    place: tuple[str, int, int] | None = None
    file: str = ""


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
    shown = [plan.place for _, _, some in plans for plan in some if plan.place is not None]
    beside = _excerpts(data, clips, count, settings.seed, shown)
    if beside:
        plans.append((False, None if second is None else second[0], beside))
    for continued, sheet, some in plans:
        bits = _score(run, sheet, some, settings, made, progress)
        for plan in some:
            if plan.clip is not None and not plan.clip.folder.is_relative_to(spare):
                plan.file = plan.clip.name
        pairs = tuple(pair for plan in some if (pair := _pair(run, plan, bits, made)) is not None)
        if pairs:
            made.groups.append(
                Group(continued, pairs)
                if sheet is None
                else Group(continued, pairs, sheet.step, sheet.how(), sheet.settings, sheet.folder.name)
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
    stream, seconds, split, place = None, float(start), "", None
    if data is not None:
        rate = data.manifest.codec.tokens_per_second
        seconds = start / rate if rate else float(start)
        if items and given:
            stop = start + given + clip.tokens
            stream, split = cut(data.stream(items[0]), start, stop, given), items[0].split
            place = items[0].key, start, stop
    return _Plan(clip, stream, origin, seconds, split=split, place=place)


def _excerpts(
    data: PreparedData | None, clips: list[SheetClip], count: int, seed: int, shown: list[tuple[str, int, int]]
) -> list[_Plan]:
    """A plan with a real excerpt for each clip drawn from nothing, of its class and length; or `count` without clips.

    No two of them are alike, so there may be fewer of them. shown: stretches that stand on the page already.
    """
    if data is None:
        return [_Plan(clip, None) for clip in clips]
    codec, plans, real = data.manifest.codec, list[_Plan](), Excerpts(data, seed, shown)
    usual = round(EXCERPT_SECONDS * codec.tokens_per_second) if codec.tokens_per_second else EXCERPT_TOKENS
    for clip in clips or [None] * count:
        label, length = (None, usual) if clip is None else (clip.label, clip.tokens)
        found = real.take(label, length)
        if found is None:
            plans += [_Plan(clip, None)] if clip is not None else []
            continue
        item, start, size = found
        stream = data.stream(item)
        if (start, size) != (0, item.length):
            stream = cut(stream, start, start + size)
        seconds = start / codec.tokens_per_second if codec.tokens_per_second else float(start)
        note = "training data" if item.split == "train" else ""
        plans.append(_Plan(clip, stream, item.origin, seconds, note, item.split))
    return plans


def _score(
    run: "Run", sheet: Sheet | None, plans: list[_Plan], settings: ReportSettings, made: Collected, progress: Progress
) -> dict[int, float]:
    """Bits per token of the real streams, by their id, by the weights that drew the sheet's clips; else by the best.

    Empty where there is no model to score them.
    """
    streams = [plan.stream for plan in plans if plan.stream is not None and len(plan.stream.tokens) > plan.stream.given]
    if not streams:
        return {}
    ema = sheet is None or sheet.settings.get("ema") is not False
    which = "best" if sheet is None or sheet.step is None or run.folder is None else str(sheet.step)
    try:
        try:
            model, _ = run.model(which, ema=ema, device=settings.device, progress=progress)
        except SeqgenError:
            if which == "best":
                raise
            model, step = run.model("best", device=settings.device, progress=progress)
            told = f"Checkpoint {which}, which drew clips, is gone: real excerpts beside them are scored by {step}."
            made.missing.append(told)
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
    return Pair(drawn, real, name, origin, plan.start, plan.split, plan.file)
