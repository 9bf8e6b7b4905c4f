"""JSON, indented by two: the document, or any value that a query made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioner.report.document import is_document, is_unread
from provisioner.text import fast_json, jsontext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from provisioner.store import Text

__all__ = ["write"]


def write(value: Any, stream: TextIO) -> None:
    """Write a value; where it is an object with fields of records that are not read yet, one at a time is read."""
    if isinstance(value, dict) and any(map(is_unread, value.values())):
        stream.write("{")
        for number, (name, field) in enumerate(value.items()):
            stream.write(f"{',' if number else ''}\n  {jsontext.dumps(name)}: ")
            stream.writelines(_records(field) if is_unread(field) else [_inside(jsontext.dumps(field), 2)])
        stream.write("\n}\n")
        return
    items = value["runs"] if is_document(value) else value
    stream.write(f"{fast_json.writer(len(items) if isinstance(items, list) else 1)(value)}\n")


def _records(field: dict[str, Text] | list[Text]) -> Iterator[str]:
    """Yield an object's field, which is an object or a list of records."""
    read, write = fast_json.reader(len(field)), fast_json.writer(len(field))
    if isinstance(field, dict):
        items = [(f"{jsontext.dumps(name)}: ", text) for name, text in field.items()]
    else:
        items = [("", text) for text in field]
    begin, end = "{}" if isinstance(field, dict) else "[]"
    yield begin
    for number, (before, text) in enumerate(items):
        yield f"{',' if number else ''}\n    {before}{_inside(write(read(text.json)), 4)}"
    yield f"\n  {end}"


def _inside(text: str, columns: int) -> str:
    """Return a value's JSON as it stands within an object, so many columns to the right."""
    return text.replace("\n", "\n" + " " * columns)  # no text within JSON has a line's end
