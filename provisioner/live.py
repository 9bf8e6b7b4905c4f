"""Shows how a job goes on a terminal: a line for each host and one for all of them, kept up to date in place."""

from collections.abc import Sequence
from typing import TextIO

import rich.live
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from provisioner import bounds, events
from provisioner.fleet import Fleet, Standing
from provisioner.text import printable

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
        """Take note of `event`; what a person should read comes above the lines, and stays."""
        for line in self._fleet.news(event):
            said = printable(f"provisioner: {line}", bounds.LINE)
            self._console.print(said, markup=False, highlight=False, soft_wrap=True)
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
        footer += f" · {len(fleet.hosts) - len(shown)} not shown"
    now = fleet.clock()
    rows = [(host.name, host.what(), host.clock(now), host.waits_for(fleet.remaining(host))) for host in shown]
    widths = _widths(rows, max(1, width - 2))
    lines = [_line(host, cells, widths) for host, cells in zip(shown, rows, strict=True)]
    return [*lines, Text(_fit(footer, width).rstrip(), "bold")] if footer else lines


def _widths(rows: Sequence[tuple[str, ...]], room: int) -> list[int]:
    """The width of each column: that of its widest cell while there is room; the first two take a third at most."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    widths[:2] = [min(width, max(8, room // 3), room) for width in widths[:2]]
    for column in range(1, len(widths)):
        used = sum(widths[:column]) + column * len(GAP)
        widths[column] = max(0, min(widths[column], room - used))
    return widths


def _line(host: Standing, cells: tuple[str, ...], widths: list[int]) -> Text:
    # Plain text: a task's name may hold what rich would take for markup.
    fitted = (_fit(cell, width) for cell, width in zip(cells, widths, strict=True) if width)
    return Text(f"{MARKS[host.state]} {GAP.join(fitted)}".rstrip(), STYLES[host.state])


def _fit(text: str, width: int) -> str:
    """On one line, cut or filled to the width."""
    text = printable(" ".join(text.split()))
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
