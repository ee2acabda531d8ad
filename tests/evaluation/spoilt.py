"""What every measure of sound says of real sound and of sound that was spoilt on purpose.

python tests/evaluation/spoilt.py DATA    prints the tables of docs/quality.md; DATA holds music/ and speech/fsdd/
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqgen_core.audio.codec import AudioCodec
from seqgen_core.audio.files import read_mono
from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.classifier import Classifier
from seqgen_core.evaluation.fidelity.embedding import sound_features
from seqgen_core.evaluation.fidelity.measure import Measure
from seqgen_core.evaluation.fidelity.sound import Followed, continuation_measures, sound_measures
from seqgen_core.settings.codec import AudioCodecSettings

Clips = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Real:
    """Real clips: those that are spoilt, others beside which they are measured, and one of the same recording each."""

    rate: int
    clips: Clips
    reference: Clips
    other: Clips


def real_clips(files: Sequence[Path], rate: int, seconds: float, most: int, seed: int = 0) -> Real:
    """Stretches one after another, every second one of a recording for the reference, in an order by the seed."""
    size, rng = round(seconds * rate), np.random.default_rng(seed)
    clips, reference, other = [], [], []
    for file in files:
        sound = read_mono(file, rate)
        cut = [sound[start : start + size] for start in range(0, len(sound) - size + 1, size)]
        cut = [cut[place] for place in rng.permutation(len(cut))]
        half = len(cut) // 2
        clips += cut[:half]
        reference += cut[half:]
        other += cut[half : 2 * half]
    order, beside = rng.permutation(len(clips))[:most], rng.permutation(len(reference))[: 2 * most]
    return Real(rate, [clips[k] for k in order], [reference[k] for k in beside], [other[k] for k in order])


def spoilt(clips: Clips, rate: int, seed: int = 0) -> dict[str, Clips]:
    """The clips, and what is left of them, from hardly spoilt to not at all like them."""
    rng = np.random.default_rng(seed)
    codec = AudioCodec(AudioCodecSettings(rate=rate))

    def level(sound: NDArray[np.float32]) -> float:
        return float(np.sqrt(np.square(sound).mean()))

    return {
        "real": clips,
        "crushed to 8 bits": [np.round(sound * 128) / 128 for sound in clips],
        "crushed to 4 bits": [np.round(sound * 8) / 8 for sound in clips],
        "one clip again and again": [clips[0]] * len(clips),
        "samples shuffled": [rng.permutation(sound) for sound in clips],
        "white noise, same level": [np.clip(rng.normal(0, level(sound), len(sound)), -1, 1) for sound in clips],
        "uniform codes": [codec.decode(rng.integers(0, 256, len(sound))) for sound in clips],
        "silence": [np.zeros_like(sound) for sound in clips],
    }


def untrained(rate: int, length: int, count: int) -> Clips:
    """Clips from nothing of the preset sequnet-small before its first step."""
    import torch

    from seqgen_core import models
    from seqgen_core.generation import starts
    from seqgen_core.generation.clips import draw_clips
    from seqgen_core.settings.project import load_project

    torch.manual_seed(0)
    settings = AudioCodecSettings(rate=rate)
    model = models.build(load_project(sections=[], preset="sequnet-small").model, settings.tokens).eval()
    primes = starts.from_nothing(settings, count)
    drawn = draw_clips(model.fold(), primes, length=length, batch_size=8, seed=0)
    return [AudioCodec(settings).decode(np.asarray(clip.tokens)) for clip in drawn]


def measured(real: Real, clips: Clips, others: Clips, sure: Bootstrap) -> list[Measure]:
    """All measures of some clips; others: what is compared, clip by clip, with the real clips as the truth."""
    pairs = [Followed(*three) for three in zip(others, real.clips, real.other, strict=True)]
    return [
        *continuation_measures(pairs, real.rate, sure),
        *sound_measures(clips, real.clips, real.reference, real.rate, sure),
    ]


def spoken(folder: Path, held_out: int = 3) -> tuple[list[Path], list[Path]]:
    """Files of spoken digits for training, and those of every `held_out`th recording."""
    files = sorted(folder.glob("*.wav"))
    return [f for k, f in enumerate(files) if k % held_out], files[::held_out]


def accuracies(folder: Path) -> dict[str, float]:
    """Percent of held-out digits that a classifier hears right, as they are and spoilt."""
    training, held_out = spoken(folder)
    told = sound_features([read_mono(file, 8000) for file in training], 8000)
    classifier = Classifier(told, np.array([int(file.name[0]) for file in training]), 10)
    labels = np.array([int(file.name[0]) for file in held_out])
    sets = spoilt([read_mono(file, 8000) for file in held_out], 8000)
    return {
        name: 100 * float((classifier.predict(sound_features(clips, 8000)) == labels).mean())
        for name, clips in sets.items()
    }


def print_table(title: str, real: Real) -> None:
    """One table in Markdown."""
    sure = Bootstrap(200)
    sets, others = spoilt(real.clips, real.rate), spoilt(real.other, real.rate)
    sets["untrained model"] = others["untrained model"] = untrained(real.rate, len(real.clips[0]), len(real.clips))
    print(f"\n{title}: {len(real.clips)} clips of {len(real.clips[0]) / real.rate:g} s, ", end="")
    print(f"{len(real.reference)} others beside them\n")
    for number, (name, clips) in enumerate(sets.items()):
        found = measured(real, clips, others[name], sure)
        if not number:
            heads = [f"{measure.name}{', ' if measure.unit else ''}{measure.unit}" for measure in found]
            print(f"| | {' | '.join(heads)} |\n|---|{'---:|' * len(found)}")
        figures = [f"{m.drawn.value:.{m.decimals}f}".replace("nan", "none") for m in found]
        print(f"| {name} | {' | '.join(figures)} |")


def main() -> None:
    data = Path(sys.argv[1])
    music = [
        path for part in ("strings", "song", "produced") for path in sorted((data / "music" / part).glob("*.flac"))
    ]
    print_table("music", real_clips(music, 16000, 2.0, most=40))
    print_table("spoken digits", real_clips(sorted((data / "speech" / "fsdd").glob("*.wav")), 8000, 0.2, most=40))
    print("\nclassifier accuracy on held-out digits, %\n")
    for name, share in accuracies(data / "speech" / "fsdd").items():
        print(f"| {name} | {share:.1f} |")


if __name__ == "__main__":
    main()
