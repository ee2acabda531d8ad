"""Threads of the compiled engine: however many there are, the result is the same, and a stop leaves none behind."""

import errno
import os
import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch
from fed import Fed
from numba.core import caching
from tiny import TINY_MODELS

from seqgen_core import models
from seqgen_core.generation.engines import choose_engine
from seqgen_core.generation.engines.cpu import engine as engine_module
from seqgen_core.generation.engines.cpu import interpreter
from seqgen_core.generation.engines.cpu.engine import CpuEngine
from seqgen_core.generation.sampling import Filters
from seqgen_core.models import steps
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.tokens import CategoricalTokens


@pytest.fixture
def model() -> CausalModel:
    torch.manual_seed(0)
    return models.build(TINY_MODELS["wavenet"], CategoricalTokens(values=11)).eval().fold()


def test_more_threads_than_cores_give_the_same_outputs(model: CausalModel) -> None:
    fed, program = Fed(model, 2, 5, 20), steps.step_program(model)
    alone = fed.score(CpuEngine(program, 2, Filters()))
    np.testing.assert_array_equal(fed.score(CpuEngine(program, 2, Filters(), threads=5)), alone)


def test_no_more_threads_are_taken_than_there_are_cores(model: CausalModel) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert choose_engine(model, "cpu", threads=1000).details.split()[1] == str(cores)


def test_a_thread_does_not_wait_for_one_that_was_stopped(model: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = Fed(model, 2, 5, 20)
    engine = CpuEngine(steps.step_program(model), 2, Filters(), threads=2)
    expected = fed.score(engine)
    stopped = StoppedInThread0(interpreter.compiled())
    monkeypatch.setattr(interpreter, "compiled", lambda: stopped)
    with pytest.raises(KeyboardInterrupt):
        fed.score(engine)
    assert engine._pool is not None
    engine._pool.submit(int).result(timeout=60)  # the only other thread is free again
    monkeypatch.undo()
    np.testing.assert_array_equal(fed.score(engine), expected)


class StoppedInThread0:
    """The compiled loop, of which the first thread is stopped by Ctrl-C before it begins."""

    def __init__(self, run: Callable[..., None]) -> None:
        self.run, self.signatures = run, [()]

    def __call__(self, *arguments: object) -> None:
        *_, thread, _, _ = arguments
        if thread == 0:
            raise KeyboardInterrupt
        self.run(*arguments)


def test_a_stop_while_the_loop_is_compiled_is_heard_afterwards() -> None:
    before, done = signal.getsignal(signal.SIGINT), []

    def compile_slowly() -> None:
        with engine_module._stopped_afterwards():
            signal.raise_signal(signal.SIGINT)
            done.append("compiled")

    with pytest.raises(KeyboardInterrupt):
        compile_slowly()
    assert done
    assert signal.getsignal(signal.SIGINT) is before


def test_who_hears_stops_in_another_way_goes_on_to_hear_them() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        with engine_module._stopped_afterwards():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard


def test_without_a_folder_for_its_cache_the_loop_is_compiled_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    assert interpreter._stamped("").py_func.__name__ == "run"


def test_a_loop_that_cannot_be_kept_is_run_all_the_same(model: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = Fed(model, 2, 5, 20)
    engine = CpuEngine(steps.step_program(model), 2, Filters())
    expected = fed.score(engine)
    unkept = NotKept(interpreter.compiled())
    monkeypatch.setattr(interpreter, "compiled", lambda: unkept)
    np.testing.assert_array_equal(fed.score(engine), expected)


class NotKept:
    """The compiled loop, of which the first call compiles and then finds the disk full."""

    def __init__(self, run: Callable[..., None]) -> None:
        self.run, self.signatures = run, []

    def __call__(self, *arguments: object) -> None:
        if not self.signatures:
            self.signatures.append(())
            raise OSError(errno.ENOSPC, "no space")
        self.run(*arguments)
