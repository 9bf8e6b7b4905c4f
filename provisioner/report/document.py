"""Records as a document to query, and runs as a table: `{"hosts": {NAME: its newest record}, "runs": [records]}`.

What a query needs is imported there: most uses need none of it, and start-up would pay for all.
"""
# ruff: noqa: PLC0415

import json
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from provisioner.audit.verdict import shown
from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.phases import PHASES
from provisioner.runs.record_data import RecordData
from provisioner.store import Text
from provisioner.view.tables import table

__all__ = ["TABLE_FIELDS", "fields_of", "is_document", "is_unread", "newest", "of", "runs_table", "search"]

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

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What jmespath raises, beside its own errors, where a query asks for what cannot be."""


def of(records: Sequence[RecordData] | Sequence[Text]) -> dict[str, Any]:
    """Return the document of records that come newest first.

    They may be texts, which are not read yet: a format reads one at a time, so memory is that of the texts.
    """
    hosts: dict[str, Any] = {}
    for record in records:
        hosts.setdefault(record.host if isinstance(record, Text) else record["host"], record)
    return {"hosts": hosts, "runs": list(records)}


def is_document(value: Any) -> bool:
    """Return whether a value is the document, or looks like it."""
    return isinstance(value, dict) and set(value) == {"hosts", "runs"}


def is_unread(field: Any) -> bool:
    """Return whether a field of the document, hosts or runs, has records that are not read yet."""
    items = field.values() if isinstance(field, dict) else field if isinstance(field, list) else ()
    return isinstance(next(iter(items), None), Text)


def fields_of(expression: str) -> frozenset[str] | None:
    """Return the fields of a record that the query may look at, None for all; raise ProvisionerError (code 2)."""
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
    """Return what `expression` selects of `value`, None for nothing; raise ProvisionerError (code 2)."""
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


def newest(records: Iterable[RecordData]) -> list[RecordData]:
    """Return each host's newest of records that come newest first."""
    found: dict[str, RecordData] = {}
    for record in records:
        found.setdefault(record["host"], record)
    return list(found.values())


def runs_table(records: Iterable[RecordData], stream: TextIO | None = None) -> str:
    """Return records as a table for people, for `stream` (default: stdout); phases and total in seconds."""
    header = ["host", "started", "outcome", "verdict", "rules", "total", *PHASES, "run"]
    return table(header, [_summary(record) for record in records], stream, below=PHASES)


def _summary(record: RecordData) -> list[Any]:
    timings = record.get("timings") or {}
    started = str(record["started_at"])[:19].replace("T", " ")
    audit = record.get("audit") or {}
    judged = [shown(record), audit.get("rules")]
    seconds = [_float(value) for value in (record["total_seconds"], *(timings.get(phase) for phase in PHASES))]
    return [record["host"], started, record["outcome"], *judged, *seconds, record["run_id"]]


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
