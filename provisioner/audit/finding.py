"""What a check finds, and how checks look for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = [
    "FAIL",
    "PASS",
    "SKIP",
    "Finding",
    "Findings",
    "Outcome",
    "failed",
    "match",
    "passed",
    "skipped",
    "unwritten",
]

Outcome = Literal["pass", "fail", "skip"]
PASS: Outcome = "pass"  # noqa: S105
FAIL: Outcome = "fail"
SKIP: Outcome = "skip"


class Finding(NamedTuple):
    """A check's outcome, a sentence about it, and the place in the evidence that shows it."""

    outcome: Outcome
    detail: str
    evidence: str


Findings = Iterator[Finding]
"""What a check yields: everything that is wrong, what matters most first, and then that all is right, which counts
where nothing was wrong; or one skip, where the evidence does not tell, and no more."""


def passed(detail: str, evidence: str) -> Finding:
    """Return the finding that what must be true is true."""
    return Finding(PASS, detail, evidence)


def failed(detail: str, evidence: str) -> Finding:
    """Return the finding that what must be true is not."""
    return Finding(FAIL, detail, evidence)


def skipped(detail: str, evidence: str) -> Finding:
    """Return that the evidence does not tell: the run did not get that far, or this machine has no GPU."""
    return Finding(SKIP, detail, evidence)


def unwritten(evidence: Evidence, detail: str, name: str) -> Finding:
    """Return that a file is not there: a failure in a run that ended well, not in one that was cut short before it."""
    return failed(detail, name) if evidence.outcome == "ok" else skipped(detail, name)


def match(text: str, pattern: str | re.Pattern[str]) -> tuple[int, str] | None:
    """Return the line number and the text of a pattern's first match; None where there is none."""
    found = re.search(pattern, text)
    return (text.count("\n", 0, found.start()) + 1, found[0].strip()) if found else None
