"""From the checks to the verdict, and from the verdict back to why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from provisioner.audit.finding import FAIL, SKIP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provisioner.record import Check

__all__ = ["NOT_APPLICABLE", "reasons", "verdict"]

NOT_APPLICABLE = "does not apply"
"""How the detail of a check begins that the run's runtime has nothing for; its skip counts for nothing."""


def verdict(checks: Iterable[Check]) -> Literal["accepted", "rejected", "incomplete"]:
    """Give rejected where a check fails, incomplete where one could not be made, else accepted."""
    outcomes = {check.outcome for check in checks if not check.detail.startswith(NOT_APPLICABLE)}
    return "rejected" if FAIL in outcomes else "incomplete" if SKIP in outcomes else "accepted"


def reasons(audit: Mapping[str, Any]) -> list[str]:
    """Give why a record's audit has its verdict, a line a check; none where the run is accepted."""
    decisive = {"rejected": FAIL, "incomplete": SKIP}.get(audit["verdict"])
    return [
        f"{check['name']}: {check['detail']} ({check['evidence']})"
        for check in audit["checks"]
        if check["outcome"] == decisive and not check["detail"].startswith(NOT_APPLICABLE)
    ]
