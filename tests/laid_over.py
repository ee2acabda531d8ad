"""Does what a guide says beside the code: its files and changes lie in a folder, which stands in front of the code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = """
import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parent

for name in CHANGED:
    parent, _, child = name.rpartition(".")
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name.replace('.', '/')}.py")
    package = importlib.import_module(parent)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    setattr(package, child, sys.modules[name])
    spec.loader.exec_module(sys.modules[name])
for package in ADDED:
    importlib.import_module(package).__path__.append(str(FOLDER / package.replace(".", "/")))
"""


def lay_over(folder: Path, page: str, tests: tuple[str, ...]) -> None:
    """Write the files and apply the diffs of a page of docs/, in their order, and copy these tests beside them.

    Several pages can be laid into one folder.
    """
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    added, changed = [], []
    for path, code in re.findall(r"^<!-- file: (\S+) -->\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(code, encoding="utf-8")
        added.append(str(Path(path).parent).replace("/", "."))
    for diff in re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        path = _apply(folder, diff)
        if path.startswith("seqgen_"):
            changed.append(path.removesuffix(".py").replace("/", "."))
    plugin = folder / "laid_over_code.py"
    before = plugin.read_text() if plugin.exists() else ""
    lists = f"CHANGED = {list(dict.fromkeys(changed))!r}\nADDED = {list(dict.fromkeys(added))!r}\n"
    plugin.write_text(before + lists + PLUGIN)
    for name in ("conftest.py", *tests):
        if not (folder / "tests" / name).exists():
            (folder / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    shutil.copy(ROOT / "pyproject.toml", folder)


def passed(folder: Path, wanted: str, data: Path) -> int:
    """How many of the tests there pass whose names fit `wanted`; all have to. data: the folder of real recordings."""
    out = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "laid_over_code",
            "-q",
            "-n",
            "0",
            "-k",
            wanted,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "SEQGEN_TEST_DATA": str(data)},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stdout[-3000:] + out.stderr[-1000:]
    (count,) = re.findall(r"(\d+) passed", out.stdout)
    return int(count)


def _apply(folder: Path, diff: str) -> str:
    """Put the lines that begin with + in the place of those with -; the others say where. Returns the file's path."""
    header, *lines = diff.splitlines()
    named = header.removeprefix("--- ")
    path = folder / named
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / named, path)
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{named} has these lines {text.count(before)} times:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")
    return named
