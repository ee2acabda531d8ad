"""What tests of runs share: tiny data, tiny settings, tiny runs, and the program called in this process."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from seqgen_core.data.store import PreparedData
from seqgen_core.data.writer import PreparedWriter
from seqgen_core.runs import RunFolder
from seqgen_core.settings.codec import AudioCodecSettings, PixelsCodecSettings
from seqgen_core.settings.features import MelSettings
from seqgen_core.settings.model import (
    PixelcnnSettings,
    SamplernnSettings,
    SequnetPlainSettings,
    SequnetSettings,
    TcnSettings,
    WaveNetSettings,
)
from seqgen_core.settings.run import DataAccount, RunSettings
from seqgen_core.settings.train import TrainSettings

TINY_MODELS = {
    "wavenet": WaveNetSettings(
        stacks=1, layers=3, residual_channels=6, dilation_channels=6, skip_channels=8, output_channels=8
    ),
    "sequnet": SequnetSettings(features=5, levels=3, depth=1, kernel_size=3),
    "tcn": TcnSettings(channels=8, levels=3, kernel_size=2, embedding=6, embedding_dropout=0.1, dropout=0.1),
    "sequnet_plain": SequnetPlainSettings(features=8, levels=3, kernel_size=3, dropout=0.1),
    "samplernn": SamplernnSettings(frame_sizes=(8, 2), channels=8, embedding=4),
    "pixelcnn": PixelcnnSettings(layers=2, channels=6, first_kernel_size=3, output_channels=8),
}
STREAM_MODELS = [kind for kind in TINY_MODELS if kind != "pixelcnn"]
"""Models that speak any 1-D stream."""
LENGTHS = {"train": (900, 400, 130, 3), "valid": (300, 2), "test": (500, 200)}


def melody(length: int, levels: int, seed: int) -> np.ndarray:
    """Tokens (length,) of a tone with a little noise: something that a tiny model can learn."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(length) * 2 * np.pi / 12 + rng.uniform(0, 6)) + rng.normal(0, 0.05, length)
    return np.clip(np.round((wave + 1) / 2 * (levels - 1)), 0, levels - 1).astype(np.int64)


def make_data(
    path: Path,
    *,
    levels: int = 16,
    lengths: dict[str, Sequence[int]] | None = None,
    rate: int = 1000,
    labels: int = 0,
    given: int = 1,
    bands: int = 0,
) -> PreparedData:
    """Prepared data with recordings of the given lengths in each split.

    labels: their number, which come in turn. given: tokens of each recording that are given. bands: of features.
    """
    mel = MelSettings(rate=rate, bands=bands, hop=10, window=40) if bands else None
    with PreparedWriter(path, AudioCodecSettings(rate=rate, levels=levels), mel) as writer:
        for split, sizes in (lengths or LENGTHS).items():
            for number, size in enumerate(sizes):
                writer.add(
                    melody(size, levels, seed=len(writer.items)),
                    origin=f"{split} {number}",
                    split=split,
                    label=number % labels if labels else None,
                    given=given,
                    frames=np.random.default_rng(number).normal(size=(1 + size // 10, bands)) if bands else None,
                )
        writer.finish(label_names=[f"class {label}" for label in range(labels)])
    return PreparedData.open(path)


def make_images(path: Path, *, channels: int = 1, labels: int = 0) -> PreparedData:
    """Prepared images of 3 × 2 with 4 levels, brighter from the top downwards: seven for training, two, two."""
    codec = PixelsCodecSettings(height=3, width=2, channels=channels, levels=4)
    with PreparedWriter(path, codec) as writer:
        for number, split in enumerate(("train",) * 7 + ("valid",) * 2 + ("test",) * 2):
            noise = np.random.default_rng(number).integers(0, 2, (3, 2 * channels))
            intensities = (np.arange(3)[:, None] + noise).ravel()
            label = number % labels if labels else None
            writer.add(np.concatenate([[0], intensities]), origin=f"{split} {number}", split=split, label=label)
        writer.finish(label_names=[f"class {label}" for label in range(labels)])
    return PreparedData.open(path)


def make_run(path: Path, data: PreparedData, model: str = "sequnet", **train) -> RunFolder:
    """A run on the data with a tiny model and settings for a handful of steps."""
    settings = {
        "steps": 8,
        "batch_size": 3,
        "window": 32,
        "learning_rate": 1e-2,
        "warmup_steps": 2,
        "validate_every": 4,
        "log_every": 2,
        "sample_count": 0,
        "tensorboard": False,
        "device": "cpu",
        "threads": 1,
        "data": data.path,
    }
    kind = TINY_MODELS[model]
    told = data.manifest.features
    if data.manifest.label_names:
        kind = kind.model_copy(update={"classes": len(data.manifest.label_names)})
    if told is not None:
        kind = kind.model_copy(update={"local_features": told.bands})
    account = DataAccount(
        path=data.path,
        codec=data.manifest.codec,
        content_hash=data.content_hash(),
        features=told,
        label_names=data.manifest.label_names,
        order0_bits=data.manifest.order0_bits,
    )
    return RunFolder.create(
        path,
        RunSettings(
            model=kind, tokens=data.manifest.tokens, data=account, train=TrainSettings(**{**settings, **train})
        ),
    )


@dataclass
class Outcome:
    """How a command ended: exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str
    raw: bytes

    @property
    def json(self):
        return json.loads(self.out)


class Program:
    """`program("train", "--steps", "4")` runs the command line in this process, in the current folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> None:
        self._monkeypatch, self._capture = monkeypatch, capture

    def __call__(self, *arguments: object) -> Outcome:
        from seqgen_cli.main import main

        self._capture.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["seqgen", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        out, err = self._capture.readouterr()
        code = exit_info.value.code
        return Outcome(code if isinstance(code, int) else 0, out.decode("utf-8", "replace"), err.decode(), out)
