"""How long a run will still take: by earlier runs of the same inputs, or by the objects that are compiled so far."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from provisioner.runs.phases import PHASES
from provisioner.store.selection import Selection
from provisioner.text.display import about

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioner.ansible.events import Progress
    from provisioner.store import Run, Store

__all__ = ["History", "Left", "of_store"]

RECENT = 2000
"""So many of the newest runs are looked at."""
ENOUGH_OBJECTS, ENOUGH_SECONDS = 3, 20.0
"""Before so many objects and seconds of a compile, they say nothing of the others."""


@dataclass(frozen=True)
class Left:
    """An estimate of the time that is left, in seconds: of a whole run, or where `phase` is set, of that alone."""

    seconds: float
    phase: str = ""

    def __str__(self) -> str:
        return f"about {about(self.seconds)} left{f' of {self.phase}' if self.phase else ''}"


class History:
    """Medians of the phases, in seconds, of runs that went well: a host's own runs of the same inputs, else all hosts'.

    Runs of other inputs say nothing: they compile something else, or elsewhere.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        everyone: dict[str, dict[str, list[float]]] = {}
        by_host: dict[tuple[str, str], dict[str, list[float]]] = {}
        for run in runs:
            inputs = (run.record["inputs"] or {}).get("input_hash")
            if not inputs or run.record["outcome"] != "ok":
                continue
            for phase, seconds in (run.record["timings"] or {}).items():
                if seconds is not None:
                    everyone.setdefault(inputs, {}).setdefault(phase, []).append(seconds)
                    by_host.setdefault((run.host, inputs), {}).setdefault(phase, []).append(seconds)
        self._everyone = {inputs: _medians(times) for inputs, times in everyone.items()}
        self._by_host = {of: _medians(times) for of, times in by_host.items()}

    def remaining(self, progress: Progress, inside: float) -> Left | None:
        """Return what is left of a run that has been `inside` seconds in its phase; None where nobody knows.

        A phase that lasts longer than ever counts as about to end.
        """
        known = self._by_host.get((progress.host, progress.input_hash)) or self._everyone.get(progress.input_hash)
        if not known:
            return _by_objects(progress, inside)
        current = PHASES.index(progress.phase) if progress.phase in PHASES else -1
        later = sum(known.get(name, 0.0) for name in PHASES[current + 1 :])
        return Left(later + max(0.0, known.get(progress.phase or "", 0.0) - inside))


def of_store(store: Store) -> History:
    """Return what the newest runs of a store tell."""
    return History(store.list(Selection(last=RECENT), fields=("outcome", "timings", "inputs.input_hash")))


def _by_objects(progress: Progress, inside: float) -> Left | None:
    """Return what is left of a compile, as if its other objects took as long as those that are done."""
    done, total = progress.done or 0, progress.total or 0
    if done < ENOUGH_OBJECTS or inside < ENOUGH_SECONDS:
        return None
    return Left(inside / done * max(0, total - done), progress.phase or "")


def _medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {phase: median(seconds) for phase, seconds in times.items()}
