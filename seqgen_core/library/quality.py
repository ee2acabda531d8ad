"""Quality: clips of a run measured beside real ones; docs/quality.md says what each measure means.

Continuations of held-out excerpts are compared with what followed and with other stretches of the same split; clips
from nothing with stretches of all that is held out. Real clips, in their place, are compared alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqgen_core.data.store import PreparedData
from seqgen_core.errors import UsageError
from seqgen_core.evaluation.fidelity.bootstrap import Bootstrap
from seqgen_core.evaluation.fidelity.classifier import Classifier
from seqgen_core.evaluation.fidelity.kinds import Kind, kind_of
from seqgen_core.evaluation.fidelity.measure import Measure
from seqgen_core.library import samples
from seqgen_core.library.clip_lengths import Planned, held_out_of, plan
from seqgen_core.library.held_out import Followers, Stretch, halves, recordings, stretches
from seqgen_core.library.samples import Sample
from seqgen_core.progress import Progress, Silent
from seqgen_core.settings.codec import PixelsCodecSettings
from seqgen_core.settings.evaluate import EvaluateSettings
from seqgen_core.streams import Stream

if TYPE_CHECKING:
    from seqgen_core.library.run import Run

CLASSIFIER_CLIPS = 30000
"""Real training clips, at most, from which the classifier learns."""
SHORTEST_TRUTH = 0.25
"""A continuation is compared with what followed where there is at least this share of it."""


@dataclass(frozen=True)
class MeasuredClips:
    """One set of clips. real and reference: how many real clips stood in their place, and beside both."""

    name: str
    clips: int
    length: int
    real: int
    reference: int
    measures: tuple[Measure, ...]
    accuracy: dict[str, float]
    """Of the classifier on the drawn clips of each label."""

    def as_json(self) -> dict[str, Any]:
        """By name, for machines."""
        head = {"set": self.name, "clips": self.clips, "length": self.length}
        sizes = {"real": self.real, "reference": self.reference}
        by_label = {"accuracy_by_label": self.accuracy} if self.accuracy else {}
        return {**head, **sizes, **by_label, "measures": [measure.as_json() for measure in self.measures]}


def measure_quality(
    run: "Run", settings: EvaluateSettings, progress: Progress | None = None, planned: Planned | None = None
) -> list[MeasuredClips]:
    """Draw clips, or take those of settings.clips_from, and measure them: a set of continuations, one from nothing.

    planned: what `clip_lengths.plan` found before, if it was asked.
    Raises UsageError for data that no measure fits, SeqgenError where too little is held out.
    """
    heard = progress or Silent()
    planned = plan(run, settings, heard) if planned is None else planned
    codec, data = run.settings.data.codec, run.data(heard)
    held_out, all_held_out = held_out_of(data, settings)
    if planned.written is not None:
        sets = [[c for c in planned.written if c.origin], [c for c in planned.written if not c.origin]]
    else:
        sets = [[], []]
        if not isinstance(codec, PixelsCodecSettings):  # half an image is given, and the other half alone is no image
            sets[0] = samples.continuations(run, settings, held_out, heard, planned.continued)
        if planned.free is not None:
            sets[1] = samples.from_nothing(run, settings, heard, planned.free, named=not sets[0])
    kind = kind_of(codec, [stream.tokens for stream in recordings(data, ["train"])])
    measured = []
    heard.begin("measuring", float(sum(map(bool, sets))), "sets")
    try:
        for clips, name, streams in zip(sets, ("continuations", "from nothing"), (held_out, all_held_out), strict=True):
            if len(clips) > 1:
                measured.append(_measured(name, clips, streams, data, kind, settings))
            heard.update(len(measured))
    finally:
        heard.end()
    if not measured:
        raise UsageError(f"{settings.clips_from} holds one clip.", "Two or more.", "Draw more by --count.")
    return measured


def _measured(
    name: str,
    clips: Sequence[Sample],
    streams: Sequence[Stream],
    data: PreparedData,
    kind: Kind,
    settings: EvaluateSettings,
) -> MeasuredClips:
    sure = Bootstrap(settings.resamples, settings.seed)
    length = int(np.median([len(clip.tokens) for clip in clips]))
    real, reference = halves(stretches(streams, length, settings.seed), len(clips))
    measures = [
        *_followed(clips, streams, kind, sure),
        *kind.measures(_tokens(clips), _tokens(real), _tokens(reference), sure),
    ]
    accuracy = {}
    if all(clip.label is not None and not clip.origin for clip in clips):  # the rest of a word is hardly the word
        found = _classified(clips, [*real, *reference], data, length, kind, sure)
        if found is not None:
            measures.append(found[0])
            accuracy = found[1]
    shown = tuple(measure for measure in measures if measure.defined)
    return MeasuredClips(name, len(clips), length, len(real), len(reference), shown, accuracy)


def _followed(clips: Sequence[Sample], streams: Sequence[Stream], kind: Kind, sure: Bootstrap) -> list[Measure]:
    """Continuations beside what really followed, and beside other real excerpts in their place."""
    followers, rng = Followers(streams), np.random.default_rng([sure.seed, 3])
    found = []
    for clip in clips:
        truth = followers.truth(clip.origin, clip.start, len(clip.tokens)) if clip.origin else None
        if truth is not None and len(truth.tokens) >= SHORTEST_TRUTH * len(clip.tokens):
            other = followers.elsewhere(truth, rng)
            if other is not None:
                found.append((clip.tokens, truth.tokens, other.tokens))
    return kind.paired(*map(list, zip(*found, strict=True)), sure) if found else []


def _classified(
    clips: Sequence[Sample], real: Sequence[Stretch], data: PreparedData, length: int, kind: Kind, sure: Bootstrap
) -> tuple[Measure, dict[str, float]] | None:
    """How often a classifier of real training clips hears the label that a clip was drawn with."""
    training = stretches(recordings(data, ["train"]), length, sure.seed, most=CLASSIFIER_CLIPS)
    training = [clip for clip in training if clip.label is not None]
    real = [clip for clip in real if clip.label is not None]
    told = kind.features(_tokens(training)) if training and real else None
    if told is None:
        return None
    names = data.manifest.label_names
    classifier = Classifier(told, _labels(training), len(names), sure.seed)
    right = []
    for some in (clips, real):
        heard = kind.features(_tokens(some))
        assert heard is not None
        right.append(100.0 * (classifier.predict(heard) == _labels(some)))
    labels = _labels(clips)
    each = {names[label]: float(right[0][labels == label].mean()) for label in np.unique(labels)}
    estimates = [sure.mean(some) for some in right]
    return Measure.of("classifier accuracy", "higher", estimates, unit="%", decimals=1), each


def _tokens(clips: Sequence[Sample] | Sequence[Stretch]) -> list[np.ndarray]:
    return [np.asarray(clip.tokens) for clip in clips]


def _labels(clips: Sequence[Sample] | Sequence[Stretch]) -> np.ndarray:
    return np.array([clip.label for clip in clips], np.int64)
