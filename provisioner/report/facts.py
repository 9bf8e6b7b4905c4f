"""Records as a document to query, and the ways to print it: one function of one shape for each format.

What a format or a query needs is imported there: most uses need none of it, and start-up would pay for all.
"""
# ruff: noqa: PLC0415

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from provisioner.audit.verdict import shown
from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.phases import PHASES
from provisioner.text import bounds, fast_json, jsontext
from provisioner.text.display import printable
from provisioner.view import screen
from provisioner.view.tables import table

__all__ = ["FORMATS", "TABLE_FIELDS", "csv_cells", "document", "fields_of", "flatten", "newest", "runs_table", "search"]

TABLE_FIELDS = (
    "host",
    "started_at",
    "outcome",
    "audit.verdict",
    "audit.rules",
    "unverified",
    "total_seconds",
    "timings",
    "run_id",
)
"""What runs_table() needs of a record."""

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

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What jmespath raises, beside its own errors, where a query asks for what cannot be."""

UNBROKEN = 2**31 - 1
"""The longest line that libyaml can be asked for."""


def document(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give {"hosts": {NAME: its newest record}, "runs": [records]} of records that come newest first."""
    hosts: dict[str, Any] = {}
    for record in records:
        hosts.setdefault(record["host"], record)
    return {"hosts": hosts, "runs": list(records)}


def fields_of(expression: str) -> frozenset[str] | None:
    """Give the fields of a record that the query may look at, None for all; raises ProvisionerError (code 2)."""
    import jmespath.exceptions

    from provisioner.report import query

    try:
        return query.fields_of(expression)
    except (jmespath.exceptions.JMESPathError, *UNREADABLE) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error) or "it is empty"
        raise ProvisionerError(
            f"the query is not JMESPath: {reason}",
            "try -q 'runs[].{host: host, total: total_seconds}'",
            Exit.BAD_INPUT,
        ) from error


def search(expression: str, value: Any) -> Any:
    """Give what `expression` selects of `value`, None for nothing; raises ProvisionerError (code 2)."""
    import jmespath.exceptions

    try:
        found = jmespath.search(expression, value)
        if "&" in expression:
            json.dumps(found)  # an expression is no value unless a function made one of it
    except (jmespath.exceptions.JMESPathError, *UNREADABLE) as error:
        # It parses, but asks of a value what it cannot give: the sum of a text, say, or every 0th of a list.
        raise ProvisionerError(
            f"the query does not fit the records: {error}", "`provisioner facts --json` shows them", Exit.BAD_INPUT
        ) from error
    return found


def newest(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give each host's newest of records that come newest first."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in records:
        found.setdefault(record["host"], record)
    return list(found.values())


def runs_table(records: Iterable[Mapping[str, Any]], stream: TextIO | None = None) -> str:
    """Give records as a table for people, for `stream` (default: stdout); phases and total in seconds."""
    header = ["host", "started", "outcome", "verdict", "rules", "total", *PHASES, "run"]
    return table(header, [_summary(record) for record in records], stream, below=PHASES)


def as_json(value: Any) -> str:
    """Give any value as JSON."""
    items = value["runs"] if _is_document(value) else value
    return fast_json.writer(len(items) if isinstance(items, list) else 1)(value)


def as_yaml(value: Any) -> str:
    """Give any value as YAML."""
    import yaml

    # Where PyYAML was built with libyaml, that takes a fifth of the time. Lines are not broken, wherever a text stands.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    options: dict[str, Any] = {"Dumper": dumper, "sort_keys": False, "width": UNBROKEN}
    text: str = yaml.dump(value, allow_unicode=True, **options)
    if jsontext.shown(text) != text:  # what a terminal would obey; written as an escape, as all but ASCII is then
        text = yaml.dump(value, allow_unicode=False, **options)
    return text.removesuffix("...\n").rstrip("\n")


def as_table(value: Any) -> str:
    """Give the document, or a list or mapping that a query made of it, as a table; a lone value as it is."""
    if _is_document(value):
        return runs_table(value["runs"])
    header, rows = _rows(value)
    if header:
        return table(header, [[_short(cell) for cell in row] for row in rows])
    lines = ("  ".join("-" if cell is None else _shown(_short(cell)) for cell in row) for row in rows)
    return "\n".join(screen.fold(line, sys.stdout) for line in lines)


def as_csv(value: Any) -> str:
    """Give the same as CSV, with every field of a record as a column."""
    import csv
    import io

    header, rows = _rows(value["runs"] if _is_document(value) else value)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(csv_cells(header))
    writer.writerows(map(csv_cells, rows))
    return out.getvalue().rstrip("\n")


def csv_cells(row: Iterable[Any]) -> list[Any]:
    """Give the values of a row as CSV has them; what a spreadsheet would compute is marked as text, by a quote."""
    return ["" if cell is None else _disarmed(_short(cell)) for cell in row]


def flatten(item: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


FORMATS: dict[str, Callable[[Any], str]] = {
    "table": as_table,
    "json": as_json,
    "yaml": as_yaml,
    "csv": as_csv,
}


def _summary(record: Mapping[str, Any]) -> list[Any]:
    timings = record.get("timings") or {}
    started = str(record["started_at"])[:19].replace("T", " ")
    audit = record.get("audit") or {}
    judged = [shown(record), audit.get("rules")]
    seconds = [_float(value) for value in (record["total_seconds"], *(timings.get(phase) for phase in PHASES))]
    return [record["host"], started, record["outcome"], *judged, *seconds, record["run_id"]]


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _is_document(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"hosts", "runs"}


def _rows(value: Any) -> tuple[list[str], list[list[Any]]]:
    """Give a header and rows; without a header where the value is not made of mappings."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, dict) for item in items):
        return [], [item if isinstance(item, list) else [item] for item in items]
    flat = [flatten(item) for item in items]
    header = list(dict.fromkeys(key for row in flat for key in row))
    return header, [[row.get(key) for key in header] for row in flat]


def _disarmed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = printable(value, len(value) + 1)
    return f"'{shown}" if value.lstrip().startswith(FORMULA) or value.startswith(("\t", "\r", "\n")) else shown


def _shown(value: Any) -> str:
    return printable(value, bounds.LINE)


def _short(value: Any) -> Any:
    """Give a list inside a cell as JSON on one line; text, numbers and None as they are."""
    if type(value) in {list, dict, bool}:
        return json.dumps(value, ensure_ascii=False)
    return value
