"""How texts and numbers look to a person."""

import re

from provisioner.text import bounds

__all__ = ["about", "counted", "duration", "printable"]

_BREAK = re.compile(r"[^\S ]+")
"""Whitespace that is no plain blank: tabs, ends of lines of every kind."""


def printable(text: object, most: int = bounds.TEXT) -> str:
    """Return a text that anybody may have written as one line of at most `most` characters, to be shown on a terminal.

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
    """Return a number of things as 1 run or 2 runs."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a length of time, in seconds, as 4.2s, 2m08s or 1h02m08s."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s"


def about(seconds: float) -> str:
    """Return a length of time that is an estimate, as 20s, 4m or 1h10m: no more exact than it is."""
    if seconds < 55:
        return f"{max(10, round(seconds, -1)):.0f}s"
    minutes = max(1, round(seconds / 60))
    hours, minutes = divmod(minutes if minutes < 60 else round(minutes, -1), 60)
    return (f"{hours}h{minutes:02}m" if minutes else f"{hours}h") if hours else f"{minutes}m"
