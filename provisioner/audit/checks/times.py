"""Checks that events and log tell one order and the same times.

How far apart two notes of one moment may be is stated below, and nothing in the evidence makes it more.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from provisioner.audit.checks.consistency import HEADING
from provisioner.audit.engine import moment as time_of
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import EVENTS, LOG

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["LAG", "LOOK", "SECOND", "log_tells_the_same_times", "other_day", "phases_follow_each_other"]

LAG = 20.0
"""Seconds from what happened to its line in the log, or from one program's note of it to another's, on a busy host."""
PAUSE = 20.0
"""Seconds between two phases, in which nothing happens but a note of the time."""
GLANCE = 60.0
"""Seconds in which git, or the driver of many GPUs, is asked between two phases."""
LOOK = 1800.0
"""Seconds in which the host looks at itself: before the first phase and before what was laid down, and at the end, when
the base alone may take ten minutes."""
PAUSES = {"lay_down": LOOK, "compile": GLANCE, "pre_commit": GLANCE, "attention_test": GLANCE}
"""Before which phase there may be more of one than PAUSE."""
MOST_SET = 86400.0
"""Seconds by which a clock is set in all during a run; more, or to and fro, no NTP sets it."""
TIMES_SET = 2
MOST_LATE = 3600.0
"""Seconds between the name that a controller gives a run and its beginning on the host, by two clocks."""
NAMED = re.compile(r"(\d{8}T\d{6}Z)(?:-|$)")
SECOND = 1.0
CONTAINER_EVENTS = "container/events.jsonl"


def phases_follow_each_other(evidence: Evidence) -> Findings:
    """Each phase began and ended once, in order, without a gap; those inside lie within container_up, all in a run."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", EVENTS)
        return
    host, inside = evidence.json_lines(EVENTS), evidence.json_lines(CONTAINER_EVENTS)
    within = [event for name in ("clone", "compile", "pre_commit") for event in _phase(name, set())]
    for name, events, wanted in ((EVENTS, host, _events_of_a_run(host)), (CONTAINER_EVENTS, inside, within)):
        if [(event["event"], event["phase"]) for event in events] != wanted:
            yield failed("the phases are not a run's, each once and in order", name)
            return
        yield from _gaps(events, name)
    begun, ended = evidence.window("container_up") or (0.0, 0.0)
    if not begun <= float(inside[0]["uptime"]) <= float(inside[-1]["uptime"]) <= ended:
        yield failed("what ran inside does not lie within container_up", CONTAINER_EVENTS)
    yield from _clock_was_set_otherwise(evidence)
    yield passed("each once, in order, within the run", EVENTS)


