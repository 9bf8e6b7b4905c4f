"""Shows how a job goes: live on a terminal, JSON lines for a program, plain lines at a sane rate anywhere else."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TextIO

from provisioner.ansible import events
from provisioner.ansible.job import Watcher
from provisioner.text import bounds, jsontext
from provisioner.text.display import printable
from provisioner.view import screen
from provisioner.view.fleet import Fleet, Standing

__all__ = ["JsonLines", "Lines", "show"]

DUMB = {"dumb", "unknown"}
"""Values of TERM of terminals on which nothing can be drawn anew."""
INTERVAL = 10.0
"""Seconds between two plain lines of a host that is still doing the same."""
CALLED = {events.TaskFailure: "Failure", events.HostFinding: "Finding"}
"""What events are called for a program; all others as their class is."""
MANY = 20
"""With more hosts than so many, one line for all of them takes the place of one for each that is still at it."""


@contextmanager
def show(
    hosts: Iterable[str] | Fleet = (),
    *,
    verbosity: int = 0,
    as_json: bool = False,
    stream: TextIO | None = None,
) -> Iterator[Watcher]:
    """Yield the view of a job on `hosts` that suits `stream` (default: stderr), for as long as the context lasts.

    `verbosity` above 0 shows Ansible's own output, which a live view would tear: then lines are plain.
    """
    stream = stream or sys.stderr
    if as_json:
        yield JsonLines(stream)
        return
    fleet = hosts if isinstance(hosts, Fleet) else Fleet(hosts)
    if verbosity or not stream.isatty() or os.environ.get("TERM") in DUMB:
        yield Lines(stream, fleet, verbose=bool(verbosity))
        return
    from provisioner.view.live import Live  # noqa: PLC0415 - rich is only for terminals

    view = Live(stream, fleet)
    try:
        yield view
    finally:
        view.close()


class Lines:
    """Plain lines: at once when a host begins something new, else one in INTERVAL seconds."""

    def __init__(self, stream: TextIO, fleet: Fleet | None = None, *, verbose: bool = False) -> None:
        self._stream = stream
        self._verbose = verbose
        self._fleet = fleet or Fleet()
        self._told: dict[str, float] = {}
        self._printed = self._summed_up = self._fleet.clock()

    def event(self, event: events.Event) -> None:
        """Take note of `event`."""
        if isinstance(event, events.Output):
            if self._verbose:
                for line in event.text.splitlines():
                    # Nothing that a host has Ansible print is to be taken for a line of ours.
                    self._print(f"  {line}" if line.lstrip().startswith("provisioner:") else line)
            return
        if isinstance(event, events.TaskFailure) and event.invalid_inputs:
            return  # what is wrong is said once, at the end
        for line in self._fleet.news(event):
            self._print(f"provisioner: {line}")
        taken = self._fleet.take(event)
        if taken and taken[1]:
            self._tell(taken[0])

    def tick(self) -> None:
        """Tell of the hosts that have been silent for long; of many hosts, or before any, how they are all in all."""
        now, hosts = self._fleet.clock(), self._fleet.hosts
        many = len(hosts) > MANY
        for name, told in () if many else list(self._told.items()):
            if not hosts[name].over and now - told >= INTERVAL:
                self._tell(hosts[name])
        since = self._summed_up if many else self._printed
        if now - since >= INTERVAL and not all(host.over for host in hosts.values()):
            self._summed_up = now
            self._print(self._fleet.summary())

    def _tell(self, host: Standing) -> None:
        now = self._fleet.clock()
        told = self._told.get(host.name)
        # What a host begins is told by its name alone, lest each line tell it twice.
        again = told is not None and now - told >= INTERVAL
        detail = host.detail(now, self._fleet.remaining(host)) if again and not host.over else ""
        doing = ", ".join(part for part in (host.what(now), host.clock(now)) if part)
        self._told[host.name] = now
        self._print(f"{host.name}: {doing}{f'; {detail}' if detail else ''}")

    def _print(self, line: str) -> None:
        self._printed = self._fleet.clock()
        print(screen.fold(printable(line, bounds.LINE), self._stream), file=self._stream, flush=True)


class JsonLines:
    """Each event as a JSON object on a line of its own, with the time (UTC, seconds since the epoch) it was seen at."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock

    def event(self, event: events.Event) -> None:
        """Print `event`; not Ansible's own output, and of a record what names it: the whole is the command's result."""
        if isinstance(event, events.Output):
            return
        if isinstance(event, events.RecordFound):
            told = {"host": event.host, **{key: event.record.get(key) for key in ("run_id", "outcome")}}
        else:
            told = asdict(event)
        line = {"event": CALLED.get(type(event), type(event).__name__), "time": round(self._clock(), 3), **told}
        print(jsontext.dumps(line, indent=None), file=self._stream, flush=True)

    def tick(self) -> None:
        """Do nothing between events."""
