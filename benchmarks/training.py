"""How fast does training go, how near is that to what the machine allows, and what does it come to in held-out bits?

    python benchmarks/training.py [CONFIGURATION …] [--precision fp32,bf16] [--threads 1] [--turns 3] [--batch N]
                                  [--targets N] [--reference DIR] [--json FILE]
                                  [--minutes M --data PREPARED [--held-out TOKENS] [--picture FILE]]

Without names the five configurations below are measured; any of configurations.py or preset is one too. A step is
forward, backward and optimiser: on our side what `seqgen train` does with the state carried from window to window, so
that nothing is computed twice; DIR is a checkout of github.com/f90/Seq-U-Net, whose own trainer then runs beside with
as many targets a step, in fp32 as it always does (`reference_training.py`). For SampleRNN, whose authors' code does not
run, plain PyTorch stands in its place (`plain_samplernn.py`).

Useful arithmetic is six operations for each multiply-add that a target needs: one multiplication and one addition in
the forward pass, twice as many in the backward pass; whatever a side computes beside that is its own affair. It is
compared with a product of large matrices (oneMKL or oneDNN) in the same precision, measured in the same run.

All sides take turns, each in a process of its own, and the best turn of each counts: other work on the machine only
ever slows. A turn is one step, or as many as half a second holds; the first step of each side is not counted. Peak
memory is that of the process; beside it stands what its steps add to the libraries and weights that were there before.

With --minutes each side is then trained anew on the recordings of PREPARED, 8-bit mu-law sound made by `seqgen
preprocess`, for as long; again they take turns. Scoring takes no part of that time. Both have Adam with the same
constant learning rate; ours limits the length of gradients and scores averaged weights, as `seqgen train` does unless
it is told otherwise.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from arguments import listed, positive
from configurations import CONFIGURATIONS, choose
from curves import Curve, print_curves, save_picture
from speeds import Speed, print_heading, print_speed
from table import machine, print_machine
from trainees import Task, Trainee

from seqgen_core.errors import SeqgenError, UsageError

if TYPE_CHECKING:
    from reference import ReferenceCode

MEASURED = ("sequnet-raw-audio", "sequnet-64x8", "wavenet-sequnet-baseline", "wavenet-3x10", "samplernn-64-16")
"""What is measured without names."""
SIZES = {"samplernn": (8, 1024)}
"""Windows in a batch, and targets in a window, by kind."""
SIZE = (2, 5000)
"""Of the other kinds; targets are rounded up to whole periods."""
TURN = 0.5
"""Seconds of a turn; a step that takes longer is one."""
POINTS = 8
"""Scores on each course of training."""
CONTEXT = 16384
"""Tokens that a recurrent model hears before those that are scored."""
PRODUCT = 2048
"""Rows and columns of the matrices that the machine is measured by."""


@dataclass
class Report:
    """What `--json` writes."""

    machine: dict[str, str]
    turns: int
    speeds: list[Speed] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Configuration:
    """A model, the sides that can train it, and what they are to do; what cannot be measured is told in notes."""

    def __init__(self, name: str, arguments: argparse.Namespace, notes: list[str]) -> None:
        self.name, self._arguments, self._notes = name, arguments, notes
        chosen = choose(name)
        self._chosen, shape = chosen, chosen.build(shapes_only=True)
        batch, targets = SIZES.get(chosen.settings.kind, SIZE)
        batch, targets = arguments.batch or batch, arguments.targets or targets
        carry = shape.longest is None
        targets = math.ceil(targets / shape.period) * shape.period if shape.longest is None else shape.longest - 1
        self._multiply_adds = shape.multiply_adds
        self._context = CONTEXT if shape.receptive_field is None else shape.receptive_field
        self._task = Task(
            "ours",
            chosen.settings,
            chosen.tokens,
            batch,
            targets,
            arguments.threads,
            carry=carry,
            learning_rate=arguments.learning_rate,
        )

    def speeds(self, reference: "ReferenceCode | None") -> list[Speed]:
        """A row for each side, which have taken turns."""
        with ExitStack() as stack:
            running = self._start([*self._others(reference), *self._ours()], stack)
            tasks = {side: task for side, (task, _) in running.items()}
            trainees = {side: trainee for side, (_, trainee) in running.items()}
            best, products = dict.fromkeys(trainees, 0.0), dict.fromkeys(self._arguments.precision, 0.0) | {"fp32": 0.0}
            for turn in range(self._arguments.turns + 1):
                for precision in products:
                    products[precision] = max(products[precision], product_rate(precision, self._arguments.threads))
                for side, trainee in list(trainees.items()):
                    try:
                        seconds, targets = trainee.train(TURN if turn else 0.0)
                    except SeqgenError as error:
                        self._skip(tasks[side], error)
                        del trainees[side], best[side]
                        continue
                    best[side] = max(best[side], targets / seconds if turn else 0.0)
            memory = {side: trainee.memory() for side, trainee in trainees.items()}
        speeds, other = [], None
        for side, rate in best.items():
            task, (peak, before) = tasks[side], memory[side]
            speed = Speed(self.name, task.side, task.precision, task.batch, task.targets, task.threads, rate)
            speed.set_arithmetic(self._needed(task), products[task.precision])
            speed.peak_bytes, speed.step_bytes = peak, peak - before
            if task.side != "ours":
                other = speed
            elif other is not None:
                speed.set_compared(other)
            speeds.append(speed)
        return speeds

    def curves(self, reference: "ReferenceCode | None") -> list[Curve]:
        """The course of each side's held-out bits; they take turns."""
        arguments = self._arguments
        given = {"data": arguments.data, "held_out": arguments.held_out, "context": self._context}
        wanted = [*self._others(reference), *self._ours()]
        if self._task.carry and self._chosen.settings.kind != "samplernn":
            wanted.append(replace(self._task, carry=False, precision=arguments.precision[0]))
        with ExitStack() as stack:
            running = self._start([replace(task, **given) for task in wanted], stack)
            curves = {}
            for side, (task, _) in running.items():
                windows = "carried" if task.side != "reference" and task.carry else "alone"
                curves[side] = Curve(self.name, task.side, task.precision, windows, arguments.learning_rate)
            for point in range(1, POINTS + 1):
                until = 60 * arguments.minutes * point / POINTS
                for side, curve in list(curves.items()):
                    task, trainee = running[side]
                    if curve.passed >= until:  # its last step was that long
                        continue
                    try:
                        seconds, targets = trainee.train(until - curve.passed)
                        curve.add(point, seconds, targets, trainee.score())
                    except SeqgenError as error:
                        self._skip(task, error)
                        del curves[side]
        return list(curves.values())

    def _others(self, reference: "ReferenceCode | None") -> list[Task]:
        settings = self._chosen.settings
        if settings.kind == "samplernn":
            if self._chosen.tokens.kind == "categorical" and self._chosen.tokens.values == 256:
                return [replace(self._task, side="plain PyTorch")]
            return []
        if reference is None:
            return []
        why = reference.lacks(settings, self._chosen.tokens)
        if why is not None:
            self._note(f"{self.name}: {why}")
            return []
        return [replace(self._task, side="reference", reference=self._arguments.reference)]

    def _ours(self) -> list[Task]:
        return [replace(self._task, precision=precision) for precision in self._arguments.precision]

    def _start(self, tasks: Sequence[Task], stack: ExitStack) -> dict[int, tuple[Task, Trainee]]:
        running = {}
        for number, task in enumerate(tasks):
            try:
                running[number] = task, stack.enter_context(Trainee(task))
            except SeqgenError as error:
                self._skip(task, error)
        return running

    def _needed(self, task: Task) -> float:
        """Multiply-adds per target of a side's model."""
        if task.side != "plain PyTorch":
            return self._multiply_adds
        from plain_samplernn import multiply_adds

        from seqgen_core.settings.model import SamplernnSettings

        assert isinstance(task.settings, SamplernnSettings)
        return multiply_adds(task.settings)

    def _skip(self, task: Task, error: SeqgenError) -> None:
        self._note(f"{self.name}: {task.side} ({task.precision}) skipped: {error.got} {error.hint}".rstrip())

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


