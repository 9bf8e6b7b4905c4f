"""Downloads that were tried again, as a run's log tells: each tool has its own words for it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from provisioner.runs.record import Retry

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["of_log"]

HEADING = re.compile(r"=== (\w+) ===$")
OURS = re.compile(r"\bretry: in \d+ s again, after: ")
BY_US = {"clone": "git"}
"""Who it was, by the phase in which the scripts try again; else docker."""
GIT = re.compile(r"Failed to clone '.*'\. Retry scheduled")
# https://pip.pypa.io/en/stable/cli/pip/#cmdoption-retries and #cmdoption-resume-retries
PIP = re.compile(
    r"WARNING: Retrying \(Retry\(|WARNING: (?:Connection timed out while downloading|Attempting to resume)"
)
# Docker counts down, a line each second, for each layer.
DOCKER = re.compile(r"(?P<layer>[0-9a-f]{12}): Retrying in (?P<seconds>\d+) seconds?")
# apt ignores what failed and asks for the same again, under the same number; other calls of it number anew.
APT = re.compile(r"\b(?P<said>Ign|Get|Hit|Err):(?P<what>\d+ \S+://.+?)(?: \[[\d.,]+ ?[kMG]?B\])?$")


def of_log(lines: Iterable[str]) -> list[Retry]:
    """Return what was tried again in each phase, in the order of the log; its lines may begin with their time."""
    counts: Counter[tuple[str, str]] = Counter()
    phase = "run"
    waiting: dict[str, int] = {}
    ignored: set[str] = set()
    for line in lines:
        if heading := HEADING.search(line):
            phase, waiting, ignored = heading[1], {}, set()
        elif OURS.search(line):
            counts[phase, BY_US.get(phase, "docker")] += 1
        elif GIT.search(line):
            counts[phase, "git"] += 1
        elif PIP.search(line):
            counts[phase, "pip"] += 1
        elif found := DOCKER.search(line):
            seconds = int(found["seconds"])
            counts[phase, "docker"] += seconds > waiting.get(found["layer"], 0)
            waiting[found["layer"]] = seconds
        elif found := APT.search(line):
            if found["said"] == "Ign":
                ignored.add(found["what"])
            elif found["what"] in ignored:
                ignored.discard(found["what"])
                counts[phase, "apt"] += 1
    return [Retry(phase=name, what=what, times=times) for (name, what), times in counts.items() if times]
