"""How texts, numbers and rows look to a person."""

import re
from collections.abc import Sequence

from provisioner import bounds

__all__ = ["counted", "duration", "printable", "table"]

_BREAK = re.compile(r"[^\S ]+")
"""Whitespace that is no plain blank: tabs, ends of lines of every kind."""


def printable(text: object, most: int = bounds.TEXT) -> str:
    """Give a text that anybody may have written as one line of at most `most` characters, to be shown on a terminal.

    What a terminal obeys instead of showing it (escapes, changes of direction), and what it cannot show, is written
    as an escape of Python's.
    """
    line = str(text)
    if len(line) <= most and line.isprintable():
        return line
    cut = len(line) > most
    line = _BREAK.sub(" ", line[:most])
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in line)
    return f"{line[: most - 1]}…" if cut or len(line) > most else line


def counted(number: int, noun: str) -> str:
    """Give a number of things as 1 run or 2 runs."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Give a length of time, in seconds, as 4.2s, 2m08s or 1h02m08s."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Give rows under a header in columns, numbers to the right; None shows as a dash.

    The lines are as long as they need to be: a terminal wraps them, and a program finds the columns. A
    cell is one line.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    lines = zip(*map(_column, header, columns), strict=True)
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def _column(title: str, values: Sequence[object]) -> list[str]:
    """Give the title and the values as texts of one width."""
    texts = [printable(title), *map(_cell, values)]
    width = max(map(len, texts))
    numbers = values and set(map(type, values)) <= {int, float, bool, type(None)}
    justify = str.rjust if numbers else str.ljust
    return [justify(text, width) for text in texts]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else printable(value)
