"""seqgen info receptive-field: how far back a model looks, by formula, by layer, and measured."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqgen_cli.choosing import ModelArguments, ModelOption, PresetOption, RateOption, choose_model
from seqgen_cli.options import Shared, command
from seqgen_core.settings.model import WaveNetSettings

if TYPE_CHECKING:
    from seqgen_cli.choosing import Chosen
    from seqgen_cli.screen import Screen

EXPLANATION = (
    "Each layer looks back by its dilation, and the dilations 1, 2, 4, … of a stack add up to 2^layers − 1."
    " Stacks follow one another, so their reaches add; they do not multiply."
    " The newest sample is counted once, not once per stack."
)


def register(app: typer.Typer) -> None:
    """Add the command to `seqgen info`."""
    command(app, "receptive-field")(receptive_field)


def receptive_field(
    shared: Shared,
    arguments: ModelArguments = None,
    model: ModelOption = None,
    preset: PresetOption = None,
    rate: RateOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Build the model and find by experiment which tokens move an output.")
    ] = False,
) -> None:
    """How many tokens a model's output depends on, the newest included."""
    chosen = choose_model(shared, arguments, model, preset, rate)

    built = chosen.build(shapes_only=not measure)
    declared, unit = built.receptive_field, chosen.unit
    measured = None
    screen = shared.screen
    if measure and declared is not None:
        from seqgen_core.models.reach import measure_reach

        screen.say(f"measuring {declared:,} {unit}s over {built.period:,} phases …")
        measured = measure_reach(built)

    rows = built.layer_table()
    screen.table(
        f"{chosen.settings.kind} ({chosen.origin})" + (f" at {chosen.rate:g} {unit}s/s" if chosen.rate else ""),
        ["layer", ">kernel", ">dilation", ">clock", f">{unit}s", *([">ms"] if chosen.rate else [])],
        [
            (
                r.name,
                r.kernel,
                r.dilation,
                r.clock,
                "endless" if r.receptive_field is None else f"{r.receptive_field:,}",
                *([_ms(chosen, r.receptive_field)] if chosen.rate else []),
            )
            for r in rows
        ],
    )
    screen.line()
    if declared is None:
        screen.sentence("receptive field: all that came before (a recurrent model)")
        if measure:
            screen.sentence("measured: nothing, since that has no end")
    else:
        time = f", {_ms(chosen, declared)} ms" if chosen.rate else ""
        screen.sentence(f"receptive field: {declared:,} {unit}s{time}")
    if built.period > 1:
        over = "the figures are the largest over its phases" if declared else "the slowest layer works so seldom"
        screen.sentence(f"period: {built.period:,} {unit}s; {over}")
    if measured is not None:
        verdict = "as the formula says" if measured == declared else f"NOT the {declared:,} that the formula says"
        screen.sentence(f"measured: {measured:,} {unit}s, {verdict}")
    formulas = _disputed(chosen.settings) if isinstance(chosen.settings, WaveNetSettings) else {}
    if formulas:
        _show_disputed(screen, formulas, measured)
    screen.result(
        {
            "model": chosen.settings,
            "origin": chosen.origin,
            "rate": chosen.rate,
            "receptive_field": declared,
            "milliseconds": None if declared is None else chosen.milliseconds(declared),
            "period": built.period,
            "measured": measured,
            "layers": [vars(row) for row in rows],
            "formulas": [
                {"formula": text, "value": value, "confirmed": None if measured is None else value == measured}
                for text, value in formulas.items()
            ],
        }
    )


def _disputed(settings: WaveNetSettings) -> dict[str, int]:
    if settings.kernel_size != 2:
        return {}
    layers, stacks = settings.layers, settings.stacks
    return {
        "(2^layers − 1)·stacks + 1": (2**layers - 1) * stacks + 1,
        "(2^layers)^stacks": (2**layers) ** stacks,
        "2^layers·stacks": 2**layers * stacks,
    }


def _show_disputed(screen: "Screen", formulas: dict[str, int], measured: int | None) -> None:
    def verdict(value: int) -> str:
        if measured is None:
            return "not measured"
        return "confirmed by the measurement" if value == measured else f"refuted: measured {measured:,}"

    screen.line()
    screen.table(
        "Formulas in use for kernel size 2",
        ["formula", ">samples", "verdict"],
        [
            (text, f"{value:,}" if value < 10**16 else f"{value:.3e}", verdict(value))
            for text, value in formulas.items()
        ],
    )
    screen.sentence(EXPLANATION)
    if measured is None:
        screen.sentence("--measure shows which of them the built model obeys.")
    elif len(set(formulas.values())) == 1:
        screen.sentence("For this model the three agree; more than one stack tells them apart.")


def _ms(chosen: "Chosen", tokens: int | None) -> str:
    return "endless" if tokens is None else f"{chosen.milliseconds(tokens):,.2f}"
