"""A value of JSON as rows under a header: each field of a mapping is a column, those within fields too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from provisioner.report.document import is_document, is_unread
from provisioner.text import fast_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["cell", "of"]


def of(value: Any) -> tuple[list[str], Iterable[list[Any]]]:
    """Return a header and rows, one for each run of the document, or each item of a list; a lone value is one.

    Without a header where it is not made of mappings. Records that are not read yet are read twice, one at a time.
    """
    items = value["runs"] if is_document(value) else value
    if is_unread(items):
        read = fast_json.reader(len(items))
        return _under_header(lambda: (_flat(read(text.json)) for text in items))
    items = items if isinstance(items, list) else [items]
    if not items or not all(isinstance(item, dict) for item in items):
        return [], [item if isinstance(item, list) else [item] for item in items]
    flat = [_flat(item) for item in items]
    return _under_header(lambda: iter(flat))


def cell(value: Any) -> Any:
    """Return a list inside a cell as JSON on one line; text, numbers and None as they are."""
    if type(value) in {list, dict, bool}:
        return json.dumps(value, ensure_ascii=False)
    return value


def _under_header(rows: Callable[[], Iterator[dict[str, Any]]]) -> tuple[list[str], Iterable[list[Any]]]:
    header = list(dict.fromkeys(key for row in rows() for key in row))
    return header, ([row.get(key) for key in header] for row in rows())


def _flat(item: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
