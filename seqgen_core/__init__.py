"""The core of seqgen: settings, data, models, training, generation and evaluation, free of any command line.

`load_run` opens a trained run, `build` makes a fresh model; both are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqgen_core.library import Generation, Run, load_run
    from seqgen_core.models import build

__all__ = ["Generation", "Run", "build", "load_run"]
_HOME = {"Generation": "library", "Run": "library", "load_run": "library", "build": "models"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
