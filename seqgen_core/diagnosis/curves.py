"""Checks of a run by what it wrote down: its bits against those of simple guessers, and the course of its curves."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis.finding import Finding, Severity, check, graded
from seqgen_core.diagnosis.guessers import held_out_bits
from seqgen_core.diagnosis.sheets import finite, logged
from seqgen_core.runs import RunFolder

OVER_WARNING, OVER_SEVERE = 0.02, 0.2  # of the best held-out bits
UNDER_INFO, UNDER_WARNING = 0.01, 0.05
FEW_STEPS = 200
FEW_VALID, SMOOTHED = 3, 10
SPIKE_SHARE, SPIKE_SPREADS = 0.1, 8.0
SPIKES_WARNING = 3
GAP_INFO = 0.3
TOKENS_PER_PARAMETER = 0.1

STATUS = check(
    "status",
    "run",
    looks_at="how the training ended, and whether every figure it wrote down is a number",
    thresholds="a training that failed, or a figure that is no number, severe; no checkpoint severe",
    advice="Go on from the last checkpoint with a lower learning rate: `seqgen train --resume RUN learning_rate=…`.",
)
YARDSTICKS = check(
    "yardsticks",
    "run",
    looks_at="the best held-out bits against guessers that know almost nothing: a uniform one; one that knows how "
    "often each value occurs in training (order 0); one that knows it for each value before (order 1, with the "
    "smoothing of Witten and Bell 1991), both asked about the held-out tokens",
    thresholds="worse than uniform, or than order 0, severe; worse than order 1 a warning",
    advice="Train longer; if the curve stands still, lower learning_rate, or ask `seqgen doctor DATA` of the data.",
)
OVER = check(
    "over-training",
    "run",
    looks_at="whether the held-out bits have risen since their best while training went on falling",
    thresholds=f"a rise of {OVER_WARNING:.0%} a warning, of {OVER_SEVERE:.0%} severe",
    advice="Generate from the best checkpoint, as is usual; more data, a smaller model, dropout or patience=3 help.",
)
UNDER = check(
    "under-training",
    "run",
    looks_at="how much twice as many steps would gain, by a line through the latter half of the lowest held-out bits "
    f"so far (of fewer than {FEW_VALID} validations, of the training bits, each the mean of a tenth of the course) "
    "against the logarithm of the steps; and how many steps there were",
    thresholds=f"a gain of {UNDER_INFO:.0%} a remark, of {UNDER_WARNING:.0%} a warning; fewer than {FEW_STEPS} steps a "
    f"warning; training bits that end {UNDER_INFO:.0%}, and by more than chance, above their lowest, as after a "
    "learning rate that was raised again, tell nothing: a remark",
    advice="Train longer: `seqgen train --resume RUN --max-time …`.",
)
SPIKES = check(
    "loss-spikes",
    "run",
    looks_at="logged training bits that jump above those around them",
    thresholds=f"a jump of {SPIKE_SHARE:.0%} and of {SPIKE_SPREADS:g} times the usual spread; {SPIKES_WARNING} of them "
    "a warning, fewer a remark",
    advice="Lower learning_rate, or clip_norm, or raise warmup_steps or batch_size.",
)
GAP = check(
    "capacity",
    "run",
    looks_at="training numbers (tokens, or places of vectors) for each trained number of the model",
    thresholds=f"fewer than {TOKENS_PER_PARAMETER:g} a warning, where held-out bits are {GAP_INFO:.0%} above those of "
    "training, else a remark",
    advice="Find more data or take a smaller preset; until then watch the held-out bits.",
)


def check_curves(run: RunFolder, data: PreparedData | None, parameters: int | None) -> Iterator[Finding]:
    """Checks of what the run wrote down. data: where they still are; parameters: of its model, if it can be built."""
    lines = run.metrics()
    trained, valid = logged(lines, "train"), logged(lines, "valid")
    yield _status(run, lines)
    if valid and data is not None:
        yield _yardsticks(run, data, min(line["bits"] for line in valid))
    if len(valid) > 1 and len(trained) > 1:
        yield _over(run, trained, valid)
    if trained:
        yield _under(run, trained, valid)
        yield _spikes(run, trained)
    if data is not None and parameters and trained:
        yield _capacity(run, data, parameters, trained, valid)


def _status(run: RunFolder, lines: Sequence[dict[str, Any]]) -> Finding:
    status = run.status
    step = int(finite(status["step"]) or 0)
    wrong = [
        line["step"]
        for line in lines
        for value in line.values()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    if status["status"] == "failed":
        return STATUS.found("severe", f"training failed at step {step:,}: {status['reason']}", run.path)
    if wrong:
        sentence = f"a figure of step {wrong[0]:,} is no number, and those of {len(set(wrong))} steps in all"
        return STATUS.found("severe", sentence, run.path, step=wrong[0], steps=len(set(wrong)))
    if not run.steps():
        found = STATUS.found("severe", "there is no checkpoint yet", run.path)
        return found.advising(f"`seqgen train --resume {run.path}` goes on.")
    sentence = f"{status['status']} at step {max(step, run.steps()[-1]):,}"
    return STATUS.found("healthy", sentence, run.path, step=step)


def _yardsticks(run: RunFolder, data: PreparedData, best: float) -> Finding:
    uniform = run.settings.tokens.uniform_bits
    order0, order1 = held_out_bits(data, "valid" if data.items("valid") else "test")
    named = {"uniform": uniform, "order 0": order0, "order 1": order1}
    known = {name: bits for name, bits in named.items() if bits is not None}
    unbeaten = [name for name, bits in known.items() if best >= bits]
    shown = ", ".join(f"{name} {bits:.3f}" for name, bits in known.items())
    figures = {"bits": best, **{name.replace(" ", ""): bits for name, bits in known.items()}}
    severity: Severity = "healthy"
    beaten = f"{best:.3f} bits on what is held out beat {shown} of the held-out part"
    if unbeaten:
        severity = "warning" if unbeaten == ["order 1"] else "severe"
        means = {
            "uniform": "it knows nothing",
            "order 0": "it knows no more than how often values occur",
            "order 1": "a table of pairs knows more",
        }[unbeaten[0]]
        beaten = f"{best:.3f} bits on what is held out: {means} ({shown} of the held-out part)"
    return YARDSTICKS.found(severity, beaten, run.path, **figures)


def _over(run: RunFolder, trained: Sequence[dict[str, Any]], valid: Sequence[dict[str, Any]]) -> Finding:
    best, last = min(valid, key=lambda line: line["bits"]), valid[-1]
    rise = (last["bits"] - best["bits"]) / max(1e-9, best["bits"])
    then = training_bits(trained, best["step"])
    now = training_bits(trained, last["step"])
    severity = graded(rise, OVER_WARNING, OVER_SEVERE) if now < then else "healthy"
    if severity == "healthy":
        sentence = f"the best held-out bits are those of step {best['step']:,} of {last['step']:,}"
    else:
        sentence = (
            f"held-out bits rose from {best['bits']:.3f} at step {best['step']:,} to {last['bits']:.3f} at step "
            f"{last['step']:,}, while training fell to {now:.3f}"
        )
    return OVER.found(severity, sentence, run.path, rise=rise, best_step=best["step"], last_step=last["step"])


def training_bits(trained: Sequence[dict[str, Any]], step: int) -> float:
    """Mean training bits of the lines up to a step, of its last tenth."""
    until = [line["bits"] for line in trained if line["step"] <= step] or [trained[0]["bits"]]
    return float(np.mean(until[-max(1, len(until) // 10) :]))


def _under(run: RunFolder, trained: Sequence[dict[str, Any]], valid: Sequence[dict[str, Any]]) -> Finding:
    last = max([trained[-1]["step"], *run.steps(), int(finite(run.status["step"]) or 0)])
    curve, of = (valid, "held-out") if len(valid) >= FEW_VALID else (trained, "training")
    bits = np.array([line["bits"] for line in curve], float)
    bits = bits if of == "held-out" else smoothed(bits)
    gain = gain_of_doubling([line["step"] for line in curve], bits)
    share = gain / max(1e-9, float(bits.min()))
    if last < FEW_STEPS:
        return UNDER.found("warning", f"it was trained for {last} steps", run.path, steps=last, gain=gain)
    if of == "training" and bits[-1] - bits.min() > max(UNDER_INFO * bits.min(), _by_chance(trained)):
        sentence = (
            f"what twice the {last:,} steps would gain cannot be told: the training bits end at {bits[-1]:.3f}, above "
            f"the {bits.min():.3f} that they had come to, and there are fewer than {FEW_VALID} validations"
        )
        return UNDER.found("info", sentence, run.path, steps=last)
    severity: Severity = "warning" if share >= UNDER_WARNING else "info" if share >= UNDER_INFO else "healthy"
    sentence = (
        f"the {of} bits still fall: {gain:.3f} less ({share:.1%}) after twice the {last:,} steps, by their course"
    )
    if severity == "healthy":
        sentence = f"twice the {last:,} steps would gain {max(0.0, gain):.3f} {of} bits, by their course"
    elif _rate_is_at_its_end(run, trained):
        sentence += "; its learning rate is at the end of its schedule, which a longer training stretches"
    return UNDER.found(severity, sentence, run.path, steps=last, gain=gain, share=share)


def smoothed(bits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each figure (K,) as the mean of those of the tenth of the course before it, its own included."""
    width = max(1, len(bits) // SMOOTHED)
    total = np.concatenate([[0.0], np.cumsum(bits)])
    ends = np.arange(1, len(bits) + 1)
    starts = np.maximum(0, ends - width)
    return (total[ends] - total[starts]) / (ends - starts)


def _by_chance(trained: Sequence[dict[str, Any]]) -> float:
    """Twice the standard error of the difference of two smoothed figures, by how much neighbours differ."""
    bits = np.array([line["bits"] for line in trained], float)
    spread = float(np.diff(bits).std()) if len(bits) > 2 else 0.0  # of a difference: root 2 times that of each
    return 2 * spread / math.sqrt(max(1, len(bits) // SMOOTHED))


def gain_of_doubling(steps: Sequence[int], bits: Sequence[float] | NDArray[np.float64]) -> float:
    """Bits that twice as many steps gain, by the least-squares line through the latter half against log2 of steps.

    The line goes through the lowest bits so far, so that a hump, as a learning rate that was raised again makes one,
    takes nothing from what was gained over it.
    """
    x, y = np.log2(np.maximum(1, np.array(steps, float))), np.minimum.accumulate(np.array(bits, float))
    late = x >= x[-1] - 1
    if late.sum() < 2:
        late[-2:] = True
    if late.sum() < 2 or np.ptp(x[late]) < 0.1:
        return 0.0
    return float(-np.polyfit(x[late], y[late], 1)[0])


def _rate_is_at_its_end(run: RunFolder, trained: Sequence[dict[str, Any]]) -> bool:
    settings, rate = run.settings.train, finite(trained[-1].get("learning_rate"))
    if settings.schedule == "constant" or rate is None:
        return False
    return rate <= 1.5 * settings.final_learning_rate * float(settings.learning_rate)


def _spikes(run: RunFolder, trained: Sequence[dict[str, Any]]) -> Finding:
    bits = np.array([line["bits"] for line in trained])
    found = []
    for place in range(10, len(bits)):
        around = bits[place - 10 : place]
        middle = float(np.median(around))
        spread = float(np.median(np.abs(around - middle)))
        if bits[place] - middle > max(SPIKE_SHARE * middle, SPIKE_SPREADS * spread) and not (
            found and place - found[-1] < 5
        ):
            found.append(place)
    worst = max((float(bits[p] - np.median(bits[p - 10 : p])) for p in found), default=0.0)
    severity: Severity = "warning" if len(found) >= SPIKES_WARNING else "info" if found else "healthy"
    at = f", the first at step {trained[found[0]]['step']:,}, by up to {worst:.2f} bits" if found else ""
    return SPIKES.found(
        severity,
        f"{len(found)} jump{'s' * (len(found) != 1)} of the training bits{at}",
        run.path,
        jumps=len(found),
        bits=worst,
    )


def _capacity(
    run: RunFolder,
    data: PreparedData,
    parameters: int,
    trained: Sequence[dict[str, Any]],
    valid: Sequence[dict[str, Any]],
) -> Finding:
    numbers = sum(item.length for item in data.items("train")) * math.prod(data.manifest.tokens.shape)
    ratio = numbers / parameters
    best = min((line["bits"] for line in valid), default=0.0)
    apart = valid and best > (1 + GAP_INFO) * training_bits(trained, trained[-1]["step"])
    few = ratio < TOKENS_PER_PARAMETER
    severity: Severity = "warning" if few and apart else "info" if few else "healthy"
    sentence = f"{numbers:,} training numbers for {parameters:,} of the model ({ratio:.2g} each)"
    return GAP.found(severity, sentence, run.path, ratio=ratio)
