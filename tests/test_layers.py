"""Imports go one way, and asking for help imports nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = "seqgen_core"
LEAVES = {"audio", "text", "notes", "images"}
FOUNDATION = {"errors", "progress", "files", "settings", "streams", "previews"}
"""Every part of the core may import these."""
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"library", "models"},
    "errors": set(),
    "progress": set(),
    "files": set(),
    "streams": set(),
    "previews": set(),
    "settings": {"errors"},
    "devices": FOUNDATION,
    **{leaf: FOUNDATION for leaf in LEAVES},
    "codecs": FOUNDATION | LEAVES,
    "data": FOUNDATION | LEAVES | {"codecs"},
    "kernels": set(),
    "models": FOUNDATION | {"kernels"},
    "checkpoint": FOUNDATION,
    "checkpoints": FOUNDATION | {"checkpoint"},
    "runs": FOUNDATION | {"models", "devices", "checkpoint", "checkpoints"},
    "training": FOUNDATION | {"models", "data", "runs", "devices"},
    "tuning": FOUNDATION | {"models", "data", "runs", "training"},
    "generation": FOUNDATION | LEAVES | {"codecs", "kernels", "models", "runs", "devices"},
    "evaluation": FOUNDATION | LEAVES | {"codecs", "models", "data", "runs", "devices"},
    "diagnosis": FOUNDATION | LEAVES | {"codecs", "models", "data", "evaluation", "runs", "devices"},
    "exporting": FOUNDATION | {"models", "runs", "checkpoint"},
    "library": FOUNDATION
    | LEAVES
    | {"codecs", "models", "data", "runs", "generation", "evaluation", "exporting", "devices"},
    "reporting": FOUNDATION | LEAVES | {"codecs", "data", "evaluation", "runs", "library"},
}
HEAVY = {"torch", "torchaudio", "numpy", "soundfile", "soxr", "yt_dlp", "av", "scipy", "matplotlib", "tensorboard"}
HEAVY |= {"PIL", "numba", "llvmlite", "optuna", "distributed", "dask", "jinja2", "onnx", "onnxruntime"}


def imports(source: str, module: str, *, top_only: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; top_only leaves out functions and TYPE_CHECKING blocks."""
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *([node.module] if node.module else [])])
            # `from package import part` may name a module of it
            yield from (f"{base}.{alias.name}" for alias in node.names)
        hidden = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        hidden = hidden or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        if not (top_only and hidden):
            nodes.extend(ast.iter_child_nodes(node))


def faults(source: str, module: str) -> list[str]:
    """What a module of the core or the command line imports against the layers."""
    found = []
    package, _, rest = module.partition(".")
    part = rest.split(".")[0]
    for name in imports(source, module):
        top, _, inner = name.partition(".")
        target = inner.split(".")[0]
        if package == CORE and top == "seqgen_cli":
            found.append(f"{module} imports {name}: the core never imports the command line")
        if package == CORE and top == CORE and target and target != part and target not in MAY_IMPORT[part]:
            found.append(f"{module} imports {name}: {part} may import {sorted(MAY_IMPORT[part])}")
        if part == "settings" and top in HEAVY:
            found.append(f"{module} imports {name}: settings import nothing heavy")
    if package == "seqgen_cli" or part in ("errors", "progress", "settings"):
        light = {f"{CORE}.{name}" for name in ("errors", "progress", "settings")} | {"seqgen_cli"}
        for name in imports(source, module, top_only=True):
            ours = name.split(".")[0] in (CORE, "seqgen_cli")
            if name.split(".")[0] in HEAVY or (ours and not any(f"{name}.".startswith(f"{ok}.") for ok in light)):
                found.append(f"{module} imports {name} at its top: it costs time behind --help")
    return found


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in (CORE, "seqgen_cli"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found.append((name, path))
    return found


@pytest.mark.parametrize(("module", "path"), [pytest.param(*pair, id=pair[0]) for pair in modules()])
def test_imports_go_one_way(module, path):
    assert faults(path.read_text(encoding="utf-8"), module) == []


def test_every_part_of_the_core_has_its_place():
    parts = {module.split(".")[1] for module, _ in modules() if module.startswith(f"{CORE}.")} - {"__init__"}
    assert parts <= MAY_IMPORT.keys()


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("seqgen_core.models.wavenet", "from seqgen_core.runs import RunFolder"),
        ("seqgen_core.models.wavenet", "import seqgen_core.data.store"),
        ("seqgen_core.models.wavenet", "from seqgen_core import data"),
        ("seqgen_core.models.wavenet", "from ..data import store"),
        ("seqgen_core.models.wavenet", "def f():\n    from seqgen_core.training import loop"),
        ("seqgen_core.audio.files", "from seqgen_core.text import codec"),
        ("seqgen_core.audio.files", "from seqgen_core.data.store import Item"),
        ("seqgen_core.training.loop", "from seqgen_core.generation import clips"),
        ("seqgen_core.generation.clips", "from seqgen_core.training import loop"),
        ("seqgen_core.generation.clips", "from seqgen_core.data.store import Item"),
        ("seqgen_core.settings.train", "def f():\n    import torch"),
        ("seqgen_core.settings.train", "from seqgen_core.models import build"),
        ("seqgen_core.errors", "from seqgen_core.settings.base import Settings"),
        ("seqgen_core.runs", "import seqgen_cli.screen"),
        ("seqgen_cli.train", "import torch"),
        ("seqgen_cli.train", "import numpy as np"),
        ("seqgen_cli.train", "from seqgen_core.runs import RunFolder"),
        ("seqgen_cli.train", "if True:\n    from yt_dlp import YoutubeDL"),
    ],
)
def test_a_wrong_import_is_caught(module, line):
    assert faults(f'"""Doc."""\n\n{line}\n', module)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("seqgen_cli.train", "def f():\n    import torch\n    from seqgen_core.runs import RunFolder"),
        ("seqgen_cli.train", "if TYPE_CHECKING:\n    from seqgen_core.runs import RunFolder"),
        ("seqgen_core.training.loop", "from seqgen_core import models\nfrom seqgen_core.data.store import Item"),
        ("seqgen_core.models.wavenet", "from seqgen_core.models.blocks import x\nfrom .base import y"),
    ],
)
def test_a_right_import_is_not(module, line):
    assert faults(f'"""Doc."""\n\n{line}\n', module) == []


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["generate", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    script = (
        "import sys; from seqgen_cli.main import main\n"
        f"sys.argv = ['seqgen', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        "print(code, *sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "Usage:" in result.stdout
    code, *loaded = result.stderr.split()
    assert code == "0"
    assert "typer" in loaded
    assert HEAVY.isdisjoint(loaded)
