"""How numbers and rows look to a person."""

from collections.abc import Sequence

__all__ = ["duration", "table"]


def duration(seconds: float) -> str:
    """Give a length of time, in seconds, as 4.2s, 2m08s or 1h02m08s."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{rest:02}s" if hours else f"{minutes}m{rest:02}s"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Give rows under a header in columns, numbers to the right; None shows as a dash.

    The lines are as long as they need to be: a terminal wraps them, and a program finds the columns.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [
        bool(rows) and all(value is None or isinstance(value, int | float) for value in column)
        for column in zip(*rows, strict=True)
    ] or [False] * len(header)

    def line(texts: Sequence[str]) -> str:
        parts = zip(texts, widths, right, strict=True)
        return "  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in parts).rstrip()

    return "\n".join(line(texts) for texts in (header, *cells))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
