"""What `provisioner doctor` finds on a host, one entry for each check."""

from __future__ import annotations

OK, WARN, FAIL = "ok", "warn", "fail"


def finding(check: str, outcome: str, detail: str, remedy: str = "") -> dict[str, str]:
    """Return one entry of host_findings: its name, its outcome, what was seen, and how to mend it."""
    return {"check": check, "outcome": outcome, "detail": detail, "remedy": remedy}
