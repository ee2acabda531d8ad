"""Engines: ways to step a model and sample from it, from plain calls of the model to compiled programs."""

import copy
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass

from seqgen_core.errors import UsageError
from seqgen_core.generation.engines.base import Engine
from seqgen_core.generation.engines.eager import EagerEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.base import CausalModel
from seqgen_core.models.steps import step_program
from seqgen_core.models.steps.program import StepProgram
from seqgen_core.models.steps.spread import busiest, spread
from seqgen_core.progress import Progress

__all__ = ["Choice", "Engine", "choose_engine", "problems"]

BYTES_PER_THREAD = 4 * 2**20
"""Bytes of weights read for a token from which another thread pays: below, threads wait for each other longer."""
MOST_THREADS = 8
BURST = 2_000_000
"""Multiply-adds of one token, about a tenth of a millisecond, from which the work of slow layers is spread."""


@dataclass(frozen=True)
class Choice:
    """An engine that was chosen: its name, what else is to say, and how to make one for so many clips."""

    name: str
    details: str
    make: Callable[[int], Engine]

    def __str__(self) -> str:
        return f"{self.name} ({self.details})" if self.details else self.name


def problems() -> dict[str, str | None]:
    """For every engine why it cannot work on this machine, in a few words; None where it does."""
    return {"cpu": _cpu_problem(), "torch": None, "cuda": _cuda_problem()}


def choose_engine(
    model: CausalModel,
    wanted: str = "auto",
    filters: Filters | None = None,
    *,
    weights: str = "fp32",
    threads: int = 0,
    progress: Progress | None = None,
) -> Choice:
    """The engine that is wanted, or for `auto` the fastest that fits the model's device.

    On CUDA that is `torch`, whose steps are captured; elsewhere `cpu`. weights: fp32, bf16 or int8. threads: of the cpu
    engine, no more than there are cores; 0 takes one, or more for large models, but leaves a core free. progress hears
    of a wait while the cpu engine is compiled.
    Raises UsageError where the wanted one does not work here, or not with these weights.
    """
    filters = filters or Filters()
    device = next(model.parameters()).device
    name = wanted
    if wanted == "auto":
        name = "torch" if device.type == "cuda" and weights == "fp32" else "cpu"
        if name == "cpu" and _cpu_problem() is not None and weights == "fp32":
            name = "torch"
    if name == "torch" and weights != "fp32":
        raise UsageError(
            f"The torch engine has no {weights} weights.", hint="Use --engine cpu, or leave --weights out."
        )
    problem = problems()[name]
    if problem is not None:
        raise UsageError(f"The {name} engine does not work here: {problem}.", hint="--engine auto takes what works.")
    if name == "torch" and device.type != "cuda":
        return Choice("torch", f"{device.type}, step by step", lambda clips: EagerEngine(model, filters, threads))
    program = step_program(folded(model))
    if name == "torch":
        from seqgen_core.generation.engines.torch_steps import TorchEngine

        return Choice("torch", "captured", lambda clips: TorchEngine(program, clips, filters, device))
    if name == "cuda":
        from seqgen_core.generation.engines.cuda import CudaEngine

        return Choice("cuda", weights, lambda clips: CudaEngine(program, clips, filters, device, weights=weights))
    from seqgen_core.generation.engines.cpu.engine import CpuEngine

    if busiest(program) > BURST:
        program = spread(program)
    count = min(threads, _cores()) or fitting_threads(program, weights)
    details = f"{weights}, {count} thread{'s' * (count > 1)}"
    make = functools.partial(CpuEngine, program, filters=filters, threads=count, weights=weights, progress=progress)
    return Choice("cpu", details, make)


def folded(model: CausalModel) -> CausalModel:
    """The model, if its weights are folded, or a copy of it with folded weights."""
    return model if model.folded else copy.deepcopy(model).fold()


def fitting_threads(program: StepProgram, weights: str = "fp32") -> int:
    """Threads of the cpu engine for a program: more where many bytes of weights are read for every token."""
    size = {"fp32": 4, "bf16": 2, "int8": 1}[weights]
    wanted = int(program.multiply_adds * size / BYTES_PER_THREAD)
    return max(1, min(wanted, _cores() - 1, MOST_THREADS))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_problem() -> str | None:
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return f"numba cannot be imported ({error})"
    return None


def _cuda_problem() -> str | None:
    from seqgen_core.generation.engines import cuda

    return cuda.problem()
