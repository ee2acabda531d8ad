"""What to do first about clips that are noise of the right colour, or trapped in silence, by how they came about."""

from seqgen_core.data.store import PreparedData
from seqgen_core.diagnosis.any_data import PAPERS, SHORT_SECONDS, in_words
from seqgen_core.diagnosis.curves import gain_of_doubling, training_bits
from seqgen_core.diagnosis.sheets import Drawn, finite, logged
from seqgen_core.runs import RunFolder

COOLER = 0.95
GAP = 0.1  # by which held-out bits lie above those of training where more data help more than more training


def against_noise(run: RunFolder, data: PreparedData | None, drawn: Drawn) -> str:
    """Advice, what helps most first. data: of the run, where they still are; drawn: how the clips were."""
    account, apart = _trained(run)
    told = [f"Train longer: `seqgen train --resume {run.path} --max-time …`."]
    codec = run.settings.data.codec
    if data is not None and codec.tokens_per_second:
        seconds = sum(item.length for item in data.items("train")) / codec.tokens_per_second
        if seconds < SHORT_SECONDS:
            more = f"Find more than {in_words(seconds)} of sound: {PAPERS}."
            told = [more, *told] if apart else [*told, more]
    told = [account, *told, "See whether it hears several pitch periods (reach)."]
    if drawn.temperature > COOLER:
        told.append(f"Meanwhile try --temperature {COOLER:g}.")
    return " ".join(part for part in told if part)


def against_silence(drawn: Drawn) -> str:
    """Advice about clips that are trapped: what was not tried yet. drawn: how they were."""
    start = "Prime it with more sound" if drawn.continued else "Start from real sound (--conditional, --prime FILE)"
    cold = drawn.temperature < 1 or bool(drawn.cut_off)  # at temperature 1 there is nothing that dither could change
    if drawn.dither:
        tried = " or raise --temperature: --dither was not enough"
    elif drawn.dither is False and not cold:
        tried = " or raise --temperature a little"
    else:
        tried = ", raise --temperature a little, or draw with --dither, which frees cold clips"
    return f"{start}{tried}; cut silence from the data."


def _trained(run: RunFolder) -> tuple[str, bool]:
    """What the run has had: steps, minutes, held-out bits, what these would come to after twice as many steps, training
    bits where they lie far below; and whether they do."""
    lines = run.metrics()
    steps = max((line["step"] for line in lines), default=0)
    if not steps:
        return "", False
    passed = max((finite(line.get("elapsed")) or 0.0 for line in lines), default=0.0)
    told = f"It had {steps:,} steps" + (f" in {in_words(passed)}" if passed else "")
    valid, trained = logged(lines, "valid"), logged(lines, "train")
    apart = False
    if valid:
        best, symbols = min(line["bits"] for line in valid), run.settings.data.order0_bits
        told += f" and came to {best:.2f} held-out bits"
        told += f" (how often values occur in training alone gives {symbols:.2f})" if symbols else ""
        gain = gain_of_doubling([line["step"] for line in valid], [line["bits"] for line in valid])
        if len(valid) >= 3 and gain > 0.005:
            told += f"; by their course twice the steps come to {best - gain:.2f}"
        now = training_bits(trained, trained[-1]["step"]) if trained else best
        apart = best > (1 + GAP) * now
        told += f"; on what it trains on it has {now:.2f}, so more data help most" if apart else ""
    return told + ".", apart
