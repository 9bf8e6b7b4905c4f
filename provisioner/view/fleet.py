"""Where each host of a job stands, as far as its events have told; the views of progress show it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provisioner.ansible import events
from provisioner.runs.phases import PHASES
from provisioner.text.display import duration
from provisioner.view.history import Left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provisioner.view.history import History

__all__ = ["Fleet", "Standing"]

SECONDS_FOR_A_RATE = 30.0
"""Before, a rate would say nothing yet."""


@dataclass
class Standing:
    """What is known of a host; times by our own monotonic clock, in seconds."""

    name: str
    play: str = ""
    task: str = ""
    role: str = ""
    """The task's."""
    task_since: float = 0.0
    """When its task began."""
    since: float = 0.0
    """When its play began."""
    to_mend: set[str] = field(default_factory=set)
    """The roles that a look found something to do for."""
    begun: list[str] = field(default_factory=list)
    """Those of them that have begun, in their order."""
    progress: events.Progress | None = None
    received: float = 0.0
    """When `progress` came."""
    failure: events.TaskFailure | None = None
    silent: events.Silent | None = None
    """Set while it does not answer."""
    waiting: str = ""
    """What has to be over before it can go on."""
    said: str = ""
    """What a program that its task waits for printed last."""
    outcome: str = ""
    """That of the record that came back; '' before."""

    @property
    def state(self) -> str:
        """One of waiting, running, done, failed and unreachable."""
        if self.failure:
            return "unreachable" if self.failure.unreachable else "failed"
        if self.outcome:
            return "done" if self.outcome == "ok" else "failed"
        return "running" if self.play or self.progress else "waiting"

    @property
    def over(self) -> bool:
        """Whether nothing more is to be told of its run."""
        return self.state not in {"waiting", "running"} or self._finished

    @property
    def _finished(self) -> bool:
        return self.progress is not None and self.progress.state == "finished"

    def take(self, event: events.Event, now: float) -> bool:
        """Take note of `event` and say whether something new has begun."""
        match event:
            case events.Started():
                return self._start(event, now)
            case events.Looked():
                if event.changes:
                    self.to_mend.add(event.role)
            case events.Progress():
                before, silent = self.progress, self.silent
                self.progress, self.received, self.silent = event, now, None
                new_phase = before is None or (before.phase, before.state) != (event.phase, event.state)
                return new_phase or silent is not None
            case events.Silent():
                new = self.silent is None
                self.silent = event
                return new
            case events.Waiting():
                new = event.what != self.waiting
                self.waiting = event.what
                return new
            case events.Said():
                self.said = event.what
            case events.TaskFailure():
                self.failure = event
                return True
            case events.RecordFound():
                self.outcome = str(event.record.get("outcome") or "")
        return False

    def _start(self, event: events.Started, now: float) -> bool:
        # A run that is under way is what the host does, whatever play looks at it.
        new = event.play != self.play and not (self.progress and not self._finished)
        if (event.play, event.task) != (self.play, self.task):
            self.task_since = now
        self.play, self.task, self.role, self.failure = event.play, event.task, event.role, None
        self.waiting = self.said = ""
        if new:
            # With --repeat it may have been through this before.
            self.since, self.progress, self.silent, self.outcome = now, None, None, ""
            self.to_mend, self.begun = set(), []
        if event.role in self.to_mend and event.role not in self.begun:
            self.begun.append(event.role)
            new = True
        return new

    def what(self, now: float) -> str:
        """Return what the host is doing, and for how long where that is a phase of its run."""
        if self.failure:
            return "unreachable" if self.failure.unreachable else f"failed in '{self.failure.task}'"
        if self.waiting:
            return f"waiting for {self.waiting}"
        if self.silent:
            return f"no answer for {duration(self.silent.seconds)}; its run goes on, waiting for it to answer"
        if self.progress is None:
            return f"{self.role}, {self._place()}" if self.role in self.to_mend else self.play
        if self._finished:
            return "finished"
        count = f" {self.progress.done}/{self.progress.total}" if self.progress.total else ""
        inside = self.inside(now)
        between = "starting" if self.progress.elapsed < 1 else "keeping the evidence"
        since = f" for {duration(inside)}" if self.progress.phase and inside >= 1 else ""
        return f"{self.progress.phase or between}{count}{since}"

    def _place(self) -> str:
        """Return which of the roles that have something to do there this one is; more may be known later."""
        return f"{self.begun.index(self.role) + 1} of {len(self.to_mend)}"

    def inside(self, now: float) -> float:
        """Return the seconds that its run has been in its phase: the host's own clock, carried on by ours."""
        return self.progress.phase_elapsed + now - self.received if self.progress else 0.0

    def clock(self, now: float) -> str:
        """Return for how long in all: the run's own clock, carried on by ours between two looks at it."""
        if self.failure or self.silent:
            return ""
        if self.progress is None:
            return f"{duration(now - self.since)} in all" if self.play and now - self.since >= 1 else ""
        if self._finished:
            return duration(self.progress.elapsed)
        return f"{duration(self.progress.elapsed + now - self.received)} in all"

    def detail(self, now: float, left: Left | None = None) -> str:
        """Return why it failed, what it waits for, its task and since when; of a run what is left, and what it says."""
        if self.failure:
            return self.failure.message
        if self.silent:
            return self.silent.message
        if self.state == "waiting":
            return "its turn"
        if self.outcome:
            return ""
        if self.progress is None or self._finished:
            # Its time comes first: a long name is cut.
            since = f"for {duration(now - self.task_since)}: " if self.task and now - self.task_since >= 1 else ""
            return f"{since}{self.task}{f': {self.said}' if self.said else ''}"
        return "; ".join(part for part in (str(left or ""), self.progress.said) if part)

    def remaining(self, history: History, now: float) -> Left | None:
        """Return what is left of its run, as `history` has it; None where nobody knows."""
        if self.over or self.progress is None:
            return None
        return history.remaining(self.progress, self.inside(now))


