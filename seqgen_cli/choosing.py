"""Which model an info command means: that of a run, a preset, a kind with overrides, or the project's own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seqgen_cli.options import Shared
from seqgen_cli.overrides import split_arguments
from seqgen_core.errors import UsageError
from seqgen_core.settings.model import MODEL_KINDS, ModelSettings
from seqgen_core.settings.tokens import TokenSpec

if TYPE_CHECKING:
    from seqgen_core.models.base import CausalModel

ModelArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN]", help="Run folder, or overrides of the model's settings; else the newest run."),
]
ModelOption = Annotated[str | None, typer.Option(help=f"Kind of model: {', '.join(MODEL_KINDS)}.")]
PresetOption = Annotated[str | None, typer.Option(help="Named settings; `seqgen info presets` lists them.")]
RateOption = Annotated[
    int | None, typer.Option(min=1, help="Sampling rate in Hz for times, in place of the run's or the project's.")
]


@dataclass(frozen=True)
class Chosen:
    """A model's settings, what its tokens are, the sampling rate, and where that was found."""

    settings: ModelSettings
    tokens: TokenSpec
    rate: int
    origin: str

    def build(self, *, shapes_only: bool = False) -> "CausalModel":
        """The model with fresh weights, or without any numbers in its tensors."""
        import torch

        from seqgen_core import models

        with torch.device("meta" if shapes_only else "cpu"):
            return models.build(self.settings, self.tokens)

    def milliseconds(self, tokens: int) -> float:
        """How long so many tokens sound."""
        return 1000 * tokens / self.rate


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
        from seqgen_cli.finding import find_run

        run = find_run(ordinary[0] if ordinary else None, project)
        held = run.settings
        return Chosen(held.model, held.tokens, rate or int(held.data.codec.tokens_per_second or 1), str(run.path))
    codec = project.preprocess.sound_codec
    return Chosen(project.model, codec.tokens, codec.rate, preset or f"settings of {project.model.kind}")
