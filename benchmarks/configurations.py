"""Models that the benchmarks measure without being told which: by settings of their own, or a preset's."""

from seqgen_cli.choosing import Chosen, preset_model, sound_model
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.model import ModelSettings, SamplernnSettings, SequnetSettings, WaveNetSettings
from seqgen_core.settings.project import load_project

RATE = 16000
"""Samples per second of the sound."""

CONFIGURATIONS: dict[str, ModelSettings | None] = {
    "sequnet-raw-audio": None,
    "sequnet-64x8": SequnetSettings(features=64, levels=8, depth=1, kernel_size=5),
    "sequnet-realtime": None,
    "wavenet-sequnet-baseline": None,
    "wavenet-3x10": WaveNetSettings(stacks=3, layers=10, residual_channels=64, dilation_channels=64, skip_channels=256),
    "samplernn-16-4": SamplernnSettings(frame_sizes=(16, 4), layers=2, channels=1024, embedding=256),
    # PyTorch ports multiply their frame sizes (16, 4) up: tiers of 16 and of 64 samples.
    "samplernn-64-16": SamplernnSettings(frame_sizes=(64, 16), layers=2, channels=1024, embedding=256),
    "samplernn-3tier": None,
    "tcn-char-penn": None,
    "tcn-jsb": None,
    "sequnet-char-penn": None,
    "sequnet-jsb": None,
    "pixelcnn-mnist": None,
}
"""8-bit mu-law sound by these settings, or, where there are none, the preset."""


def choose(name: str) -> Chosen:
    """A configuration or a preset, without labels. Raises SeqgenError where there is none of that name."""
    settings = CONFIGURATIONS.get(name)
    if settings is not None:
        return sound_model(settings, AudioCodecSettings(rate=RATE))
    settings = load_project(base={}, preset=name).model
    return preset_model(name, settings.model_copy(update={"classes": 0}), RATE)