class Fleet:
    """All hosts of a job; `clock` gives monotonic seconds. Without a `history` nothing is estimated.

    Without `notes` what a look finds is no news: who changes nothing can tell it at the end, for all hosts together.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        history: History | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        notes: bool = True,
    ) -> None:
        self.clock = clock
        self.history = history
        self.hosts = {name: Standing(name) for name in names}
        self._began = clock()
        self._notes = notes
        self._said: set[str] = set()

    def take(self, event: events.Event) -> tuple[Standing, bool] | None:
        """Take note of `event`; give the host it is of, and whether something new has begun there."""
        name = getattr(event, "host", None)
        if name is None:
            return None
        host = self.hosts.setdefault(name, Standing(name, since=self.clock()))
        return host, host.take(event, self.clock())

    def news(self, event: events.Event) -> list[str]:
        """Return the lines that a person should read before the work goes on, each once."""
        lines: list[str] = []
        if isinstance(event, events.Looked | events.Busy) and not self._notes:
            lines = []
        elif isinstance(event, events.Looked | events.Noted):
            lines = [f"{event.host}: {note}" for note in event.notes]
        elif isinstance(event, events.InputsNoted):
            lines = list(event.notes)
        elif isinstance(event, events.Busy):
            lines = [f"{event.host}: the host is busy: {'; '.join(event.what)}"]
        new = [line for line in lines if line not in self._said]
        self._said.update(new)
        return new

    def remaining(self, host: Standing) -> Left | None:
        """Return what is left of a host's run, None where nobody knows."""
        return host.remaining(self.history, self.clock()) if self.history else None

    def by_weight(self) -> list[Standing]:
        """Return the hosts, the most important first: what went wrong, then who is furthest behind, done ones last."""
        return sorted(self.hosts.values(), key=_weight)

    def summary(self) -> str:
        """Return how many hosts are how far, how many an hour, and how long it may still take."""
        counts = Counter(host.state for host in self.hosts.values())
        parts = [f"{counts[state]} {state}" for state in ("failed", "unreachable", "running", "waiting", "done")]
        parts = [part for part in parts if not part.startswith("0 ")]
        seconds = self.clock() - self._began
        if counts["done"] and seconds >= SECONDS_FOR_A_RATE:
            parts.append(f"{3600 * counts['done'] / seconds:.0f} an hour")
        left = [self.remaining(host) for host in self.hosts.values() if not host.over]
        # The estimates of some hosts say nothing of the slowest.
        known = [one.seconds for one in left if one and not one.phase]
        if known and len(known) == len(left):
            parts.append(str(Left(max(known))))
        return " · ".join(parts)


def _weight(host: Standing) -> tuple[int, int, int]:
    rank = ("failed", "unreachable", "running", "waiting", "done").index(host.state)
    phase = host.progress.phase if host.progress else None
    done = (host.progress.done or 0) if host.progress else 0
    return rank, PHASES.index(phase) if phase in PHASES else -1 + host.over * len(PHASES), done
