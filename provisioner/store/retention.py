"""Which runs a rule of retention keeps: of some age, the newest of each host, and always a host's last good one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.errors import Exit, ProvisionerError
from provisioner.store import selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from provisioner.store import Run

__all__ = ["FIELDS", "KeepRule", "rule", "to_forget"]

FIELDS = ("outcome", "audit.verdict", "unverified")
"""What it needs of a record."""


@dataclass(frozen=True)
class KeepRule:
    """What stays; a run must fit one of what is given."""

    newest: int = 0
    """So many of each host."""
    since: datetime | None = None
    """What began then or later."""


def rule(text: str, now: datetime | None = None) -> KeepRule:
    """Return what `text` means: N is the newest N of each host, 30d and the like how old a run may be, or a date.

    Raise ProvisionerError (code 2).
    """
    if re.fullmatch(r"[0-9]{1,9}", text):
        return KeepRule(newest=int(text))
    try:
        return KeepRule(since=selection.instant(text, "--keep", now))
    except ProvisionerError as error:
        raise ProvisionerError(
            f"--keep {text!r} is not a rule", "give 10 (the newest of each host), 30d, 12w or a date", Exit.BAD_INPUT
        ) from error


def to_forget(runs: Iterable[Run], rules: Sequence[KeepRule]) -> list[Run]:
    """Return the runs that no rule keeps, of `runs` that come newest first.

    Each host's last accepted run stays; where it has none, as without a GPU, the last that went well.
    """
    by_host: dict[str, list[Run]] = {}
    for run in runs:
        by_host.setdefault(run.host, []).append(run)
    return [run for ours in by_host.values() for run in _of_host(ours, rules)]


def _of_host(runs: list[Run], rules: Sequence[KeepRule]) -> list[Run]:
    last = next(filter(_is_accepted, runs), None) or next(filter(_went_well, runs), None)
    newest = max((one.newest for one in rules), default=0)
    kept = [one.since for one in rules if one.since is not None]
    return [run for run in runs[newest:] if run is not last and not any(run.started >= since for since in kept)]


def _is_accepted(run: Run) -> bool:
    """Return whether the run was accepted, by evidence that is here."""
    return _went_well(run) and run.record["audit"]["verdict"] == "accepted" and not run.record["unverified"]


def _went_well(run: Run) -> bool:
    verdict = (run.record["audit"] or {}).get("verdict")
    return run.record["outcome"] == "ok" and verdict != "rejected"
