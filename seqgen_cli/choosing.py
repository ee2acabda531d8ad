"""Which model an info command means: that of a run, a preset, a kind with overrides, or the project's own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter

from seqgen_cli.options import Shared
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError
from seqgen_core.settings.codec import AudioCodecSettings
from seqgen_core.settings.model import MODEL_KINDS, ModelSettings
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.tokens import PixelTokens, TokenSpec

if TYPE_CHECKING:
    from seqgen_core.models.base import CausalModel

ModelArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN]", help="Run, or exported file, or settings of the model; else the newest run."),
]
ModelOption = Annotated[str | None, typer.Option(help=f"Kind of model: {', '.join(MODEL_KINDS)}.")]
PresetOption = Annotated[str | None, typer.Option(help="Named settings; `seqgen info presets` lists them.")]
RateOption = Annotated[
    int | None, typer.Option(min=1, help="Sampling rate in Hz for times, in place of the run's or the project's.")
]


UNITS = {"categorical": "symbol", "binary": "frame", "amplitude": "sample", "pixels": "dimension"}
"""What a token is called where no codec says it."""


@dataclass(frozen=True)
class Chosen:
    """A model's settings, what its tokens are and are called, how many a second has, and where that was found."""

    settings: ModelSettings
    tokens: TokenSpec
    unit: str
    rate: float | None
    origin: str

    def build(self, *, shapes_only: bool = False) -> "CausalModel":
        """The model with fresh weights, or without any numbers in its tensors."""
        import torch

        from seqgen_core import models

        with torch.device("meta" if shapes_only else "cpu"):
            return models.build(self.settings, self.tokens)

    def milliseconds(self, tokens: int) -> float | None:
        """How long so many tokens sound; None for what takes no time."""
        return None if self.rate is None else 1000 * tokens / self.rate


def choose_model(
    shared: Shared, arguments: list[str] | None, model: str | None, preset: str | None, rate: int | None
) -> Chosen:
    """The run named; else preset, kind and overrides; else the newest run; else the project's model.

    Raises UsageError where a run is named together with settings of a model.
    """
    ordinary, overrides = split_arguments(arguments)
    flags = {"model.kind": model, "preprocess.rate": rate}
    project = shared.project(["model", "preprocess"], flags, overrides=overrides, preset=preset)
    described = model is not None or preset is not None or bool(overrides)
    if len(ordinary) > 1 or (ordinary and described):
        named = " ".join([*ordinary, *overrides])
        raise UsageError(
            f"{named}: a run has its model already.", "One run, or --model, --preset and key=value without a run."
        )
    if not described and (ordinary or any(project.train.runs.glob("*/settings.toml"))):
        from seqgen_cli.finding import find_run, load_named_run, names_export

        # an exported file needs the whole library, which is slow to import
        file = bool(ordinary) and names_export(ordinary[0], project)
        run = load_named_run(ordinary[0], project) if file else find_run(ordinary[0] if ordinary else None, project)
        held = run.settings
        codec = held.data.codec
        return Chosen(held.model, held.tokens, codec.unit, rate or codec.tokens_per_second, str(run.path))
    if preset is not None:
        return preset_model(preset, project.model, rate or project.preprocess.rate)
    return sound_model(project.model, project.preprocess.sound_codec)


def sound_model(settings: ModelSettings, codec: AudioCodecSettings) -> Chosen:
    """A model as it would be for sound; a model of images as for the images of MNIST."""
    if settings.kind == "pixelcnn":
        tokens = PixelTokens(height=28, width=28, levels=min(codec.levels, 256))
        return Chosen(settings, tokens, UNITS["pixels"], None, f"settings of {settings.kind}, for {tokens}")
    return Chosen(settings, codec.tokens, codec.unit, codec.rate, f"settings of {settings.kind}")


def preset_model(name: str, settings: ModelSettings, rate: int) -> Chosen:
    """A preset's model for the tokens that the preset is made for: those of 8-bit sound, unless it names others."""
    held = load_preset(name).get("tokens")
    if held is None:
        codec = AudioCodecSettings(rate=rate)
        return Chosen(settings, codec.tokens, codec.unit, codec.rate, name)
    tokens: TokenSpec = TypeAdapter(TokenSpec).validate_python(held)
    return Chosen(settings, tokens, UNITS[tokens.kind], None, name)
