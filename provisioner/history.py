"""What earlier runs tell about how long a run will still take: the median of each phase."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from provisioner.phases import PHASES
from provisioner.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioner.store import Run, Store

__all__ = ["History", "of_store"]

RECENT = 200
"""So many of the newest runs are looked at."""


class History:
    """Medians of the phases, in seconds: of a host's own runs where it has any, else of all hosts'."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        everyone: dict[str, list[float]] = {}
        by_host: dict[str, dict[str, list[float]]] = {}
        for run in runs:
            for phase, seconds in (run.record["timings"] or {}).items():
                if run.record["outcome"] == "ok" and seconds is not None:
                    everyone.setdefault(phase, []).append(seconds)
                    by_host.setdefault(run.host, {}).setdefault(phase, []).append(seconds)
        self._everyone = _medians(everyone)
        self._by_host = {host: _medians(times) for host, times in by_host.items()}

    def remaining(self, host: str, phase: str | None = None, inside: float = 0.0) -> float | None:
        """Give how many seconds a run on `host` that has been `inside` seconds in `phase` will still take.

        Without a phase: all of a run. A phase that lasts longer than ever counts as about to end. None where nothing
        is known.
        """
        known = self._by_host.get(host) or self._everyone
        if not known:
            return None
        current = PHASES.index(phase) if phase in PHASES else -1
        later = sum(known.get(name, 0.0) for name in PHASES[current + 1 :])
        return later + (max(0.0, known.get(phase, 0.0) - inside) if phase else 0.0)


def of_store(store: Store) -> History:
    """Give what the newest runs of a store tell."""
    return History(store.list(Selection(last=RECENT), fields=("outcome", "timings")))


def _medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {phase: median(seconds) for phase, seconds in times.items()}
