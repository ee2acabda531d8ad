"""Findings, and the register of checks that make them: what each looks at, where its thresholds lie, what to do."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

Severity = Literal["healthy", "info", "warning", "severe"]
SEVERITIES: tuple[Severity, ...] = ("healthy", "info", "warning", "severe")
"""From nothing to see to nothing works."""
Subject = Literal["data", "run", "samples", "prime"]
SUBJECTS: dict[Subject, str] = {
    "data": "Prepared data",
    "run": "Runs",
    "samples": "Samples, and sound files of any origin",
    "prime": "A file to continue (`--prime FILE`)",
}


@dataclass(frozen=True)
class Finding:
    """One line: what (check, sentence), how bad (severity, figures), where, and what to do (advice)."""

    check: str
    severity: Severity
    sentence: str
    advice: str
    where: str
    figures: dict[str, float] = field(default_factory=dict)

    def advising(self, advice: str) -> "Finding":
        """The same with other advice."""
        return replace(self, advice=advice)

    @property
    def alarming(self) -> bool:
        """Whether it is a warning or worse."""
        return SEVERITIES.index(self.severity) >= SEVERITIES.index("warning")


@dataclass(frozen=True)
class Check:
    """One thing that is looked at. looks_at, thresholds and advice are for people; docs/doctor.md lists them."""

    name: str
    subject: Subject
    looks_at: str
    thresholds: str
    advice: str

    def found(self, severity: Severity, sentence: str, where: object, **figures: float) -> Finding:
        """A finding of this check, with its advice where it is a warning or worse."""
        advice = "" if severity in ("healthy", "info") else self.advice
        return Finding(self.name, severity, sentence, advice, str(where), {n: float(v) for n, v in figures.items()})


CHECKS: dict[str, Check] = {}
"""Every check, by name, as the modules of this package register them."""


def check(name: str, subject: Subject, *, looks_at: str, thresholds: str, advice: str) -> Check:
    """Register a check."""
    assert name not in CHECKS, name
    CHECKS[name] = Check(name, subject, looks_at, thresholds, advice)
    return CHECKS[name]


def graded(value: float, warning: float, severe: float) -> Severity:
    """healthy below `warning`, a warning below `severe`, severe from there on."""
    return "severe" if value >= severe else "warning" if value >= warning else "healthy"


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, otherwise in the order of the checks."""
    return sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity))
