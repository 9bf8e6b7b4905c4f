"""Shows how a job goes on a terminal: a line for each host, kept up to date in place."""

from typing import TextIO

import rich.live
from rich.console import Console
from rich.table import Table
from rich.text import Text

from provisioner import events
from provisioner.progress import Hosts

__all__ = ["Live"]


REFRESH = 0.2
"""Seconds between two drawings."""


class Live:
    """One line for each host, kept up to date in place."""

    def __init__(self, stream: TextIO) -> None:
        self._hosts = Hosts()
        self._live = rich.live.Live(
            console=Console(file=stream),
            auto_refresh=False,  # tick() does it, in the thread that changes what is shown
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()
        self._drawn = 0.0

    def event(self, event: events.Event) -> None:
        """Take note of `event`."""
        self._hosts.take(event)

    def tick(self) -> None:
        """Draw anew, a few times a second at most: events come in bursts."""
        now = self._hosts.clock()
        if now - self._drawn >= REFRESH:
            self._drawn = now
            self._live.update(self._table(), refresh=True)

    def close(self) -> None:
        """Take the lines away: what came of the job is printed by the command."""
        self._live.stop()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, host in self._hosts.all.items():
            task = host.task if host.progress is None and not host.failure else ""
            cells = [name, host.what(), host.clock(self._hosts.clock()), task]
            # Plain text: a task's name may hold what rich would take for markup.
            table.add_row(*(Text(cell, overflow="ellipsis", no_wrap=True) for cell in cells))
        return table
