"""seqgen info presets: the named settings that come with the package."""

import typer
from pydantic import TypeAdapter

from seqgen_cli.choosing import preset_model
from seqgen_cli.options import Shared, command
from seqgen_core.settings.model import ModelSettings
from seqgen_core.settings.preprocess import PreprocessSettings
from seqgen_core.settings.presets import load_preset, preset_names


def register(app: typer.Typer) -> None:
    """Add the command to `seqgen info`."""
    command(app, "presets")(presets)


def presets(shared: Shared) -> None:
    """Named settings for --preset: what each is, its size and its reach."""
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    rows, results = [], []
    for name in preset_names():
        held = load_preset(name)
        settings = adapter.validate_python(held["model"])
        chosen = preset_model(name, settings, PreprocessSettings().rate)
        built = chosen.build(shapes_only=True)
        reach = "endless" if built.receptive_field is None else f"{built.receptive_field:,}"
        rows.append((name, held["model"]["kind"], f"{built.parameter_count:,}", reach, held["description"]))
        results.append(
            {
                "name": name,
                **held,
                "tokens": chosen.tokens,
                "parameters": built.parameter_count,
                "reference_parameters": built.reference_parameters,
                "receptive_field": built.receptive_field,
            }
        )
    shared.screen.table("", ["preset", "model", ">parameters", ">receptive field", "/what it is"], rows)
    shared.screen.line()
    shared.screen.sentence("Take one by `seqgen train --preset NAME`; key=value changes go on top.")
    shared.screen.result(results)