def product_rate(precision: str, threads: int) -> float:
    """Operations per second of a product of large matrices, the best of three."""
    import torch

    torch.set_num_threads(threads)
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    left, right = (torch.randn(PRODUCT, PRODUCT, generator=torch.Generator().manual_seed(0)).to(kind) for _ in "ab")
    best = math.inf
    for _ in range(3):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * PRODUCT**3 / best


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Target samples per second of training, and held-out bits over time.")
    parser.add_argument("names", nargs="*", metavar="CONFIGURATION", help=f"{', '.join(CONFIGURATIONS)}, or a preset")
    parser.add_argument("--precision", type=listed(str, ("fp32", "bf16")), default=["fp32"], help="ours: fp32, bf16")
    parser.add_argument("--threads", type=positive(int), default=1, help="CPU threads of each side")
    parser.add_argument("--turns", type=int, default=3, help="turns of each side; 0 measures no speed")
    parser.add_argument("--batch", type=positive(int), metavar="N", help="windows in a batch")
    parser.add_argument("--targets", type=positive(int), metavar="N", help="targets in a window, up to whole periods")
    parser.add_argument("--learning-rate", type=positive(float), default=5e-4, help="of Adam, on all sides")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="a checkout of github.com/f90/Seq-U-Net")
    parser.add_argument("--minutes", type=positive(float), metavar="M", help="also train each side for so long")
    parser.add_argument("--data", type=Path, metavar="PREPARED", help="prepared data to train on")
    parser.add_argument("--held-out", type=positive(int), default=60_000, metavar="TOKENS", help="most tokens scored")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw bits over time into this PNG file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure what the command line names."""
    arguments = _parser().parse_args(words)
    names = arguments.names or list(MEASURED)
    report = Report(machine(), arguments.turns)
    widest = max(map(len, names))
    try:
        if (arguments.minutes is None) != (arguments.data is None):
            raise UsageError("--minutes and --data go together.")
        if arguments.picture is not None and arguments.minutes is None:
            raise UsageError("--picture shows bits over time, which --minutes and --data measure.")
        reference = None
        if arguments.reference is not None:
            from reference import ReferenceCode

            reference = ReferenceCode(arguments.reference)
        configurations = [Configuration(name, arguments, report.notes) for name in names]
        print_machine(report.machine)
        if arguments.turns > 0:
            print_heading(widest)
            for configuration in configurations:
                for speed in configuration.speeds(reference):
                    report.speeds.append(speed)
                    print_speed(speed, widest)
        if arguments.minutes is not None:
            for configuration in configurations:
                curves = configuration.curves(reference)
                report.curves += curves
                print_curves(curves)
    except SeqgenError as error:
        sys.exit("\n".join(["error: " + error.got, *filter(None, [error.wanted, error.hint])]))
    for note in report.notes:
        print(note)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(report), indent=1) + "\n")
    if arguments.picture is not None:
        save_picture(arguments.picture, report.curves)


if __name__ == "__main__":
    main()
