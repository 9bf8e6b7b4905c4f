"""What is read of the index: whole records, or only the fields that are wanted, each for all runs at a time."""

import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, cast

from provisioner.runs.record_data import RecordData
from provisioner.store.selection import Selection
from provisioner.text import fast_json

__all__ = ["Row", "Text", "choose", "ids_beginning", "places", "records", "texts"]


class Row(NamedTuple):
    """Where a run is: its folder below the state directory; and when it started."""

    folder: str
    started: datetime


class Text(NamedTuple):
    """A record as it is kept: what names it, and all of it as JSON, on one line and in ASCII."""

    run_id: str
    host: str
    json: str


def choose(connection: sqlite3.Connection, which: Selection) -> None:
    """Put the runs that are meant into the temporary table `chosen`, their places newest first."""
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
    if which.min_rules is not None:
        judged = "SELECT run FROM fields WHERE path = 'audit' AND json_extract(value, '$.rules') >= ?"
        conditions[f"id IN ({judged})"] = which.min_rules
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(
        "CREATE TEMPORARY TABLE chosen (id INTEGER PRIMARY KEY, place INTEGER, folder BLOB, started REAL, run_id, host)"
    )
    connection.execute(
        f"""INSERT INTO chosen
            SELECT id, row_number() OVER (ORDER BY started DESC, run_id DESC), folder, started, run_id, host
            FROM runs WHERE {" AND ".join(conditions)} ORDER BY started DESC, run_id DESC LIMIT ?""",  # noqa: S608 - no input
        [*(value for value in conditions.values() if value is not None), -1 if which.last is None else which.last],
    )


def places(connection: sqlite3.Connection) -> list[Row]:
    """Return where the chosen runs are."""
    chosen = connection.execute("SELECT folder, started FROM chosen ORDER BY place")
    return [Row(os.fsdecode(folder), datetime.fromtimestamp(started, UTC)) for folder, started in chosen]


def records(connection: sqlite3.Connection, fields: Collection[str] | None) -> list[RecordData]:
    """Return the chosen runs' records; see Store.list for `fields`."""
    return _partly(connection, fields) if fields is not None else _wholly(connection)


def texts(connection: sqlite3.Connection) -> list[Text]:
    """Return the chosen runs' records as text. Raise ValueError where one is not the JSON that was put there."""
    rows = connection.execute(
        """SELECT run_id, host, value, json_valid(value) FROM chosen JOIN records ON records.run = chosen.id
           ORDER BY place"""
    )
    found = []
    for run_id, host, text, valid in rows:
        if not valid:
            raise ValueError(f"the stored record of run {run_id} is not JSON")
        found.append(Text(run_id, host, text))
    return found


def ids_beginning(connection: sqlite3.Connection, run_id: str) -> list[str]:
    """Return `run_id` where there is such a run, as often as there is, else the ids that begin with it."""
    ids = [name for (name,) in connection.execute("SELECT run_id FROM runs WHERE broken IS NULL ORDER BY started")]
    return [name for name in ids if name == run_id] or [name for name in ids if run_id and name.startswith(run_id)]


def _wholly(connection: sqlite3.Connection) -> list[RecordData]:
    (count,) = connection.execute("SELECT count(*) FROM chosen").fetchone()
    read = fast_json.reader(count)
    rows = connection.execute("SELECT value FROM chosen JOIN records ON records.run = chosen.id ORDER BY place")
    return [read(text) for (text,) in rows]


def _partly(connection: sqlite3.Connection, fields: Collection[str]) -> list[RecordData]:
    rows = connection.execute("SELECT run_id, host FROM chosen ORDER BY place")
    found: list[dict[str, Any]] = [{"run_id": run_id, "host": host} for run_id, host in rows]
    for name in dict.fromkeys(name.partition(".")[0] for name in fields if name not in {"run_id", "host"}):
        for record, value in zip(found, _field(connection, name, fields, len(found)), strict=True):
            record[name] = value
    return cast("list[RecordData]", found)


def _field(connection: sqlite3.Connection, name: str, fields: Collection[str], count: int) -> list[Any]:
    """Return a field of each chosen run, with those of its lists and objects that are wanted."""
    values: list[Any] = [None] * count
    for place, value in _column(connection, name):
        values[place - 1] = value
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
        for place, value in _column(connection, path):
            values[place - 1][part] = value
    return values


def _column(connection: sqlite3.Connection, path: str) -> Iterator[tuple[int, Any]]:
    """Return what a path's values are, each with the place of its run."""
    # As two long texts: it takes a third of the time that ten thousand rows and as many small texts take.
    places, values = connection.execute(
        """SELECT group_concat(place), group_concat(value) FROM fields JOIN chosen ON chosen.id = fields.run
           WHERE fields.path = ?""",
        [path],
    ).fetchone()
    return zip(json.loads(f"[{places or ''}]"), json.loads(f"[{values or ''}]"), strict=True)
