"""Specimens as the page shows them: sound with pictures to click into, rolls, texts, images, each with its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from seqgen_core.reporting import pictures
from seqgen_core.reporting.curves import Tick, even_ticks
from seqgen_core.reporting.facts import RunFacts
from seqgen_core.reporting.specimens import Group, Image, Pair, Roll, Sound, Specimen, Text


@dataclass(frozen=True)
class Player:
    """One specimen. kind: sound, roll, text or image. alt: what a person hears who cannot see it.

    source: data address of what is played, "" for what is not. seam: percent of the width that was given, 0 for none.
    share: percent that its pictures are wide, so that a second is as wide in both of a pair.
    """

    kind: str
    real: bool
    title: str
    bits: str
    alt: str
    source: str = ""
    seconds: float = 0.0
    seam: float = 0.0
    seam_seconds: float = 0.0
    share: float = 100.0
    ticks: tuple[Tick, ...] = ()
    waves: pictures.Waves | None = None
    spectrogram: str = ""
    frequencies: tuple[Tick, ...] = ()
    roll: pictures.RollPicture | None = None
    text: Text | None = None
    image: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Row:
    """A pair: heading, and its players, drawn before real."""

    heading: str
    players: tuple[Player, ...]


@dataclass(frozen=True)
class Block:
    """A group as the page shows it."""

    continued: bool
    kind: str
    lead: str
    rows: tuple[Row, ...]
    labelled: bool


def blocks(run: RunFacts) -> list[Block]:
    """The groups of a run, on scales that all of its pictures share."""
    specimens = [one for group in run.groups for pair in group.pairs for one in (pair.drawn, pair.real) if one]
    scales = _scales([one.content for one in specimens])
    made = []
    for group in run.groups:
        rows = tuple(_row(number, pair, group, run, scales) for number, pair in enumerate(group.pairs, start=1))
        labelled = any(pair.label for pair in group.pairs)
        made.append(Block(group.continued, rows[0].players[0].kind, _lead(group, run), rows, labelled))
    return made


def file_name(origin: str) -> str:
    """The last part of where a recording is from, which is what a reader can make something of."""
    return PurePath(origin).name or origin


def _scales(contents: Sequence[Any]) -> dict[str, Any]:
    sounds = [content for content in contents if isinstance(content, Sound)]
    rolls = [content for content in contents if isinstance(content, Roll)]
    scales: dict[str, Any] = {}
    if sounds:
        spectra = {id(sound): pictures.spectra(sound.waveform, sound.rate) for sound in sounds}
        scales["spectra"] = spectra
        scales["top"] = max(float(frames.max()) for frames in spectra.values())
        scales["peak"] = max(float(np.abs(sound.waveform).max(initial=0)) for sound in sounds)
    if rolls:
        scales["keys"] = pictures.key_span([content.roll for content in rolls], rolls[0].codec)
    return scales


def _row(number: int, pair: Pair, group: Group, run: RunFacts, scales: dict[str, Any]) -> Row:
    origin, codec = file_name(pair.origin), run.data.codec
    if codec.kind == "pixels":
        heading = f"Class {pair.label}" if pair.label else f"Image {number}"
    elif pair.label:
        of = origin if group.continued else pair.file
        heading = f"Class {pair.label}" + (f": {of}" if of else "")
    elif group.continued and origin:
        rate = codec.tokens_per_second
        at = f" from {pair.start:.2f} s" if rate else f" from {codec.unit} {pair.start:,.0f}"
        heading = f"{origin}{at if pair.start else ''}" + (f" ({pair.file})" if pair.file else "")
    else:
        heading = pair.file or f"Clip {number}"
    contents = [one.content for one in (pair.drawn, pair.real) if one is not None]
    scales = {**scales, "row": max((c.seconds for c in contents if isinstance(c, Sound | Roll)), default=1.0)}
    titles = {False: "Continued by the model" if group.continued else "Drawn from nothing"}
    titles[True] = "As it really goes on" if group.continued else _excerpt(pair, run)
    if pair.drawn is not None and isinstance(pair.drawn.content, Image):
        titles = {False: "Completed" if group.continued else "Drawn", True: "Real"}
    players = [
        _player(one, real, titles[real] + (f" ({one.note})" if one.note else ""), codec.unit, scales)
        for real, one in ((False, pair.drawn), (True, pair.real))
        if one is not None
    ]
    return Row(heading, tuple(players))


def _player(one: Specimen, real: bool, title: str, unit: str, scales: dict[str, Any]) -> Player:
    content = one.content
    bits = "" if one.bits is None else f"{one.bits:.3f} bits per {unit}"
    if isinstance(content, Text):
        return Player("text", real, title, bits, "", text=content)
    if isinstance(content, Image):
        height, width, _ = content.pixels.shape
        alt = f"{title}: image of {height} × {width} pixels" + (f", {bits}" if bits else "")
        seam = 100 * content.given / height
        source, bits = pictures.image_address(content.pixels), "" if one.bits is None else f"{one.bits:.3f} bits"
        return Player("image", real, title, bits, alt, image=source, width=width, height=height, seam=seam)
    source = pictures.address(content.recording.data, content.recording.mime)
    seconds, played = content.seconds, content.recording.seconds
    seam = 100 * content.seam / seconds if seconds else 0.0
    given = f"; its first {content.seam:.2f} s were given" if content.seam else ""
    common: dict[str, Any] = {
        "source": source,
        "seconds": seconds,
        "seam": seam,
        "seam_seconds": content.seam,
        "share": 100 * seconds / max(scales["row"], 1e-9),
        "ticks": _seconds(seconds, scales["row"]),
    }
    if isinstance(content, Roll):
        span, frames = scales["keys"], round(content.seam * content.codec.rate)
        alt = f"{title}: piano roll of {seconds:.1f} s{given}"
        roll = pictures.roll_picture(content.roll, content.codec, span, frames)
        return Player("roll", real, title, bits, alt, roll=roll, **common)
    alt = f"{title}: waveform and log-mel spectrogram of {played:.2f} s of sound{given}"
    return Player(
        "sound",
        real,
        title,
        bits,
        alt,
        waves=pictures.waves(content.waveform, scales["peak"], seam / 100),
        spectrogram=pictures.spectrogram(scales["spectra"][id(content)], scales["top"]),
        frequencies=pictures.frequencies(content.rate),
        **common,
    )


def _seconds(seconds: float, longest: float) -> tuple[Tick, ...]:
    """Ticks of time, the last with its unit, as far apart as in the longest of the row."""
    ticks = [tick for tick in even_ticks(0, longest, 6) if tick.value <= seconds * 1.0001] if seconds else []
    placed = [Tick(min(100.0, 100 * tick.value / seconds), tick.text, tick.value) for tick in ticks]
    return (*placed[:-1], *(Tick(last.place, f"{last.text} s", last.value) for last in placed[-1:]))


def _lead(group: Group, run: RunFacts) -> str:
    unit, drawn = run.data.codec.unit, any(pair.drawn is not None for pair in group.pairs)
    if not drawn:
        return "Real excerpts; nothing was drawn."
    real = [pair for pair in group.pairs if pair.real is not None]
    if group.continued:
        begun = {_home(pair) for pair in group.pairs}
        home = f"{begun.pop()} " if len(begun) == 1 else ""
        if run.data.codec.kind == "pixels":
            said = f"The rows above the line are given{f', {home.strip()}' if home else ''}, the rest is the model's"
            said += "; beside it stands the real image." if real else "."
        else:
            said = f"The model continues each beginning{f', {home.strip()}' if home else ''}"
            said += "; beside it stands how the recording really goes on." if real else "."
    else:
        said = "Drawn without any beginning" + (", beside real excerpts." if real else ".")
        if real and all(pair.split in ("valid", "test") for pair in real):
            said = "Drawn without any beginning, beside held-out excerpts."
    said += f" Bits per {unit} are the model's own, of what was not given: fewer mean that it is surprised less."
    step = f" Checkpoint of step {group.step:,}" if group.step is not None else ""
    how = f", {group.how}" if group.how else ", plain sampling"
    said = f"{said}{step}{how}." if step else said
    named = group.folder and any(pair.file for pair in group.pairs) and not any(pair.label for pair in group.pairs)
    return f"{said} The files are in {group.folder}." if named else said


def _home(pair: Pair) -> str:
    """Where a beginning is from, as the lead says it."""
    if not pair.split:
        return "which is not from the data that are here"
    return "which is from the training data" if pair.split == "train" else "which is held out"


def _excerpt(pair: Pair, run: RunFacts) -> str:
    """What a real excerpt is called: where it is from, as far as that tells anything."""
    origin, codec = file_name(pair.origin), run.data.codec
    if not origin or codec.kind == "pixels":
        return "A real excerpt"
    at = f" from {pair.start:.2f} s" if codec.tokens_per_second else f" from {codec.unit} {pair.start:,.0f}"
    return f"A real excerpt of {origin}{at if pair.start else ''}"
