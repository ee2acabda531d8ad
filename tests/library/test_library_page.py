"""Every Python block of docs/library.md runs, from top to bottom, on a tiny run."""

import re
from pathlib import Path

from seqgen_core.exporting.weights_file import write_export
from seqgen_core.runs import RunFolder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "library.md"


def test_every_block_of_the_page_runs(trained_project, capsys):
    write_export(RunFolder.open(Path("runs/sequnet")), Path("melody.safetensors"))
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) == text.count("```python")
    names = {}
    for block in blocks:
        line = text.count("\n", 0, block.start()) + 1
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)
    shown = capsys.readouterr().out
    assert "There is no setting 'temprature' (did you mean 'temperature'?)." in shown
    assert shown.count("above the bounds") == 1
    assert shown.count(" kept\n") == 2
    assert len(names["drawn"]) == 100
