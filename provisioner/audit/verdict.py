"""From the checks to the verdict, and from the verdict back to why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from provisioner.audit.finding import FAIL, SKIP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provisioner.runs.record import Check

__all__ = ["SHOWN", "UNVERIFIED", "asked", "reasons", "sentence", "shown", "verdict"]

Verdict = Literal["accepted", "rejected", "incomplete"]
UNVERIFIED = "unverified"
SHOWN = ("accepted", "incomplete", "rejected", UNVERIFIED)
"""What people are shown as a run's verdict."""


def verdict(checks: Iterable[Check]) -> Verdict:
    """Return rejected where a check fails, incomplete where one could not be made, else accepted.

    A check that was not asked counts for nothing.
    """
    outcomes = {check.outcome for check in checks if check.asked == "yes"}
    return "rejected" if FAIL in outcomes else "incomplete" if SKIP in outcomes else "accepted"


def sentence(audit: Mapping[str, Any]) -> str:
    """Return the verdict of a record's audit, with what must be told beside it, in one line."""
    return "; ".join((audit["verdict"], *(audit.get("remarks") or ())))


def shown(record: Mapping[str, Any]) -> str | None:
    """Return a record's verdict as people are shown it: `unverified` where it came without evidence to judge it by."""
    told = (record.get("audit") or {}).get("verdict")
    return told if told == "rejected" or not record.get("unverified") else UNVERIFIED


def reasons(audit: Mapping[str, Any]) -> list[str]:
    """Return why a record's audit has its verdict, a line a check; none where the run is accepted."""
    decisive = {"rejected": FAIL, "incomplete": SKIP}.get(audit["verdict"])
    return [_reason(check) for check in audit["checks"] if check["outcome"] == decisive and asked(check)]


def asked(check: Mapping[str, Any]) -> bool:
    """Return whether a check of a record's audit counts; one from before rules had numbers says it in words only."""
    return check.get("asked", "yes") == "yes" and not check["detail"].startswith("does not apply")


def _reason(check: Mapping[str, Any]) -> str:
    others = len(check.get("others") or ())
    more = f", and {others} more" if others else ""
    return f"{check['name']}: {check['detail']} ({check['evidence']}{more})"
