"""Rows under a header: plain for a program, a row a line; on a terminal as wide as that is, no word broken."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, TextIO

from provisioner.text.display import printable
from provisioner.view import screen

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["table"]

NARROW = 80
"""Columns of a terminal below which nothing stands side by side."""
GAP = 2
INDENT = "    "
COLOURS = dict.fromkeys(("fail", "failed", "rejected", "unreachable"), "red") | dict.fromkeys(
    ("warn", "incomplete", "interrupted"), "yellow"
)
"""Of cells that are no more than such a word."""

Rows = Sequence[Sequence[str]]


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    stream: TextIO | None = None,
    below: Collection[str] = (),
) -> str:
    """Return rows under a header in columns for `stream` (default: stdout), numbers to the right; None is a dash.

    Where that is no terminal, lines are as long as they need to be, a row each: a program finds the columns. On a
    terminal cells are folded between words. The columns `below`, and then the last ones, come below their row where
    all do not fit side by side; on a narrow one each cell has a line of its own.
    """
    stream = stream or sys.stdout
    texts = [list(map(_cell, row)) for row in rows]
    numbers = [_is_numeric([row[column] for row in rows]) for column in range(len(header))]
    titles = [printable(title) for title in header]
    columns = screen.width(stream)
    if columns is None:
        return _plain(titles, texts, numbers)
    if columns < NARROW:
        return _one_below_the_other(titles, texts, columns)
    return _Fitted(titles, texts, numbers, columns, stream).text(below)


def _is_numeric(values: Sequence[object]) -> bool:
    return bool(values) and set(map(type, values)) <= {int, float, bool, type(None)}


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else printable(value)


def _plain(titles: Sequence[str], texts: Rows, numbers: Sequence[bool]) -> str:
    columns = []
    for column, title in enumerate(titles):
        cells = [title, *(row[column] for row in texts)]
        widest = max(map(len, cells))
        columns.append([cell.rjust(widest) if numbers[column] else cell.ljust(widest) for cell in cells])
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _one_below_the_other(titles: Sequence[str], texts: Rows, columns: int) -> str:
    """Return each row as lines of key and value, with an empty line after it."""
    blocks = [
        "\n".join(
            line
            for title, text in zip(titles, row, strict=True)
            for line in screen.folded(f"{title}: {text}", columns)
            if text
        )
        for row in texts
    ]
    return "\n\n".join(blocks)


class _Fitted:
    """A table on a terminal that is wide enough for columns."""

    def __init__(
        self, titles: Sequence[str], texts: Rows, numbers: Sequence[bool], columns: int, stream: TextIO
    ) -> None:
        from rich.cells import cell_len  # noqa: PLC0415 - only for terminals

        self._titles, self._texts, self._numbers = titles, texts, numbers
        self._columns, self._stream = columns, stream
        cells = [[title, *(row[column] for row in texts)] for column, title in enumerate(titles)]
        self._widest = [max(map(cell_len, column)) for column in cells]
        self._longest_word = [max(map(cell_len, ["", *" ".join(column).split()])) for column in cells]

    def text(self, below: Collection[str]) -> str:
        """Return the table, with colours where the terminal has them."""
        every = list(range(len(self._titles)))
        beside = [column for column in every if self._titles[column] not in below]
        # All, else those that matter most, else ever fewer of them; the first one fits, as a last resort broken.
        choices = [every, *(beside[:count] for count in range(len(beside), 0, -1))]
        shown = next((one for one in choices if self._widths(one)), [0])
        return self._render(shown, self._widths(shown) or [self._columns])

    def _widths(self, shown: Sequence[int]) -> list[int]:
        """Return the widths of columns that fit side by side with no word broken; [] where they do not."""
        least = [self._longest_word[column] for column in shown]
        left = self._columns - sum(least) - GAP * (len(shown) - 1)
        if left < 0:
            return []
        # What is left goes to those that need little first: they are whole then.
        wanting = sorted(range(len(shown)), key=lambda place: self._widest[shown[place]] - least[place])
        widths = list(least)
        for nth, place in enumerate(wanting):
            more = min(self._widest[shown[place]] - least[place], left // (len(shown) - nth))
            widths[place] += more
            left -= more
        return widths

    def _render(self, shown: Sequence[int], widths: Sequence[int]) -> str:
        from rich.console import Console  # noqa: PLC0415 - only for terminals
        from rich.text import Text  # noqa: PLC0415

        hidden = [column for column in range(len(self._titles)) if column not in shown]
        # Both sizes, or rich takes a dumb terminal's for another; it knows by itself whether there are colours.
        console = Console(file=self._stream, width=self._columns, height=25, highlight=False)
        styled = [
            [Text(self._titles[column], "bold") for column in shown],
            *([Text(row[column], COLOURS.get(row[column], "")) for column in shown] for row in self._texts),
        ]
        with console.capture() as captured:
            if hidden:
                for row, texts in zip(styled, [None, *self._texts], strict=True):
                    console.print(self._grid([row], shown, widths))
                    if texts:
                        console.print(*self._pairs(texts, hidden), sep="\n", markup=False, soft_wrap=True)
            else:
                console.print(self._grid(styled, shown, widths))
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def _grid(self, rows: Sequence[Sequence[Text]], shown: Sequence[int], widths: Sequence[int]) -> Table:
        from rich.table import Table  # noqa: PLC0415 - as above

        grid = Table.grid(padding=(0, GAP, 0, 0))
        for column, width in zip(shown, widths, strict=True):
            grid.add_column(width=width, justify="right" if self._numbers[column] else "left", overflow="fold")
        for row in rows:
            grid.add_row(*row)
        return grid

    def _pairs(self, texts: Sequence[str], hidden: Sequence[int]) -> list[str]:
        """Return what stands below its row: name and value of each hidden column, as many in a line as fit."""
        from rich.cells import cell_len  # noqa: PLC0415 - as above

        lines = [""]
        for pair in (f"{self._titles[column]} {texts[column]}" for column in hidden if texts[column] not in {"", "-"}):
            joined = f"{lines[-1]}{' ' * GAP}{pair}" if lines[-1] else pair
            if lines[-1] and cell_len(joined) > self._columns - len(INDENT):
                lines.append(pair)
            else:
                lines[-1] = joined
        return [part for line in lines if line for part in screen.folded(f"{INDENT}{line}", self._columns, "")]
