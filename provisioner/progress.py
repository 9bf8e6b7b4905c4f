"""Shows how a job goes: a live line for each host on a terminal, plain lines at a sane rate anywhere else."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from provisioner import events
from provisioner.job import Watcher
from provisioner.text import duration

__all__ = ["Hosts", "Lines", "show"]

INTERVAL = 30.0
"""Seconds between two plain lines of a host that is still doing the same."""


@contextmanager
def show(*, verbosity: int = 0, plain: bool = False, stream: TextIO | None = None) -> Iterator[Watcher]:
    """Give the view that suits `stream` (default: stderr), for as long as the context lasts.

    `verbosity` above 0 shows Ansible's own output, which a live view would tear: then lines are plain.
    """
    stream = stream or sys.stderr
    if plain or verbosity or not stream.isatty():
        yield Lines(stream, verbose=bool(verbosity))
        return
    from provisioner.live import Live  # noqa: PLC0415 - rich is only for terminals

    view = Live(stream)
    try:
        yield view
    finally:
        view.close()


@dataclass
class _Host:
    """What is known of a host, and since when by our own monotonic clock."""

    play: str = ""
    task: str = ""
    since: float = 0.0
    progress: events.Progress | None = None
    received: float = 0.0
    silent: events.Silent | None = None
    failure: str = ""
    waiting: str = ""
    told: float = 0.0

    def take(self, event: events.Event, now: float) -> bool:
        """Take note of `event` and say whether something new has begun."""
        match event:
            case events.Started():
                new = event.play != self.play
                self.play, self.task, self.failure, self.waiting = event.play, event.task, "", ""
                if new:
                    self.since, self.progress, self.silent = now, None, None
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
                self.failure = event.task  # why, the command says at the end
                return True
        return False

    def what(self) -> str:
        """Say what the host is doing."""
        if self.failure:
            return f"failed in '{self.failure}'"
        if self.waiting:
            return f"waiting for {self.waiting}"
        if self.silent is not None:
            return f"no answer for {duration(self.silent.seconds)}; its run goes on, waiting for it to answer"
        if self.progress is None:
            return self.play
        if self.progress.state == "finished":
            return "finished"
        count = f" {self.progress.done}/{self.progress.total}" if self.progress.total else ""
        between = "starting" if self.progress.elapsed < 1 else "keeping the evidence"
        return f"{self.progress.phase or between}{count}"

    def clock(self, now: float) -> str:
        """Say for how long: the run's own clock, carried on by ours between two looks at it."""
        if self.failure or self.silent:
            return ""
        if self.progress is None:
            return duration(now - self.since) if now - self.since >= 1 else ""
        if self.progress.state == "finished":
            return duration(self.progress.elapsed)
        ahead = now - self.received
        inside, whole = self.progress.phase_elapsed + ahead, self.progress.elapsed + ahead
        return f"{duration(inside)} of {duration(whole)}"


class Hosts:
    """What is known of all hosts; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.all: dict[str, _Host] = {}

    def take(self, event: events.Event) -> tuple[str, _Host, bool] | None:
        """Take note of `event` and give its host, by name and state, and whether something new has begun there."""
        name = getattr(event, "host", None)
        if name is None:
            return None
        host = self.all.setdefault(name, _Host(since=self.clock()))
        return name, host, host.take(event, self.clock())


class Lines:
    """Plain lines: at once when a host begins something new, else one in INTERVAL seconds for each host."""

    def __init__(self, stream: TextIO, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._verbose = verbose
        self._hosts = Hosts(clock)

    def event(self, event: events.Event) -> None:
        """Take note of `event`."""
        if isinstance(event, events.Output):
            if self._verbose:
                print(event.text, file=self._stream, flush=True)
            return
        if getattr(event, "play", "") == events.VALIDATION_PLAY:
            return  # it takes a moment, and what is wrong is said once, at the end
        taken = self._hosts.take(event)
        if taken and taken[2]:
            self._tell(taken[0], taken[1])

    def tick(self) -> None:
        """Tell of the hosts that have been silent for long."""
        for name, host in self._hosts.all.items():
            over = host.failure or (host.progress and host.progress.state == "finished")
            if not over and self._hosts.clock() - host.told >= INTERVAL:
                self._tell(name, host)

    def _tell(self, name: str, host: _Host) -> None:
        now = self._hosts.clock()
        since = host.clock(now)
        doing = f" ({host.task})" if host.progress is None and host.told and now - host.told >= INTERVAL else ""
        host.told = now
        print(f"{name}: {host.what()}{doing}{', ' + since if since else ''}", file=self._stream, flush=True)
