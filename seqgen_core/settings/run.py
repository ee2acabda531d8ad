"""Settings that a run folder holds, everything resolved: no later command needs a model flag."""

from pathlib import Path

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.codec import CodecSettings
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.model import ModelSettings
from seqgen_core.settings.tokens import TokenSpec
from seqgen_core.settings.train import TrainSettings


class DataAccount(Settings):
    """What the run was trained on."""

    path: Path | None = None
    """Prepared data folder, or none for imported weights."""
    codec: CodecSettings
    """How tokens become sound, text, notes or images."""
    gain: float = 1.0
    """Factor that all amplitudes were multiplied by before the codec (see preprocess.normalise)."""
    content_hash: str = ""
    """Hash over the items of the prepared data, to notice when they change."""
    features: MelSettings | None = None
    """Features that the model is told beside the tokens, if any."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, in the order of their numbers."""
    order0_bits: float | None = None
    """Entropy in bits of the training tokens' histogram."""


class RunSettings(Settings):
    """All that is needed to build the model again and to read and write what it speaks."""

    version: int = Field(1, ge=1, le=1)
    """Layout of the run folder."""
    model: ModelSettings
    """The model."""
    tokens: TokenSpec
    """What one token is."""
    data: DataAccount
    """What it was trained on."""
    train: TrainSettings
    """How it was trained."""
