"""Where each host of a job stands, as far as its events have told; the views of progress show it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner import events
from provisioner.phases import PHASES
from provisioner.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provisioner.history import History

__all__ = ["Fleet", "Standing"]

SECONDS_FOR_A_RATE = 30.0
"""Before, a rate would say nothing yet."""


@dataclass
class Standing:
    """What is known of a host; times by our own monotonic clock, in seconds."""

    name: str
    play: str = ""
    task: str = ""
    since: float = 0.0
    """When its play began."""
    progress: events.Progress | None = None
    received: float = 0.0
    """When `progress` came."""
    failure: events.Failure | None = None
    silent: events.Silent | None = None
    """Set while it does not answer."""
    waiting: str = ""
    """What has to be over before it can go on."""
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
                # A run that is under way is what the host does, whatever play looks at it.
                new = event.play != self.play and not (self.progress and not self._finished)
                self.play, self.task, self.failure, self.waiting = event.play, event.task, None, ""
                if new:
                    # With --repeat it may have been through this before.
                    self.since, self.progress, self.silent, self.outcome = now, None, None, ""
                return new
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
            case events.Failure():
                self.failure = event
                return True
            case events.RecordFound():
                self.outcome = str(event.record.get("outcome") or "")
        return False

    def what(self) -> str:
        """Say what the host is doing."""
        if self.failure:
            return "unreachable" if self.failure.unreachable else f"failed in '{self.failure.task}'"
        if self.waiting:
            return f"waiting for {self.waiting}"
        if self.silent:
            return f"no answer for {duration(self.silent.seconds)}; its run goes on, waiting for it to answer"
        if self.progress is None:
            return self.play
        if self._finished:
            return "finished"
        count = f" {self.progress.done}/{self.progress.total}" if self.progress.total else ""
        between = "starting" if self.progress.elapsed < 1 else "keeping the evidence"
        return f"{self.progress.phase or between}{count}"

    def clock(self, now: float) -> str:
        """Say for how long: the run's own clock, carried on by ours between two looks at it."""
        if self.failure or self.silent:
            return ""
        if self.progress is None:
            return duration(now - self.since) if self.play and now - self.since >= 1 else ""
        if self._finished:
            return duration(self.progress.elapsed)
        ahead = now - self.received
        inside, whole = self.progress.phase_elapsed + ahead, self.progress.elapsed + ahead
        return f"{duration(inside)} of {duration(whole)}"

    def waits_for(self, left: float | None = None) -> str:
        """Say what it waits for; of a run, for how long still, where `left` tells the seconds."""
        if self.failure:
            return self.failure.message
        if self.silent:
            return self.silent.message
        if self.state == "waiting":
            return "its turn"
        if self.progress is None or self._finished:
            return self.task if not self.outcome else ""
        return f"about {duration(left)} more" if left else ""

    def remaining(self, history: History, now: float) -> float | None:
        """Give the seconds that its run will still take, as `history` has it; None where nobody knows."""
        if self.over:
            return 0.0
        if self.progress is None or not self.progress.phase:
            return history.remaining(self.name)
        inside = self.progress.phase_elapsed + now - self.received
        return history.remaining(self.name, self.progress.phase, inside)


class Fleet:
    """All hosts of a job; `clock` gives monotonic seconds. Without a `history` nothing is estimated."""

    def __init__(
        self,
        names: Iterable[str] = (),
        history: History | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.history = history
        self.hosts = {name: Standing(name) for name in names}
        self._began = clock()
        self._said: set[str] = set()

    def take(self, event: events.Event) -> tuple[Standing, bool] | None:
        """Take note of `event`; give the host it is of, and whether something new has begun there."""
        name = getattr(event, "host", None)
        if name is None:
            return None
        host = self.hosts.setdefault(name, Standing(name, since=self.clock()))
        return host, host.take(event, self.clock())

    def news(self, event: events.Event) -> list[str]:
        """Give the lines that a person should read before what `event` tells of goes on, each once."""
        lines: list[str] = []
        if isinstance(event, events.Looked | events.Noted):
            lines = [f"{event.host}: {note}" for note in event.notes]
        elif isinstance(event, events.InputsNoted):
            lines = list(event.notes)
        elif isinstance(event, events.Busy):
            lines = [f"{event.host}: the host is busy: {'; '.join(event.what)}"]
        new = [line for line in lines if line not in self._said]
        self._said.update(new)
        return new

    def remaining(self, host: Standing) -> float | None:
        """Give the seconds that a host's run will still take, None where nobody knows."""
        return host.remaining(self.history, self.clock()) if self.history else None

    def by_weight(self) -> list[Standing]:
        """Give the hosts, those first that matter most: what went wrong, who is furthest behind, and done ones last."""
        return sorted(self.hosts.values(), key=_weight)

    def summary(self) -> str:
        """Say how many hosts are how far, how many an hour, and how long it may still take."""
        counts = Counter(host.state for host in self.hosts.values())
        parts = [f"{counts[state]} {state}" for state in ("failed", "unreachable", "running", "waiting", "done")]
        parts = [part for part in parts if not part.startswith("0 ")]
        seconds = self.clock() - self._began
        if counts["done"] and seconds >= SECONDS_FOR_A_RATE:
            parts.append(f"{3600 * counts['done'] / seconds:.0f} an hour")
        left = [self.remaining(host) for host in self.hosts.values() if not host.over]
        known = [seconds for seconds in left if seconds]
        if known:
            parts.append(f"about {duration(max(known))} left")
        return " · ".join(parts)


def _weight(host: Standing) -> tuple[int, int, int]:
    rank = ("failed", "unreachable", "running", "waiting", "done").index(host.state)
    phase = host.progress.phase if host.progress else None
    done = (host.progress.done or 0) if host.progress else 0
    return rank, PHASES.index(phase) if phase in PHASES else -1 + host.over * len(PHASES), done
