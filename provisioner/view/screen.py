"""How wide a stream's terminal is, and lines that fit it: a terminal would break them within words."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import termios
from typing import TextIO

__all__ = ["fold", "folded", "is_gone", "show", "size", "wide", "width"]

USUAL = (80, 24)
"""Columns and lines of a terminal that does not say how many it has."""


def size(stream: TextIO) -> tuple[int, int]:
    """Return how many columns and lines the terminal of `stream` has; where it does not say, COLUMNS and LINES do."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except OSError:  # also where a stream only claims to be a terminal
        found = os.terminal_size((0, 0))
    usual = shutil.get_terminal_size(USUAL)
    return found.columns or usual.columns, found.lines or usual.lines


def width(stream: TextIO) -> int | None:
    """Return how many columns the terminal of `stream` has; None where it is none."""
    return size(stream)[0] if stream.isatty() else None


def wide(stream: TextIO | None = None) -> bool:
    """Return whether `stream` (default: stdout) is a terminal, where hosts with the same answer are told as one."""
    return (stream or sys.stdout).isatty()


def is_gone() -> bool:
    """Return whether this process writes to a terminal that was closed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            termios.tcgetattr(stream.fileno())
        except termios.error as error:  # EIO: the terminal is gone; all else: it is a file or the like
            if error.args[0] == errno.EIO:
                return True
    return False


def fold(line: str, stream: TextIO, indent: str = "  ") -> str:
    """Return `line` as the lines that `stream` shows: as it is where that is no terminal.

    No word is broken, unless it is longer than a line; all but the first begin with `indent`.
    """
    columns = width(stream)
    return line if columns is None else "\n".join(folded(line, columns, indent))


def show(line: str, indent: str = "  ") -> None:
    """Print `line`, folded where stdout is a terminal."""
    print(fold(line, sys.stdout, indent))


def folded(line: str, columns: int, indent: str = "  ") -> list[str]:
    """Return `line` as lines of at most `columns` cells; see fold()."""
    from rich.cells import cell_len  # noqa: PLC0415 - only for terminals
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if cell_len(line) <= columns:
        return [line]
    start = line[: len(line) - len(line.lstrip(" "))]
    indent = (start + indent) if columns > len(start + indent) + 2 else ""
    console = Console(width=columns)
    room = max(1, columns - len(indent))
    first, *_ = Text(line).wrap(console, columns, overflow="fold")
    rest = line[len(first.plain) :].lstrip(" ")
    shown = [first.plain.rstrip()]
    if rest:
        shown += [f"{indent}{one.plain.rstrip()}" for one in Text(rest).wrap(console, room, overflow="fold")]
    return shown
