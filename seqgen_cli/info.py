"""seqgen info: looking at models, data, runs and the machine. One file per thing."""

import typer

from seqgen_cli import info_data, info_model, info_presets, info_receptive_field, info_run, info_system

app = typer.Typer(
    add_completion=False,
    help="Look at models, prepared data, runs and the machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (info_receptive_field, info_model, info_data, info_run, info_presets, info_system):
    module.register(app)
