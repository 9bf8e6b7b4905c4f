"""What is read of the index: whole records, or only the fields that are wanted, each for all runs at a time."""

import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from provisioner.selection import Selection

__all__ = ["Row", "ids_beginning", "runs", "texts"]


class Row(NamedTuple):
    """A run: its record, or what is wanted of it, and its folder below the state directory."""

    record: dict[str, Any]
    folder: str
    started: datetime


def runs(connection: sqlite3.Connection, which: Selection, fields: Collection[str] | None) -> list[Row]:
    """Give the runs that are meant, newest first; see Store.list for `fields`."""
    _choose(connection, which)
    records = map(json.loads, _texts(connection)) if fields is None else _partly(connection, fields)
    chosen = connection.execute("SELECT folder, started FROM meant ORDER BY place")
    return [
        Row(record, os.fsdecode(folder), datetime.fromtimestamp(started, UTC))
        for (folder, started), record in zip(chosen, records, strict=True)
    ]


def texts(connection: sqlite3.Connection, which: Selection) -> tuple[str, ...]:
    """Give the records that are meant as JSON, newest first."""
    _choose(connection, which)
    return tuple(_texts(connection))


def ids_beginning(connection: sqlite3.Connection, run_id: str) -> list[str]:
    """Give `run_id` where there is such a run, as often as there is, else the ids that begin with it."""
    ids = [name for (name,) in connection.execute("SELECT run_id FROM runs WHERE broken IS NULL ORDER BY started")]
    return [name for name in ids if name == run_id] or [name for name in ids if run_id and name.startswith(run_id)]


def _choose(connection: sqlite3.Connection, which: Selection) -> None:
    """Put the runs that are meant into the temporary table `meant`, their places newest first."""
    conditions: dict[str, object] = {"broken IS NULL": None}
    if which.hosts:
        known = [name for (name,) in connection.execute("SELECT DISTINCT host FROM runs WHERE broken IS NULL")]
        names = [name for name in known if any(fnmatchcase(name, pattern) for pattern in which.hosts)]
        conditions["host IN (SELECT value FROM json_each(?))"] = json.dumps(names)
    if which.run_ids is not None:
        conditions["run_id IN (SELECT value FROM json_each(?))"] = json.dumps(which.run_ids)
    if which.since is not None:
        conditions["started >= ?"] = which.since.timestamp()
    if which.until is not None:
        conditions["started < ?"] = which.until.timestamp()
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(
        "CREATE TEMPORARY TABLE meant (place INTEGER PRIMARY KEY, id INTEGER, folder BLOB, started REAL, run_id, host)"
    )
    connection.execute(
        f"""INSERT INTO meant SELECT NULL, id, folder, started, run_id, host FROM runs
            WHERE {" AND ".join(conditions)} ORDER BY started DESC, run_id DESC LIMIT ?""",  # noqa: S608 - no input
        [*(value for value in conditions.values() if value is not None), -1 if which.last is None else which.last],
    )


def _texts(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute("SELECT value FROM meant JOIN records ON records.run = meant.id ORDER BY place")
    return (text for (text,) in rows)


def _partly(connection: sqlite3.Connection, fields: Collection[str]) -> Iterator[dict[str, Any]]:
    names = list(dict.fromkeys(name.partition(".")[0] for name in fields))
    columns = [_field(connection, name, fields) for name in names]
    ids = connection.execute("SELECT run_id, host FROM meant ORDER BY place").fetchall()
    keys = ["run_id", "host", *names]
    return (dict(zip(keys, (*own, *values), strict=True)) for own, *values in zip(ids, *columns, strict=True))


def _field(connection: sqlite3.Connection, name: str, fields: Collection[str]) -> list[Any]:
    """Give a field of each run that is meant, with those of its lists and objects that are wanted."""
    values = _column(connection, name)
    if name in fields:
        found = connection.execute(
            "SELECT DISTINCT path FROM fields WHERE path > ? AND path < ?",
            [f"{name}.", f"{name}/"],  # "/" follows "."
        )
        paths = [path for (path,) in found]
    else:
        paths = [path for path in fields if path.startswith(f"{name}.")]
    for path in paths:
        part = path.partition(".")[2]
        for value, inner in zip(values, _column(connection, path), strict=True):
            if inner is not None:
                value[part] = inner
    return values


def _column(connection: sqlite3.Connection, path: str) -> list[Any]:
    rows = connection.execute(
        """SELECT coalesce(value, 'null') FROM meant LEFT JOIN fields ON fields.path = ? AND fields.run = meant.id
           ORDER BY place""",
        [path],
    )
    # Read as one text: ten thousand small ones take ten times as long.
    values: list[Any] = json.loads(f"[{','.join(text for (text,) in rows)}]")
    return values
