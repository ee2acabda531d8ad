"""What a page knows of its runs: plain values, gathered elsewhere, without torch."""

from dataclasses import dataclass, field
from pathlib import Path

from seqgen_core.data.yardsticks import Yardsticks
from seqgen_core.reporting.specimens import Group
from seqgen_core.settings.codec import CodecSettings
from seqgen_core.settings.run import RunSettings
from seqgen_core.streams import Stream

MODEL_NAMES = {
    "wavenet": "WaveNet",
    "sequnet": "Seq-U-Net",
    "sequnet_plain": "Seq-U-Net (plain)",
    "tcn": "TCN",
    "samplernn": "SampleRNN",
    "pixelcnn": "Gated PixelCNN",
}
"""How the field writes the kinds of model."""


@dataclass(frozen=True)
class Point:
    """Bits per token after a step; seconds of training until then, None where that was not logged."""

    step: int
    seconds: float | None
    bits: float


@dataclass(frozen=True)
class DataFacts:
    """What a run was trained on. found: where the data are now, None where they are gone.

    amounts: items and tokens of each split that holds any; empty where the data are gone. content: equal for equal
    data. inputs: files and folders they were made of, as typed. preprocessing: settings of it that are no defaults.
    """

    name: str
    codec: CodecSettings
    found: Path | None
    content: str
    yardsticks: Yardsticks
    amounts: dict[str, tuple[int, int]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    preprocessing: dict[str, object] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """How long the training tokens sound; None where they do not, or are gone."""
        rate = self.codec.tokens_per_second
        return None if rate is None or "train" not in self.amounts else self.amounts["train"][1] / rate


@dataclass(frozen=True)
class RunFacts:
    """One run. name: unlike that of every other run on the page. checkpoint: the step whose weights are shown.

    parameters: trained numbers. receptive_field: in tokens, None for a model that remembers without end; both None
    where the model cannot be built. tokens_per_second, memory: of training, None where not logged; bytes.
    test: bits per token of the test split, None where not scored. real_time: seconds of sound drawn in a second.
    missing: sentences about what could not be shown. excerpt: a real stretch to lay the receptive field over.
    """

    name: str
    path: Path
    settings: RunSettings
    status: str
    reason: str
    step: int
    seconds: float | None
    trained: tuple[Point, ...]
    valid: tuple[Point, ...]
    data: DataFacts
    checkpoint: int | None = None
    parameters: int | None = None
    receptive_field: int | None = None
    endless: bool = False
    tokens_per_second: float | None = None
    memory: float | None = None
    test: float | None = None
    drawing_speed: float | None = None
    real_time: float | None = None
    engine: str = ""
    groups: tuple[Group, ...] = ()
    excerpt: Stream | None = None
    missing: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """What kind of model it is, as the field writes it."""
        kind = self.settings.model.kind
        return MODEL_NAMES.get(kind, kind)

    @property
    def best(self) -> Point | None:
        """The validation with the fewest bits."""
        return min(self.valid, key=lambda point: point.bits, default=None)

    @property
    def last(self) -> Point | None:
        """The last validation."""
        return self.valid[-1] if self.valid else None
