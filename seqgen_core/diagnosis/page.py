"""The part of docs/doctor.md that lists the checks: `python -m seqgen_core.diagnosis.page docs/doctor.md` renews it."""

import sys
from pathlib import Path

from seqgen_core.diagnosis import diagnose
from seqgen_core.diagnosis.finding import CHECKS, SUBJECTS
from seqgen_core.files import write_text_atomically

BEGIN = "<!-- checks: written by `python -m seqgen_core.diagnosis.page docs/doctor.md` -->"
END = "<!-- end of checks -->"


def checks_section() -> str:
    """Every check of the register, by what it looks at."""
    assert diagnose.DATA_NOW.name in CHECKS  # importing `diagnose` fills the register
    parts = [BEGIN]
    for subject, title in SUBJECTS.items():
        parts.append(f"## {title}")
        for _, one in sorted(CHECKS.items()):
            if one.subject == subject:
                lines = [
                    f"### {one.name}",
                    f"Looks at {one.looks_at}.",
                    f"- Thresholds: {one.thresholds}.",
                    f"- What to do: {one.advice}",
                ]
                parts.append("\n\n".join(lines[:3]) + "\n" + lines[3])
    return "\n\n".join([*parts, END])


def renewed(page: str) -> str:
    """A page with the section in place of the one between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + checks_section() + after


if __name__ == "__main__":
    file = Path(sys.argv[1])
    write_text_atomically(file, renewed(file.read_text(encoding="utf-8")))
