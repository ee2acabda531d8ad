"""Trained runs from Python: `load_run(path)`, `run.generate(…)`, `run.evaluate(…)`; docs/library.md shows how."""

from seqgen_core.library.drawing import Drawing
from seqgen_core.library.generation import Generation
from seqgen_core.library.run import Run, load_run

__all__ = ["Drawing", "Generation", "Run", "load_run"]
