"""The compile's ledger: what ninja's own log tells of each object, and how near the compile came to its bound."""

from __future__ import annotations

from itertools import count
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from provisioner.record import Object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provisioner.evidence import NinjaCall

__all__ = ["bound", "critical_path", "efficiency", "lanes", "objects"]

# A step that starts this soon after another ended, in seconds, took over its job: ninja notices an end at once, and
# its log has milliseconds.
TAKE_OVER = 0.25


def objects(call: NinjaCall, began: float = 0.0) -> list[Object]:
    """Give what the call built, in the order of their starts.

    Args:
        call: a call of ninja that built something.
        began: when ninja began, in seconds since the run's start; starts and ends come on the same clock.

    Names are the outputs' paths below the folder that all of them share.
    """
    shared = _shared([PurePosixPath(step.output) for step in call.steps])
    return [
        Object(
            name=step.output.removeprefix(shared),
            start=round(began + step.started, 3),
            end=round(began + step.ended, 3),
            seconds=round(step.seconds, 3),
        )
        for step in sorted(call.steps, key=lambda step: (step.started, step.output))
    ]


def critical_path(built: Sequence[Object]) -> list[Object]:
    """Give the chain of objects that decided when the compile ended, first to last.

    The last of it is what ended last; before each comes the one whose end let it start, by freeing its job. The
    objects of an extension do not depend on each other, so jobs are all that one waits for.
    """
    path: list[Object] = []
    at = max(built, key=lambda item: item.end, default=None)
    while at is not None:
        path.insert(0, at)
        start = at.start
        before = [item for item in built if item not in path and start - TAKE_OVER <= item.end <= start]
        at = max(before, key=lambda item: (item.end, item.seconds), default=None)
    return path


def efficiency(cpu_seconds: float | None, wall: float | None, jobs: int | None) -> float | None:
    """Give CPU seconds over wall seconds times jobs: 1.0 where every job computed all the time."""
    return round(cpu_seconds / (wall * jobs), 3) if cpu_seconds is not None and wall and jobs else None


def bound(built: Iterable[Object], cpu_seconds: float | None, cores: int | None) -> float | None:
    """Give the seconds that no schedule can beat: the longest object, or the CPU seconds spread over all cores.

    This is Graham's lower bound for independent jobs (R. L. Graham, Bounds on Multiprocessing Timing Anomalies, 1969).
    """
    longest = max((item.seconds for item in built), default=None)
    if longest is None or cpu_seconds is None or not cores:
        return None
    return round(max(longest, cpu_seconds / cores), 3)


def lanes(built: Sequence[Object]) -> list[int]:
    """Give each object's lane, from 0: in a lane none overlaps another, and there are as few as that needs."""
    free: list[float] = []
    chosen = []
    for item in built:
        lane = next((lane for lane in count() if lane == len(free) or free[lane] <= item.start), 0)
        free[lane : lane + 1] = [item.end]
        chosen.append(lane)
    return chosen


def _shared(outputs: Sequence[PurePosixPath]) -> str:
    """Give the innermost folder that all of the outputs are in, with its slash; empty where there is none."""
    folders = [{folder for folder in output.parents if folder.name} for output in outputs]
    common = set.intersection(*folders) if folders else set()
    return f"{max(common, key=lambda folder: len(folder.parts))}/" if common else ""
