"""docs/doctor.md lists every check as the program knows it."""

from pathlib import Path

from seqgen_core.diagnosis.finding import CHECKS, SEVERITIES, SUBJECTS, Finding, graded, sorted_findings
from seqgen_core.diagnosis.page import BEGIN, END, checks_section, renewed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"


def test_the_page_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "run python -m seqgen_core.diagnosis.page docs/doctor.md"
    assert all(f"### {name}\n" in page for name in CHECKS)


def test_renewing_keeps_what_stands_around():
    assert renewed(f"before\n{BEGIN}\nold\n{END}\nafter\n") == f"before\n{checks_section()}\nafter\n"


def test_every_check_has_its_sentences():
    for one in CHECKS.values():
        assert one.subject in SUBJECTS
        assert not one.looks_at.endswith(".")
        assert not one.thresholds.endswith(".")
        assert one.advice.endswith((".", "?")), one.name
    assert {one.subject for one in CHECKS.values()} == set(SUBJECTS)


def test_every_check_is_planted_somewhere():
    tests = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*_findings.py"))
    assert [name for name in CHECKS if f'"{name}"' not in tests] == []


def test_severities():
    assert [graded(value, 0.2, 0.5) for value in (0.1, 0.2, 0.5)] == ["healthy", "warning", "severe"]
    assert [graded(-value, -20, -10) for value in (30, 15, 5)] == ["healthy", "warning", "severe"]
    findings = [Finding(name, severity, "", "", "") for name in "ab" for severity in SEVERITIES]
    assert [f.severity for f in sorted_findings(findings)] == [s for s in reversed(SEVERITIES) for _ in range(2)]
    assert [f.severity for f in findings if f.alarming] == ["warning", "severe"] * 2
