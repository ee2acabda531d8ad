"""Whether clips were drawn too cold or too hot: bits of what a model drew, under itself, beside those of real sound."""

from collections.abc import Iterator, Sequence

import numpy as np

from seqgen_core.diagnosis.finding import Finding, Severity, check
from seqgen_core.diagnosis.sheets import Drawn

COLD, HOT = 0.7, 1.2
COLD_SEVERE, HOT_SEVERE = 0.25, 1.6

TEMPERATURE = check(
    "temperature",
    "samples",
    looks_at="the mean bits of what was drawn, under the model itself, beside its best held-out bits: a model whose "
    "samples are like its data needs as many for both (their entropy); far fewer means that it was drawn too cold or "
    "is trapped, more that it has left what it knows",
    thresholds=f"below {COLD:g} of the held-out bits a warning, below {COLD_SEVERE:g} severe; above {HOT:g} a "
    f"warning, above {HOT_SEVERE:g} severe",
    advice="Draw again with another --temperature; where --top-k or --top-p cut tokens off, raise or drop it first. "
    "Clips from nothing that are trapped: start from real sound (--conditional).",
)


def check_temperature(bits: Sequence[float], held_out: float, drawn: Drawn, where: object) -> Iterator[Finding]:
    """The check of a sheet. bits: of each clip; held_out: the run's; drawn: how the clips were."""
    if not bits or held_out <= 0:
        return
    temperature = drawn.temperature
    mean = float(np.mean(bits))
    ratio = mean / held_out
    severity: Severity = "healthy"
    if ratio < COLD:
        severity = "severe" if ratio < COLD_SEVERE else "warning"
    elif ratio > HOT:
        severity = "severe" if ratio > HOT_SEVERE else "warning"
    better = better_temperature(temperature, ratio)
    cut = f" with {drawn.cut_off}" if drawn.cut_off else ""
    what = "as many as" if severity == "healthy" else "far fewer than" if ratio < 1 else "more than"
    sentence = (
        f"drawn tokens have {mean:.2f} bits at temperature {temperature:g}{cut}, {what} held-out ones ({held_out:.2f})"
    )
    found = TEMPERATURE.found(
        severity, sentence, where, bits=mean, held_out=held_out, temperature=temperature, advised=better
    )
    if severity == "healthy":
        yield found
    elif ratio < 1 and drawn.cut_off and temperature > 0:
        yield found.advising(f"Raise or drop {_names(drawn)}: what it leaves out is what makes bits.")
    elif ratio < 1 and temperature >= 1 and drawn.rank:
        yield found.advising(f"--rank {drawn.rank} chose among the likeliest; draw without it, or as it is.")
    elif ratio < 1 and temperature >= 1:
        start = "other or longer primes" if drawn.continued else "real sound to start from (--conditional)"
        yield found.advising(f"It is trapped: try {start}, or --temperature {better:g}.")
    else:
        yield found.advising(f"Try --temperature {better:g}.")


def _names(drawn: Drawn) -> str:
    return " and ".join(part for part in drawn.cut_off.split() if part.startswith("--"))


def better_temperature(temperature: float, ratio: float) -> float:
    """A temperature to try next, from 0.7 to 1.2: bits grow about as the temperature does (docs/doctor.md has figures).

    What was drawn below 1 and too cold is not sent beyond it, and from 0.8 on half-way to it; what was drawn above it
    and too hot is sent back to it.
    """
    if temperature > 1 and ratio > 1:
        return 1.0
    if ratio < 1 and 0.8 <= temperature < 1:  # near 1, bits grow faster than the temperature
        return round((temperature + 1) / 2, 2)
    step = max(temperature, 0.5) / max(ratio, 0.05)
    return float(np.clip(np.round(step / 0.05) * 0.05, 0.7, 1.0 if temperature < 1 or ratio > 1 else 1.2).round(2))
