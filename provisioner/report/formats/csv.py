"""CSV: every field of a record is a column; what a spreadsheet would compute is a text."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from provisioner.report import columns
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

__all__ = ["write"]

FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)
"""What a cell begins with that a spreadsheet computes (OWASP, CSV Injection)."""


def write(value: Any, stream: TextIO) -> None:
    """Write the runs of the document, or what a query made of it, as rows; a header where there are fields."""
    header, rows = columns.of(value)
    if not header:
        lone = io.StringIO()
        csv.writer(lone, lineterminator="\n").writerows(map(_cells, rows))
        stream.write(lone.getvalue().rstrip("\n") + "\n")  # without rows, an empty line
        return
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_cells(header))
    writer.writerows(map(_cells, rows))


def _cells(row: Iterable[Any]) -> list[Any]:
    return ["" if value is None else _disarmed(columns.cell(value)) for value in row]


def _disarmed(value: Any) -> Any:
    """Return a text with a quote before it where a spreadsheet would compute it; other values as they are."""
    if not isinstance(value, str):
        return value
    shown = printable(value, len(value) + 1)
    return f"'{shown}" if value.lstrip().startswith(FORMULA) or value.startswith(("\t", "\r", "\n")) else shown
