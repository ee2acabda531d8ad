"""seqgen info model: parameters, work per generated token, shapes."""

import math
from typing import Annotated

import typer

from seqgen_cli.choosing import ModelArguments, ModelOption, PresetOption, RateOption, choose_model
from seqgen_cli.options import Shared, command


def register(app: typer.Typer) -> None:
    """Add the command to `seqgen info`."""
    command(app, "model")(model)


def model(
    shared: Shared,
    arguments: ModelArguments = None,
    model: ModelOption = None,
    preset: PresetOption = None,
    rate: RateOption = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every weight tensor with its shape.")] = False,
) -> None:
    """A model's parameters, multiply-adds per generated token, and shapes."""
    chosen = choose_model(shared, arguments, model, preset, rate)

    built, unit = chosen.build(shapes_only=True), chosen.unit
    rows, outputs = built.layer_table(), built.head.size
    state = built.initial_state(1)
    kept = sum(tensor.numel() * tensor.element_size() for tensor in state)
    weights = [(name, tuple(weight.shape)) for name, weight in built.named_parameters()]
    facts = [
        ("parameters", f"{built.parameter_count:,}"),
        (f"multiply-adds per generated {unit}", f"{built.multiply_adds:,.0f}"),
        ("receptive field", "endless" if built.receptive_field is None else f"{built.receptive_field:,} {unit}s"),
        ("period", f"{built.period:,} {unit}s"),
        ("tokens in", f"(batch, time) of {chosen.tokens}"),
        ("outputs", f"(batch, time, {outputs})"),
        ("state", f"{len(state)} tensors, {kept / 1024:,.0f} KiB per clip"),
    ]
    if chosen.rate is not None:
        work = f"{built.multiply_adds * chosen.rate / 1e9:,.2f} billion"
        facts.insert(2, (f"multiply-adds per second of {chosen.rate:g} {unit}s", work))
    if built.reference_parameters != built.parameter_count:
        unused = built.reference_parameters - built.parameter_count
        facts.insert(
            1,
            (
                "as the reference code counts",
                f"{built.reference_parameters:,}, of which {unused:,} reach no output and are left out here",
            ),
        )
    screen = shared.screen
    screen.table(f"{chosen.settings.kind} ({chosen.origin})", ["", ""], facts)
    screen.line()
    screen.table(
        "Layers",
        ["layer", ">kernel", ">dilation", ">clock", ">parameters", f">multiply-adds per {unit}"],
        [(r.name, r.kernel, r.dilation, r.clock, f"{r.parameters:,}", f"{r.multiply_adds:,.1f}") for r in rows],
    )
    if tensors:
        screen.line()
        screen.table(
            "Weights",
            ["tensor", "shape", ">numbers"],
            [(name, " × ".join(map(str, shape)), f"{math.prod(shape):,}") for name, shape in weights],
        )
    screen.result(
        {
            "model": chosen.settings,
            "origin": chosen.origin,
            "rate": chosen.rate,
            "parameters": built.parameter_count,
            "reference_parameters": built.reference_parameters,
            "multiply_adds": built.multiply_adds,
            "receptive_field": built.receptive_field,
            "period": built.period,
            "outputs": outputs,
            "state_bytes": kept,
            "layers": [vars(row) for row in rows],
            "tensors": {name: list(shape) for name, shape in weights},
        }
    )
