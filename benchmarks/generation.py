"""How fast does every engine draw samples, and how near is that to what the machine allows?

    python benchmarks/generation.py [CONFIGURATION …] [--engine cpu,eager] [--weights fp32,bf16,int8] [--batch 1,8]
                                    [--threads 1] [--reference DIR] [--seconds 3] [--json FILE]

Without names those of configurations.py are measured; any preset is one too. Weights are random, sampling is included.
Engines: `cpu`, `torch` and `cuda` are those of `seqgen generate` (the last two on a GPU); `eager` calls the model for
every token; `forward` runs it over the whole receptive field, or half an image, for every token, as without a cache.

The floor is the model's matrix-vector products alone, over its own weights in the same format, order and frequency,
with the same clips and threads, on the CPU (`products.py`). DIR is a checkout of github.com/f90/Seq-U-Net, whose own
generation then runs beside (`reference.py`); where it cannot, `eager` stands in its place.

All sides of a configuration take turns in this process, and the best turn of each counts: other work on the machine
only ever slows. Prints one table, and writes nothing but FILE.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from arguments import listed, positive
from configurations import CONFIGURATIONS, choose
from products import Products, weights_read
from reference import ReferenceCode
from sides import Rate, Stepping, forward_rate
from table import Row, machine, print_heading, print_row

from seqgen_core import models
from seqgen_core.errors import SeqgenError
from seqgen_core.generation.engines import choose_engine, problems
from seqgen_core.generation.engines.eager import EagerEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps import step_program
from seqgen_core.models.steps.program import StepProgram

TURNS = 5
"""Turns of each side, which share its time."""
BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
ENGINES = ("cpu", "eager", "forward", "torch", "cuda")

Side = tuple[str, str]
"""An engine and its weights."""


@dataclass
class Report:
    """What `--json` writes."""

    machine: dict[str, str]
    seconds: float
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Configuration:
    """A model with random weights, and what of it can be measured; what cannot is told in notes."""

    def __init__(self, name: str, reference: ReferenceCode | None, notes: list[str]) -> None:
        self.name, self.notes = name, notes
        torch.manual_seed(0)
        self.chosen = choose(name)
        self.model: CausalModel = models.build(self.chosen.settings, self.chosen.tokens).eval().fold()
        self.program: StepProgram | None = None
        try:
            self.program = step_program(self.model)
        except ModuleNotFoundError:
            notes.append(f"{name}: no floor and no compiled engine: {self.chosen.settings.kind} has no step program")
        why = None if reference is None else reference.lacks(self.chosen.settings, self.chosen.tokens)
        if why is not None:
            notes.append(f"{name}: compared with eager stepping: {why}")
        self.reference = reference if why is None else None

    def measure(self, arguments: argparse.Namespace, batch: int, threads: int) -> Iterator[Row]:
        """A row for each side, which have taken turns."""
        torch.set_num_threads(threads)
        with ExitStack() as stack:
            sides = dict(self._sides(arguments, batch, threads, stack))
            floors: dict[str, Rate] = {}
            if self.program is not None:
                for weights in dict.fromkeys(weights for engine, weights in sides if engine not in ("torch", "cuda")):
                    floors[weights] = Products(self.program, batch, threads, weights, self.model.period).rate
            best, best_floors = dict.fromkeys(sides, 0.0), dict.fromkeys(floors, 0.0)
            for _ in range(TURNS):
                for weights, rate in floors.items():
                    best_floors[weights] = max(best_floors[weights], rate(arguments.seconds / TURNS))
                for side, rate in sides.items():
                    best[side] = max(best[side], rate(arguments.seconds / TURNS))

        program = self.program
        cost = self.model.multiply_adds if program is None else program.multiply_adds
        read = cost / batch if program is None else weights_read(program, batch)
        other = next((name for name in ("reference", "eager") if (name, "fp32") in best), None)
        for (engine, weights), drawn in best.items():
            row = Row(self.name, engine, weights, batch, threads, drawn)
            row.multiply_adds_per_sample, row.bytes_per_sample = cost, read * BYTES[weights]
            if self.chosen.rate is not None:
                row.real_time_factor = drawn / self.chosen.rate
            if weights in floors and engine not in ("torch", "cuda"):
                row.set_floor(best_floors[weights])
            if other is not None and engine != other:
                row.set_compared(other, best[other, "fp32"])
            yield row

    def _sides(
        self, arguments: argparse.Namespace, batch: int, threads: int, stack: ExitStack
    ) -> Iterator[tuple[Side, Rate]]:
        if self.reference is not None:
            try:
                running = self.reference.start(self.chosen.settings, batch, self.model.period, threads)
            except SeqgenError as error:
                self.notes.append(f"{self.name}, batch {batch}: reference code skipped: {error.got}")
            else:
                stack.callback(running.stop)
                yield ("reference", "fp32"), running.rate
        for engine in arguments.engine:
            for weights in arguments.weights if engine in ("cpu", "cuda") else ["fp32"]:
                try:
                    yield (engine, weights), self._rate(engine, weights, batch, threads)
                except SeqgenError as error:
                    note = f"{self.name}: {engine} skipped: {error.got}"
                    if note not in self.notes:
                        self.notes.append(note)

    def _rate(self, engine: str, weights: str, batch: int, threads: int) -> Rate:
        if engine == "forward":
            return forward_rate(self.model, batch)
        if engine == "eager":
            return Stepping(EagerEngine(self.model, Filters(), threads), self.model, batch).rate
        if self.program is None:
            raise SeqgenError("it has no step program")
        gpu = engine != "cpu"
        problem = problems()[engine] or ("there is no CUDA device" if gpu and not torch.cuda.is_available() else None)
        if problem is not None:
            raise SeqgenError(problem)
        placed = copy.deepcopy(self.model).cuda() if gpu else self.model
        choice = choose_engine(placed, engine, Filters(), weights=weights, threads=threads)
        return Stepping(choice.make(batch), placed, batch).rate


def main(words: Sequence[str] | None = None) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description="Samples per second of every engine, beside the floor.")
    parser.add_argument("names", nargs="*", metavar="CONFIGURATION", help=f"{', '.join(CONFIGURATIONS)}, or a preset")
    parser.add_argument("--engine", type=listed(str, ENGINES), default=["cpu", "eager"], help=", ".join(ENGINES))
    parser.add_argument("--weights", type=listed(str, tuple(BYTES)), default=["fp32"], help="fp32, bf16, int8")
    parser.add_argument("--batch", type=listed(positive(int)), default=[1, 8], help="clips side by side")
    parser.add_argument("--threads", type=listed(positive(int)), default=[1], help="CPU threads")
    parser.add_argument("--seconds", type=positive(float), default=3.0, help="time for each side, all turns together")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="a checkout of github.com/f90/Seq-U-Net")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args(words)
    names = arguments.names or list(CONFIGURATIONS)
    report = Report(machine(), arguments.seconds)
    try:
        reference = None if arguments.reference is None else ReferenceCode(arguments.reference)
        print_heading(report.machine, max(map(len, names)))
        for name in names:
            configuration = Configuration(name, reference, report.notes)
            for threads in arguments.threads:
                for batch in arguments.batch:
                    for row in configuration.measure(arguments, batch, threads):
                        report.rows.append(row)
                        print_row(row, max(map(len, names)))
    except SeqgenError as error:
        sys.exit("\n".join(["error: " + error.got, *filter(None, [error.wanted, error.hint])]))
    for note in report.notes:
        print(note)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(report), indent=1) + "\n")


if __name__ == "__main__":
    main()
