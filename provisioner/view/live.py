"""Shows how a job goes on a terminal: a line for each host and one for all of them, kept up to date in place."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

import rich.live
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from provisioner.ansible import events
from provisioner.text import bounds
from provisioner.text.display import printable
from provisioner.view import screen
from provisioner.view.fleet import Fleet, Standing

__all__ = ["Live"]

REFRESH = 0.5
"""Seconds between two drawings."""
MARKS = {"waiting": "·", "running": "●", "done": "✓", "failed": "✗", "unreachable": "✗"}
STYLES = {"waiting": "dim", "running": "", "done": "green", "failed": "red", "unreachable": "red"}
GAP = "  "
KEPT = 10
"""So many of the last notes are said again when the terminal's size has changed."""


class Live:
    """A line for each host, as many as the terminal has room for, and one below that sums up."""

    def __init__(self, stream: TextIO, fleet: Fleet | None = None) -> None:
        self._fleet = fleet or Fleet()
        self._stream = stream
        self._size = screen.size(stream)
        self._console = Console(file=stream, width=self._size[0], height=self._size[1])
        self._notes: deque[str] = deque(maxlen=KEPT)
        self._live = self._start()
        self._drawn = 0.0

    def _start(self) -> rich.live.Live:
        live = rich.live.Live(
            console=self._console,
            auto_refresh=False,  # tick() does it, in the thread that changes what is shown
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        live.start()
        return live

    def event(self, event: events.Event) -> None:
        """Take note of `event`; what a person should read comes above the lines, and stays."""
        for line in self._fleet.news(event):
            said = printable(f"provisioner: {line}", bounds.LINE)
            self._notes.append(said)
            self._note(said)
        self._fleet.take(event)

    def tick(self) -> None:
        """Draw anew, a few times a second at most: events come in bursts."""
        now = self._fleet.clock()
        if now - self._drawn >= REFRESH:
            self._drawn = now
            if (size := screen.size(self._stream)) != self._size:
                self._begin_anew(size)
            lines = picture(self._fleet, *size)
            self._live.update(Text("\n", no_wrap=True).join(lines), refresh=True)

    def close(self) -> None:
        """Take the lines away: what came of the job is printed by the command."""
        with suppress(OSError):  # of a terminal that is gone
            self._live.stop()

    def _begin_anew(self, size: tuple[int, int]) -> None:
        """Clear the screen, whose size has changed: nobody knows where the terminal has moved our lines.

        What was said above them is said again.
        """
        self._live.stop()
        self._size = size
        self._console = Console(file=self._stream, width=size[0], height=size[1])
        self._console.clear()
        for said in self._notes:
            self._note(said)
        self._live = self._start()

    def _note(self, said: str) -> None:
        text = screen.fold(said, self._stream)
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def picture(fleet: Fleet, width: int, height: int) -> list[Text]:
    """Return what a terminal of that size shows: less than `height` lines, each at most `width` cells wide.

    All hosts in their order where there is room for them, else those that matter most and how many are not shown.
    """
    room = max(1, height - 2)  # the summary, and the line where the cursor rests
    shown = list(fleet.hosts.values())
    footer = fleet.summary()
    if len(shown) > room:
        shown = fleet.by_weight()[:room]
        footer += f" · {len(fleet.hosts) - len(shown)} not shown"
    now = fleet.clock()
    rows = [(host.name, host.what(now), host.clock(now), host.detail(now, fleet.remaining(host))) for host in shown]
    widths = _widths(rows, max(1, width - 2))
    lines = [_line(host, cells, widths) for host, cells in zip(shown, rows, strict=True)]
    return [*lines, Text(_fit(footer, width).rstrip(), "bold")] if footer else lines


def _widths(rows: Sequence[tuple[str, ...]], room: int) -> list[int]:
    """Return each column's width: that of its widest cell while there is room; the second takes two fifths at most."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    widths[:2] = [min(widths[0], room), min(widths[1], max(8, 2 * room // 5))]
    for column in range(1, len(widths)):
        used = sum(widths[:column]) + column * len(GAP)
        widths[column] = max(0, min(widths[column], room - used))
    return widths


def _line(host: Standing, cells: tuple[str, ...], widths: list[int]) -> Text:
    # Plain text: a task's name may hold what rich would take for markup.
    fitted = (_fit(cell, width) for cell, width in zip(cells, widths, strict=True) if width)
    return Text(f"{MARKS[host.state]} {GAP.join(fitted)}".rstrip(), STYLES[host.state])


def _fit(text: str, width: int) -> str:
    """Return it on one line, filled to the width, or cut: behind a word, if more than one fits."""
    text = printable(" ".join(text.split()))
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    whole = set_cell_size(f"{text} ", width - 1)  # with the blank behind a word that just fits
    words = whole.rpartition(" ")[0].rstrip()
    return set_cell_size(f"{words or set_cell_size(text, width - 1)}…", width)
