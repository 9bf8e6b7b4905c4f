"""A table for people: a row for each run, or for each item of what a query made; a lone value as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioner.report import columns
from provisioner.report.document import is_document, runs_table
from provisioner.text import bounds
from provisioner.text.display import printable
from provisioner.view import screen
from provisioner.view.tables import table

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["write"]


def write(value: Any, stream: TextIO) -> None:
    """Write the document, or a list or mapping that a query made of it, as wide as the stream's terminal is."""
    stream.write(f"{_text(value, stream)}\n")


def _text(value: Any, stream: TextIO) -> str:
    if is_document(value):
        return runs_table(value["runs"], stream)
    header, rows = columns.of(value)
    if header:
        return table(header, [[columns.cell(cell) for cell in row] for row in rows], stream)
    lines = ("  ".join("-" if cell is None else _shown(cell) for cell in row) for row in rows)
    return "\n".join(screen.fold(line, stream) for line in lines)


def _shown(value: Any) -> str:
    return printable(columns.cell(value), bounds.LINE)