def _events_of_a_run(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the events that a host writes of a run, with the phases skipped that these events skip."""
    skips = {event["phase"] for event in events if event["event"] == "skip"}
    phases = [_phase(name, skips) for name in ("clean", "lay_down", "image_build", "container_up", "attention_test")]
    return [("begin", "run"), *(event for phase in phases for event in phase), ("end", "run")]


def _phase(name: str, skips: set[str]) -> list[tuple[str, str]]:
    """Return the events of a phase; image_build and attention_test may have been skipped."""
    if name in skips & {"image_build", "attention_test"}:
        return [("skip", name)]
    return [("begin", name), ("end", name)]


def _gaps(events: list[dict[str, Any]], where: str) -> Findings:
    """Say between which events there is more time than between two phases, or less than none."""
    for before, event in pairwise(events):
        passes = float(event["uptime"]) - float(before["uptime"])
        most = PAUSES.get(event["phase"], PAUSE)
        between = event["event"] != "end" or event["phase"] == "run"
        if passes < 0 or (between and passes > most):
            ends = f"{before['event']} {before['phase']} to {event['event']} {event['phase']}"
            yield failed(f"from {ends} it is {passes:.1f} s", where)


def _clock_was_set_otherwise(evidence: Evidence) -> Findings:
    """Say where the clock moved as nothing moves it that sets clocks."""
    moved = [seconds for _, seconds in evidence.clock_set()]
    if not all(isinstance(event.get("time"), str) for event in evidence.events):
        yield failed("an event does not tell the time of day", EVENTS)
    if len(moved) > TIMES_SET or abs(sum(moved)) > MOST_SET or (moved and min(moved) < 0 < max(moved)):
        yield failed(f"the clock was set by {', '.join(f'{seconds:+.1f}' for seconds in moved)} s", EVENTS)


def log_tells_the_same_times(evidence: Evidence) -> Findings:
    """The log's lines follow each other in time, from the run's beginning, and phases begin there when they began."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", LOG)
        return
    times = [datetime.fromisoformat(line[:24]).timestamp() for line in evidence.log]
    yield from _lines_of_another_time(evidence, times)
    headings = _headings(evidence, times)
    begun = [event for event in evidence.events if event["event"] == "begin" and event["phase"] != "run"]
    if [name for name, _, _ in headings] != [event["phase"] for event in begun]:
        yield failed("the phases are not those that began, in their order", LOG)
        return
    for event, (name, moment, number) in zip(begun, headings, strict=True):
        if abs(time_of(event["time"]) - moment) > LAG:
            yield failed(f"{name} began at {event['time']} by the events", f"{LOG}:{number}")
    yield from _log_of_another_time(evidence, times)
    yield passed(f"{len(times)} lines, {len(headings)} phases", LOG)


def _lines_of_another_time(evidence: Evidence, times: list[float]) -> Findings:
    """Say where the log's time goes back though no clock was set, or a line has another time from who wrote it."""
    backwards = [number for number, (one, other) in enumerate(pairwise(times), 2) if other < one - SECOND]
    if len(backwards) > sum(seconds < 0 for _, seconds in evidence.clock_set()):
        yield failed("the log's time goes back", f"{LOG}:{backwards[0]}")
    for number, (line, moment) in enumerate(zip(evidence.log, times, strict=True), 1):
        # The Dev Container CLI's own time of a line, which is mostly the same to the second.
        if line[24:27] == " [2" and line[26:45] != line[:19] and abs(time_of(line[26:50]) - moment) > LAG:
            yield failed(f"the line is of {line[26:50]}", f"{LOG}:{number}")


def _headings(evidence: Evidence, times: list[float]) -> list[tuple[str, float, int]]:
    """Return the phases that the log has a heading of, each with its time and the number of the line."""
    return [
        (found[1], times[number], number + 1)
        for number, line in enumerate(evidence.log)
        if (found := HEADING.match(line)) and found[1] != "evidence"
    ]


def _log_of_another_time(evidence: Evidence, times: list[float]) -> Findings:
    """Say where the log does not begin when the run started, or does not end after it."""
    begin, end = evidence.window("run") or (0.0, 0.0)
    started = evidence.started.timestamp()
    if abs(started - times[0]) > LAG or not evidence.within(started, (begin - LOOK, begin), SECOND):
        yield failed(f"the run started at {evidence.run['started_at']} by run.json", f"{LOG}:1")
    if not evidence.within(times[-1], (end, end + LOOK), SECOND):
        yield failed("the log does not end after the run", f"{LOG}:{len(times)}")


def other_day(evidence: Evidence) -> list[str]:
    """Return a remark where the run's name, which is of when somebody started it, is of another time than its start."""
    found = NAMED.match(evidence.run["run_id"])
    if not found:
        return []
    named = datetime.strptime(f"{found[1]}+0000", "%Y%m%dT%H%M%SZ%z")
    if abs((evidence.started - named).total_seconds()) <= MOST_LATE:
        return []
    return [f"it is named after {named:%Y-%m-%d %H:%M:%S}, and began at {evidence.started:%Y-%m-%d %H:%M:%S}"]
