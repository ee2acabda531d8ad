"""What a page says first: what was trained on what, and what its bits are worth."""

from collections.abc import Sequence

from seqgen_core.reporting.facts import RunFacts
from seqgen_core.reporting.tables import duration

KNOWING = {
    "uniform": "knowing nothing",
    "order-0": "knowing how often each value occurs",
    "order-1": "knowing that for each value before",
}
"""What stands behind each yardstick."""


def title_of(runs: Sequence[RunFacts]) -> str:
    """A heading that names the models and their data."""
    models = list(dict.fromkeys(run.model for run in runs))
    data = list(dict.fromkeys(run.data.name for run in runs))
    if len(models) > 3 or len(data) > 3:
        return f"{len(runs)} runs on {len(data)} data sets"
    return f"{_listed(models)} on {_listed(data)}"


def sentences(run: RunFacts) -> list[str]:
    """What was trained on what; then a sentence on the held-out bits, and one for each yardstick."""
    model = run.model if run.parameters is None else f"{run.model} with {short(run.parameters)} parameters"
    trained = f"trained for {run.step:,} steps" if run.step else "of which no training is known"
    time = f" in {duration(run.seconds)}" if run.seconds is not None else ""
    said = [f"{_article(model)} {model}, {trained}{time} on {run.data.name}{_what(run)}.{_state(run)}"]
    bits, what = (run.test, "test") if run.test is not None else (None, "held-out")
    if bits is None and run.best is not None:
        bits = run.best.bits
    if bits is None:
        return said
    unit = run.data.codec.unit
    said.append(f"It needs {bits:.3f} bits per {unit} on {what} data.")
    for name, yardstick in run.data.yardsticks.named().items():
        less = yardstick - bits
        said.append(
            f"{abs(less):.3f} bits {'fewer' if less >= 0 else 'more'} than {KNOWING[name]} ({name}: {yardstick:.3f})."
        )
    return said


def short(count: int) -> str:
    """A count as people say it."""
    if count >= 1_000_000:
        return f"{count / 1e6:.3g} million"
    return f"{count:,}"


def _what(run: RunFacts) -> str:
    codec, amounts, said = run.data.codec, run.data.amounts, str(run.data.codec).replace(" Hz", "\u00a0Hz")
    if "train" not in amounts:
        return f" ({said})"
    items, tokens = amounts["train"]
    if codec.kind == "pixels":
        return f": {items:,} {codec}"
    if run.data.seconds is not None:
        pieces = f"{items:,} {'recording' if items == 1 else 'recordings'}"
        kind = "notes" if codec.kind == "piano-roll" else "sound"
        return f": {duration(run.data.seconds)} of {kind} in {pieces} ({said})"
    return f": {tokens:,} {codec.unit}s, {codec.tokens.values:,} different ones"


def _state(run: RunFacts) -> str:
    told = {
        "running": " It is being trained still, or was killed.",
        "interrupted": " Its training was interrupted.",
        "failed": " Its training failed.",
        "imported": " Its weights were imported.",
        "exported": " Its weights are those of an exported file.",
        "new": " Its training has not begun.",
    }
    return told.get(run.status, "")


def _article(word: str) -> str:
    return "An" if word[0].lower() in "aeiou" else "A"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
