"""Checks of a run against its sound: how far back it hears beside the periods there, and how sure it is of itself."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis import periods, sound
from seqgen_core.diagnosis.finding import Finding, Severity, check
from seqgen_core.diagnosis.pieces import sound_pieces
from seqgen_core.models.base import CausalModel
from seqgen_core.models.heads import BernoulliHead, CategoricalHead
from seqgen_core.models.scoring import condition_of
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings

PERIODS = 2.0  # of the pitch, that a model should hear at once
PITCH_SECONDS = 90.0  # of the training sound in which periods are looked for
SCORED, EXCERPTS = 1024, 6
MOST_CONTEXT = 4096
MOST_OUTPUTS = 2**22
TEMPERATURES = np.arange(0.5, 2.01, 0.1)
UNSURE_INFO, UNSURE_WARNING = 0.15, 0.35

REACH = check(
    "reach",
    "run",
    looks_at="the receptive field beside the median pitch period of the training sound (autocorrelation, 2 to 20 ms) "
    "and its median beat period (autocorrelation of the onset strength, 0.25 to 1.5 s)",
    thresholds=f"fewer than {PERIODS:g} pitch periods a warning; less than a beat a remark",
    advice="Take more layers or stacks; `seqgen info receptive-field` shows what they give.",
)
SURENESS = check(
    "sureness",
    "run",
    looks_at="the temperature at which held-out excerpts cost the fewest bits (temperature scaling: Guo et al. 2017, "
    "arXiv:1706.04599, section 4.2); above 1 the model is too sure of itself, below 1 not sure enough",
    thresholds=f"away from 1 by {UNSURE_INFO:g} a remark, by {UNSURE_WARNING:g} a warning",
    advice="Generate at that temperature; where it is above 1, an earlier checkpoint or more data help.",
)


def check_reach(run: RunFolder, model: CausalModel, data: PreparedData) -> Iterator[Finding]:
    """Of models of sound; none of other kinds."""
    codec = run.settings.data.codec
    if not isinstance(codec, AudioCodecSettings):
        return
    if model.receptive_field is None:
        yield REACH.found("healthy", "a recurrent model hears all that came before", run.path)
        return
    reach = model.receptive_field / codec.rate
    pitch, beat = sound_periods(data, codec)
    shown = [f"the model hears {1000 * reach:.0f} ms"]
    shown += [f"the pitch period is {1000 * pitch:.1f} ms"] if pitch else []
    shown += [f"the beat is {1000 * beat:.0f} ms"] if beat else []
    severity: Severity = "healthy"
    if pitch and reach < PERIODS * pitch:
        severity = "warning"
    elif beat and reach < beat:
        severity = "info"
    figures = {"seconds": reach, "pitch": pitch or 0.0, "beat": beat or 0.0}
    yield REACH.found(severity, "; ".join(shown), run.path, **figures)


def sound_periods(data: PreparedData, codec: AudioCodecSettings) -> tuple[float | None, float | None]:
    """Median pitch and beat period of the training sound in seconds; None where fewer than a fifth of them have one.

    The pitch is asked of every quarter of a second, the beat of every piece of up to 15 s.
    """
    pitches, beats = list[float | None](), list[float | None]()
    size = codec.rate // 4
    for piece in sound_pieces(data, "train", PITCH_SECONDS):
        wave = AudioCodec(codec).decode(piece.tokens)
        loud = [wave[first : first + size] for first in range(0, len(wave) - size + 1, 2 * size)]
        pitches += [periods.pitch_period(part, codec.rate) for part in loud if sound.level(part) > -50]
        beats.append(periods.beat_period(wave, codec.rate))
    return _median(pitches), _median(beats)


def _median(found: list[float | None]) -> float | None:
    known = [value for value in found if value is not None]
    return float(np.median(known)) if known and len(known) >= 0.2 * len(found) else None


def check_sureness(run: RunFolder, model: CausalModel, data: PreparedData) -> Iterator[Finding]:
    """Of models whose head has a temperature in the usual sense; none of mixtures of logistics."""
    if not isinstance(model.head, CategoricalHead | BernoulliHead):
        return
    bits = tempered_bits(model, data)
    if bits is None:
        return
    place = int(bits.argmin())
    best, plain = float(TEMPERATURES[place]), float(np.interp(1.0, TEMPERATURES, bits))
    away = abs(math.log(best))
    severity: Severity = "healthy"
    if plain - bits[place] > 0.01 * plain:  # a flat valley says nothing
        severity = "warning" if away >= UNSURE_WARNING else "info" if away >= UNSURE_INFO else "healthy"
    what = "it is as sure of itself as it may be"
    if severity != "healthy":
        what = "it is too sure of itself" if best > 1 else "it is not as sure of itself as it could be"
    sentence = f"{what}: held-out bits are fewest at temperature {best:.2f} ({bits[place]:.3f}; at 1: {plain:.3f})"
    yield SURENESS.found(severity, sentence, run.path, temperature=best, bits=plain, best_bits=bits[place])


@torch.inference_mode()
def tempered_bits(model: CausalModel, data: PreparedData) -> np.ndarray | None:
    """Mean bits of held-out tokens at each of TEMPERATURES, over EXCERPTS evenly spread; None where there are none.

    The model must be on the CPU.
    """
    items = [item for item in (data.items("valid") or data.items("test")) if item.length > item.given]
    if not items:
        return None
    context = min(MOST_CONTEXT, model.receptive_field or MOST_CONTEXT)
    total, count = np.zeros(len(TEMPERATURES)), 0
    ends = np.cumsum([item.length for item in items])
    for number in range(EXCERPTS):
        middle = (number + 0.5) / EXCERPTS * ends[-1]
        place = int(np.searchsorted(ends, middle, "right"))
        stream = data.stream(items[place])
        inside = int(middle - ends[place] + items[place].length)
        scored = min(SCORED, len(stream.tokens) - 1, max(16, MOST_OUTPUTS // model.head.size))
        length = min(len(stream.tokens) - 1, scored + context)
        first = 0 if model.longest else max(0, min(inside - length // 2, len(stream.tokens) - 1 - length))
        # What a tree of strides hears is counted from the stream's beginning: keep its phase.
        first -= first % model.period
        tokens = torch.from_numpy(stream.tokens[first : first + length + 1].astype(np.int64))[None]
        outputs = model(tokens[:, :-1], condition_of(model, [stream], first, length), scored)
        targets = tokens[:, -scored:]
        for step, temperature in enumerate(TEMPERATURES):
            total[step] += float(model.head.bits(outputs / temperature, targets).double().sum())
        count += targets[..., 0].numel() if model.tokens.shape else targets.numel()
    return total / count
