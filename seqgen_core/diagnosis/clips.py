"""Checks of sounds that a model made, beside real sound of the same length where it is known, else by themselves."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.diagnosis.finding import SEVERITIES, Finding, Severity, check
from seqgen_core.diagnosis.measures import HEARD_DB, MOST_SECONDS, QUIET_DB, Measured, Real, measure
from seqgen_core.diagnosis.sound import NOISE_DB
from seqgen_core.diagnosis.sound_data import OFFSET_SHARE, OFFSET_WARNING, PILE, is_cut

TRAP_SECONDS, TRAP_SHARE, TRAP_SEVERE = 0.25, 0.25, 0.75
TONE, TONE_PART = 0.9, 0.25
FLAT, FLAT_REAL, FLAT_TIMES, FLAT_SEVERE = 0.4, 0.2, 1.7, 0.6
HIGH_REAL, HIGH_TIMES = 0.15, 3.0
EQUAL, LIKE, LIKE_LINE = 0.8, 0.985, 0.85
TONES, NOISY, NOISE_ALONE = 2.3, 0.6, 0.8  # dB beyond noise
OF_MIDDLE, OF_LEAST = 0.25, 0.6
PAUSE_DB = 3.0
CLIPPED = 1e-3
LOUD_DB = 12.0
MOSTLY = 0.9
SHORTEST = 16  # samples

UNREADABLE = check(
    "clip-unreadable",
    "samples",
    looks_at="whether the clips can be read at all, and hold anything",
    thresholds=f"a clip that cannot, or of fewer than {SHORTEST} samples, a warning",
    advice="Draw the clips again.",
)
TRAP = check(
    "silence-trap",
    "samples",
    looks_at=f"whether a clip ends in one value, or a few around it (below {QUIET_DB:g} dBFS), and stays there",
    thresholds=f"the last {TRAP_SHARE:.0%} of the clip, {TRAP_SECONDS:g} s at least, and twice as long as any real "
    f"stretch, a warning; {TRAP_SEVERE:.0%} severe; of a sound that nothing real is known of, half of it a warning",
    advice="Start from real sound (--conditional, --prime FILE), raise --temperature a little, or draw with --dither, "
    "which frees cold clips; cut silence from the data.",
)
TONE_CHECK = check(
    "constant-tone",
    "samples",
    looks_at="whether one spectral line holds nearly all the energy of a clip's latter half",
    thresholds=f"{TONE:.0%}, and no more than {TONE_PART:g} of what the purest real piece has beside its line, a "
    "warning; of a sound that nothing real is known of, a remark",
    advice="Raise --temperature (to 1 at least), train longer, or take a model with a longer receptive field.",
)
RUNAWAY = check(
    "noise-runaway",
    "samples",
    looks_at="the spectral flatness of a clip (1 is white noise) and the energy in the upper half of its band",
    thresholds=f"flatness {FLAT:g}; or, beside real sound, {FLAT_REAL:g} and {FLAT_TIMES:g} times its flattest piece, "
    f"or a share of {HIGH_REAL:.0%} in the upper half and {HIGH_TIMES:g} times its most, a warning; flatness "
    f"{FLAT_SEVERE:g} severe",
    advice="Lower --temperature (0.9, 0.8) or --top-p 0.95, train longer, or prime with more real sound.",
)
NO_PITCH = check(
    "no-pitch",
    "samples",
    looks_at="how far the spectral lines of a clip that is no noise-runaway stand out of what is within 250 Hz of them "
    f"(Johnston 1988): about {NOISE_DB:.1f} dB in noise of any colour, more where anything has a pitch",
    thresholds=f"closer to noise than {OF_LEAST:.0%} of the noisiest real piece and than {OF_MIDDLE:.0%} of their "
    f"median, or than {NOISY:g} dB, where their median is {TONES:g} dB above noise, a warning; within "
    f"{NOISE_ALONE:g} dB of noise, of a sound that nothing real is known of, a remark",
    advice="Train longer (`seqgen train --resume RUN --max-time …`): a model knows the colour of sound long before its "
    "pitch. More data, and a receptive field of several pitch periods (reach), help; meanwhile try --temperature 0.95.",
)
LOOP = check(
    "repeated-loop",
    "samples",
    looks_at="how well the latter half of a clip (of that its last 4 s) repeats itself at its best lag of 50 ms or "
    "more (the normalised square difference function of McLeod and Wyvill 2005), and how many samples are the very "
    "same one lag before; the whole clip, for longer loops, and its last quarter, for late ones, are looked through "
    "for loops that are exact",
    thresholds=f"{EQUAL:.0%} equal samples severe; likeness {LIKE:g} of the latter half of a sound that is no steady "
    f"tone (line share below {LIKE_LINE:g}) a warning",
    advice="Raise --temperature or drop --top-k/--top-p: at temperature 0 loops are what is to be expected.",
)
CUT = check(
    "clipped-samples",
    "samples",
    looks_at="samples of a clip that pile up at its extremes",
    thresholds=f"{CLIPPED:.1%} of them in runs of three, {PILE:g} times as many as just below, and three times the "
    "share of real sound, a warning",
    advice="Look for clipping in the data (`seqgen doctor DATA`), or lower --temperature.",
)
CENTRE = check(
    "clip-offset",
    "samples",
    looks_at="the mean of a clip's waveform",
    thresholds=f"{OFFSET_WARNING:g} of full scale, {OFFSET_SHARE:.0%} of the RMS and three times the most of real "
    "pieces, a warning",
    advice="Look for an offset in the data (`seqgen doctor DATA`); train longer where those have none.",
)
LOUDNESS = check(
    "loudness",
    "samples",
    looks_at="the level of a clip beside those of real pieces of its length; where nothing real is known, whether "
    "there is anything to hear",
    thresholds=f"{LOUD_DB:g} dB below the quietest twentieth or above the loudest a warning; of a sound that nothing "
    f"real is known of, and that is no silence trap, {HEARD_DB:g} dBFS, or {MOSTLY:.0%} of it silent, a warning",
    advice="Prime with real sound; if the model is always too quiet, cut silence from the data.",
)


def check_clip(
    waveform: NDArray[np.floating], rate: int, where: Path, real: Real | None = None, step: float = 2**-15
) -> Iterator[Finding]:
    """All checks of one clip."""
    if len(waveform) < SHORTEST:
        sentence = f"it has {len(waveform)} samples, too few to say anything"
        yield UNREADABLE.found("warning", sentence, where)
        return
    seen = measure(waveform, rate, step)
    seconds = min(len(waveform) / rate, MOST_SECONDS)
    trap = _trap(seen, seconds, where, real)
    yield trap
    yield from _loudness(seen, where, real, trapped=trap.alarming)
    if seen.level <= HEARD_DB:
        return
    yield _tone(seen, where, real)
    runaway = _runaway(seen, where, real)
    yield runaway
    if not runaway.alarming:  # which is noise, too, but to be helped otherwise
        yield _pitchless(seen, where, real)
    if not trap.alarming:  # silence is like itself at every lag
        yield _loop(seen, where)
    least = CLIPPED if real is None else max(CLIPPED, 3 * real.clipped)
    cut = is_cut(seen.clipping, least)
    sentence = f"{seen.clipping.share:.2%} of the samples are cut off at the extremes"
    yield CUT.found("warning" if cut else "healthy", sentence, where, share=seen.clipping.share)
    far = OFFSET_WARNING if real is None else max(OFFSET_WARNING, 3 * real.offset)
    mean, part = seen.offset
    away = abs(mean) >= far and part >= OFFSET_SHARE
    yield CENTRE.found("warning" if away else "healthy", f"its mean is {mean:+.3f}", where, mean=mean)


def _loudness(seen: Measured, where: Path, real: Real | None, *, trapped: bool) -> Iterator[Finding]:
    """The check of the level; of a clip that is trapped in silence nothing more is to be said."""
    if trapped and seen.level <= HEARD_DB:
        return
    if real is not None:
        off = max(real.low_level - seen.level, seen.level - real.high_level)
        sentence = f"{seen.level:.0f} dBFS; real pieces have {real.low_level:.0f} to {real.high_level:.0f}"
        yield LOUDNESS.found("warning" if off > LOUD_DB else "healthy", sentence, where, level=seen.level)
    elif not trapped:
        faint = seen.level <= HEARD_DB or seen.quiet_share >= MOSTLY
        sentence = f"{seen.level:.0f} dBFS, {seen.quiet_share:.0%} of it silent"
        yield LOUDNESS.found("warning" if faint else "healthy", sentence, where, level=seen.level)


def _trap(seen: Measured, seconds: float, where: Path, real: Real | None) -> Finding:
    share = min(1.0, seen.quiet_end / seconds)
    severity: Severity = "healthy"
    if real is None:
        severity = (
            "severe" if share > 0.9 else "warning" if share >= 0.5 else "info" if share >= TRAP_SHARE else "healthy"
        )
    elif seen.quiet_end >= max(TRAP_SECONDS, 2 * real.quiet_seconds) and share >= TRAP_SHARE:
        severity = "severe" if share >= TRAP_SEVERE else "warning"
    sentence = f"the last {seen.quiet_end:.2f} s ({share:.0%}) are silent"
    if real is not None and severity != "healthy":
        sentence += f"; no real piece is for more than {real.quiet_seconds:.2f} s"
    return TRAP.found(severity, sentence, where, seconds=seen.quiet_end, share=share)


def _tone(seen: Measured, where: Path, real: Real | None) -> Finding:
    pure = seen.line >= TONE and (real is None or 1 - seen.line <= TONE_PART * (1 - real.line))
    severity: Severity = "healthy" if not pure else "info" if real is None else "warning"
    sentence = f"{seen.line:.1%} of the energy lies in one spectral line"
    if real is not None and pure:
        sentence += f"; of real pieces {real.line:.1%} at most"
    return TONE_CHECK.found(severity, sentence, where, share=seen.line)


def _runaway(seen: Measured, where: Path, real: Real | None) -> Finding:
    severity: Severity = "healthy"
    if seen.flatness >= (FLAT if real is None else min(FLAT, max(FLAT_REAL, FLAT_TIMES * real.flatness))):
        severity = "severe" if seen.flatness >= FLAT_SEVERE else "warning"
    if real is not None and seen.flatness <= FLAT_TIMES * real.flatness:
        severity = "healthy"  # real sound that is noise
    if real is not None and seen.high >= max(HIGH_REAL, HIGH_TIMES * real.high) and severity == "healthy":
        severity = "warning"
    sentence = f"spectral flatness {seen.flatness:.2f}, {seen.high:.0%} of the energy in the upper half of the band"
    if real is not None and severity != "healthy":
        sentence += f"; real pieces have at most {real.flatness:.2f} and {real.high:.0%}"
    return RUNAWAY.found(severity, sentence, where, flatness=seen.flatness, high=seen.high)


def _pitchless(seen: Measured, where: Path, real: Real | None) -> Finding:
    if math.isnan(seen.tonality):
        return NO_PITCH.found("healthy", "it is too short to tell noise from tones", where)
    severity: Severity = "healthy"
    above = seen.tonality - NOISE_DB
    sentence = f"its spectral lines stand out by {seen.tonality:.1f} dB"
    figures = {"decibels": seen.tonality}
    if real is None:
        severity = "info" if above < NOISE_ALONE else "healthy"
    elif not math.isnan(real.tonality):
        figures |= {"real": real.tonality, "real_least": real.least_tonality}
        middle, least = real.tonality - NOISE_DB, real.least_tonality - NOISE_DB
        limit = max(NOISY, min(OF_MIDDLE * middle, OF_LEAST * least))
        # What is as quiet as the pauses between words may be as much noise as they are.
        if middle >= TONES and above < limit and seen.level >= real.low_level - PAUSE_DB:
            severity = "warning"
    if severity != "healthy":
        sentence = f"it is noise without a pitch: {sentence} (noise of any colour: about {NOISE_DB:.1f})"
        sentence += "" if real is None else f"; real pieces by {real.least_tonality:.1f} or more, half of them by "
        sentence += "" if real is None else f"{real.tonality:.1f}"
    return NO_PITCH.found(severity, sentence, where, **figures)


def _loop(seen: Measured, where: Path) -> Finding:
    found, of = seen.repetition, "latter half"
    severity: Severity = "healthy"
    exact = [(name, one) for name, one in (("whole", seen.whole), ("last quarter", seen.ending)) if one.equal >= EQUAL]
    if found.equal >= EQUAL:
        severity = "severe"
    elif exact:
        severity, (of, found) = "severe", exact[0]
    elif found.likeness >= LIKE and seen.line < LIKE_LINE:
        severity = "warning"
    how = f"repeats itself every {found.seconds:.3f} s" if severity != "healthy" else "is likest itself"
    how += "" if severity != "healthy" else f" after {found.seconds:.3f} s"
    sentence = f"its {of} {how} (likeness {found.likeness:.3f}, {found.equal:.0%} of the samples equal)"
    return LOOP.found(severity, sentence, where, seconds=found.seconds, likeness=found.likeness, equal=found.equal)


def gathered(findings: Sequence[Finding], where: object, count: int) -> list[Finding]:
    """The findings of `count` clips as one for each check: the worst, with the number of clips that have it."""
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, []).append(finding)
    out = []
    for found in by_check.values():
        worst = max(found, key=lambda one: SEVERITIES.index(one.severity))
        alike = sum(1 for one in found if one.severity != "healthy")
        name = Path(worst.where).name
        if worst.severity == "healthy":
            sentence = f"no clip of {len(found)}: {worst.sentence}" if len(found) > 1 else worst.sentence
        else:
            sentence = f"{alike} of {count} clips, such as {name}: {worst.sentence}"
        out.append(Finding(worst.check, worst.severity, sentence, worst.advice, str(where), worst.figures))
    return out
