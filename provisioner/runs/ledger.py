"""The compile's ledger: what ninja's own log tells of each object, and how near the compile came to its bound."""

from __future__ import annotations

from bisect import bisect_right
from heapq import heappop, heappush
from itertools import takewhile
from typing import TYPE_CHECKING

from provisioner.runs.record import Object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provisioner.runs.evidence import NinjaCall

__all__ = ["bound", "critical_path", "efficiency", "lanes", "objects"]

# A step that starts this soon after another ended, in seconds, took over its job: ninja notices an end at once, and
# its log has milliseconds.
TAKE_OVER = 0.25


def objects(call: NinjaCall, began: float = 0.0) -> list[Object]:
    """Return what the call built, in the order of their starts.

    Args:
        call: a call of ninja that built something.
        began: when ninja began, in seconds since the run's start; starts and ends come on the same clock.

    Names are the outputs' paths below the folder that all of them share.
    """
    shared = _shared([step.output for step in call.steps])
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
    """Return the chain of objects that decided when the compile ended, first to last.

    The last of it is what ended last; before each comes the one whose end let it start, by freeing its job. The
    objects of an extension do not depend on each other, so jobs are all that one waits for.
    """
    by_end = sorted(built, key=lambda item: (item.end, item.seconds))
    ends = [item.end for item in by_end]
    path: list[Object] = []
    place = len(by_end) - 1
    while place >= 0:
        at = by_end[place]
        path.append(at)
        # Of those that ended before it began, the last; never one that comes after it in this order.
        place = min(bisect_right(ends, at.start), place) - 1
        if place >= 0 and ends[place] < at.start - TAKE_OVER:
            break
    return path[::-1]


def efficiency(cpu_seconds: float | None, wall: float | None, jobs: int | None) -> float | None:
    """Return CPU seconds over wall seconds times jobs: 1.0 where every job computed all the time."""
    return round(cpu_seconds / (wall * jobs), 3) if cpu_seconds is not None and wall and jobs else None


def bound(built: Iterable[Object], cpu_seconds: float | None, cores: int | None) -> float | None:
    """Return the seconds that no schedule can beat: the longest object, or the CPU seconds spread over all cores.

    This is Graham's lower bound for independent jobs (R. L. Graham, Bounds on Multiprocessing Timing Anomalies, 1969).
    """
    longest = max((item.seconds for item in built), default=None)
    if longest is None or cpu_seconds is None or not cores:
        return None
    return round(max(longest, cpu_seconds / cores), 3)


def lanes(built: Sequence[Object]) -> list[int]:
    """Return each object's lane, from 0: in a lane none overlaps another, and there are as few as that needs."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    chosen = []
    for item in built:
        while busy and busy[0][0] <= item.start:
            heappush(free, heappop(busy)[1])
        lane = heappop(free) if free else len(busy)
        heappush(busy, (item.end, lane))
        chosen.append(lane)
    return chosen


def _shared(outputs: Sequence[str]) -> str:
    """Return the innermost folder that all of the outputs are in, with its slash; empty where there is none."""
    folders = [output.split("/")[:-1] for output in outputs]
    # What the first and the last in the alphabet begin with, all others do.
    both = zip(min(folders, default=[]), max(folders, default=[]), strict=False)
    common = "/".join(part for part, _ in takewhile(lambda pair: pair[0] == pair[1], both))
    return f"{common}/" if common else ""
