"""docs/adding-a-model.md, done as it says beside the code: the laws hold for what it adds, and commands take it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adding-a-model.md").read_text(encoding="utf-8")
LAY_OVER = """
import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def lay(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name.replace('.', '/')}.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


import seqgen_core.settings

lay("seqgen_core.settings.model")
for package in ("seqgen_core.models", "seqgen_core.models.steps"):
    importlib.import_module(package).__path__.append(str(FOLDER / package.replace(".", "/")))
"""
"""A plugin of pytest: the changed and new files of this folder stand in front of those of the code."""


def apply(folder: Path, diff: str) -> None:
    """Put the lines that begin with + in the place of those with -; the others say where."""
    header, *lines = diff.splitlines()
    path = folder / header.removeprefix("--- ")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / header.removeprefix("--- "), path)
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = path.read_text()
    assert text.count(before) == 1, f"{path.name} has these lines {text.count(before)} times:\n{before}"
    path.write_text(text.replace(before, after))


def test_the_added_model_keeps_the_laws_and_goes_the_whole_road(tmp_path: Path, shared_data: Path) -> None:
    for path, code in re.findall(r"^<!-- file: (\S+) -->\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(code)
    for diff in re.findall(r"^```diff\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        apply(tmp_path, diff)
    (tmp_path / "lay_over.py").write_text(LAY_OVER)
    for name in ("conftest.py", "fed.py", "test_engine_laws.py", "test_matrix.py", "test_docs.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    wanted = "(ngram and (test_law_ or mu-law or piano-roll) and not samplernn) or NgramSettings"
    out = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "lay_over", "-q", "-n", "0", "-k", wanted],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "SEQGEN_TEST_DATA": str(shared_data)},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stdout[-3000:]
    (passed,) = re.findall(r"(\d+) passed", out.stdout)
    assert int(passed) >= 9, out.stdout  # five laws, one of them twice; an engine's; two roads; sentences of settings
