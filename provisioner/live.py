"""Shows how a job goes on a terminal: a line for each host and one for all of them, kept up to date in place."""

from typing import TextIO

import rich.live
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from provisioner import events
from provisioner.fleet import Fleet, Standing

__all__ = ["Live"]

REFRESH = 0.5
"""Seconds between two drawings."""
MARKS = {"waiting": "·", "running": "●", "done": "✓", "failed": "✗", "unreachable": "✗"}
STYLES = {"waiting": "dim", "running": "", "done": "green", "failed": "red", "unreachable": "red"}
GAP = "  "


class Live:
    """A line for each host, as many as the terminal has room for, and one below that sums up."""

    def __init__(self, stream: TextIO, fleet: Fleet | None = None) -> None:
        self._fleet = fleet or Fleet()
        self._console = Console(file=stream)
        self._live = rich.live.Live(
            console=self._console,
            auto_refresh=False,  # tick() does it, in the thread that changes what is shown
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()
        self._drawn = 0.0

    def event(self, event: events.Event) -> None:
        """Take note of `event`."""
        self._fleet.take(event)

    def tick(self) -> None:
        """Draw anew, a few times a second at most: events come in bursts."""
        now = self._fleet.clock()
        if now - self._drawn >= REFRESH:
            self._drawn = now
            width, height = self._console.size
            self._live.update(Text("\n", no_wrap=True).join(picture(self._fleet, width, height)), refresh=True)

    def close(self) -> None:
        """Take the lines away: what came of the job is printed by the command."""
        self._live.stop()


def picture(fleet: Fleet, width: int, height: int) -> list[Text]:
    """Give what a terminal of that size shows: less than `height` lines, each at most `width` cells wide.

    All hosts in their order where there is room for them, else those that matter most and how many are not shown.
    """
    room = max(1, height - 2)  # the summary, and the line where the cursor rests
    shown = list(fleet.hosts.values())
    footer = fleet.summary()
    if len(shown) > room:
        shown = fleet.by_weight()[:room]
        footer = f"{len(fleet.hosts) - len(shown)} more not shown · {footer}"
    now = fleet.clock()
    rows = [(host, host.what(), host.clock(now), _waits(fleet, host, now)) for host in shown]
    widths = _widths([(host.name, *cells) for host, *cells in rows], width - 2)
    lines = [_line(host, (host.name, *cells), widths) for host, *cells in rows]
    return [*lines, Text(set_cell_size(footer, min(width, cell_len(footer))), "bold")] if footer else lines


def _waits(fleet: Fleet, host: Standing, now: float) -> str:
    return " ".join(host.waits_for(now, fleet.remaining(host)).split())


def _widths(rows: list[tuple[str, ...]], room: int) -> list[int]:
    """Give the width of each column: its widest cell, the name a third of the room at most; the last has the rest."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    widths[0] = min(widths[0], max(8, room // 3))
    for column in range(1, len(widths)):
        used = sum(widths[:column]) + column * len(GAP)
        widths[column] = max(0, min(widths[column], room - used))
    return widths


def _line(host: Standing, cells: tuple[str, ...], widths: list[int]) -> Text:
    # Plain text: a task's name may hold what rich would take for markup.
    fitted = (_fit(cell, width) for cell, width in zip(cells, widths, strict=True) if width)
    return Text(f"{MARKS[host.state]} {GAP.join(fitted)}".rstrip(), STYLES[host.state])


def _fit(text: str, width: int) -> str:
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
