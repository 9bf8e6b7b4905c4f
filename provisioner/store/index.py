"""Keeps the index in step with the record files, <state>/runs/<host>/<run_id>/record.json: they are the truth.

A file that is new or has changed is read and checked, once; one that is gone leaves the index. So whoever writes a
record, a plain ansible-playbook too, need not know of the index, and a kill at any time leaves nothing to mend.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from provisioner import __version__
from provisioner.runs.record_data import RecordData
from provisioner.system.files import read
from provisioner.text import bounds

__all__ = ["bring_up_to_date"]

BATCH = 500
"""So many records are written at once: others wait for no longer than that takes, and a kill loses no more."""


EVIDENCE = ("evidence.tar.xz", "run.json", "scenario_a.log", "scenario_b.log", "scenario_c.log")
"""What lies beside a record that can be judged: the archive of a run, its loose files, the log of an imported one."""
UNVERIFIED: Final = "unverified"
"""The field that the index adds to the record of a run that came without evidence: true."""

File = tuple[bytes, int, int]
"""A record file as it was found: its folder, below the state directory (not every name is text), when it was
modified (ns) and its size, which tell whether it has changed. A plain tuple: every question compares thousands."""


@dataclass(frozen=True)
class _Entry:
    """What was read of a record file; `broken` says why it is not a record."""

    file: File
    record: RecordData | None = None
    started: float = 0.0
    broken: str | None = None


def bring_up_to_date(connection: sqlite3.Connection, state: Path) -> None:
    """Make the index tell what the record files below `state` say. Raises sqlite3.DatabaseError."""
    found = set(_record_files(state))
    # What another version of provisioner did not take for a record is looked at again.
    known = set(
        connection.execute(
            "SELECT folder, modified, size FROM runs WHERE refused_by IS NULL OR refused_by = ?", [__version__]
        )
    )
    if found == known:
        return
    new = sorted(found - known)
    for start in range(0, len(new), BATCH):
        entries = [entry for file in new[start : start + BATCH] if (entry := _read(state, file))]
        with _writing(connection):
            for entry in entries:
                _put(connection, entry)
    folders = {folder for (folder,) in connection.execute("SELECT folder FROM runs")}
    gone = folders - {folder for folder, _, _ in found}
    if gone:
        with _writing(connection):
            for folder in gone:
                # Another process may have put it there, and into the index, since the files were listed.
                if not _record_file(state, folder).exists():
                    connection.execute("DELETE FROM runs WHERE folder = ?", [folder])


def _record_files(state: Path) -> Iterator[File]:
    runs = os.fsencode(state / "runs")
    for host in _names(runs):
        try:
            folder = os.open(b"%s/%s" % (runs, host), os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            for run_id in _names(folder):
                try:
                    # From the host's folder on: a whole path costs half as much again, a Path thrice that.
                    status = os.stat(b"%s/record.json" % run_id, dir_fd=folder)
                except OSError:
                    continue  # a run in flight, or one that was never collected
                yield b"runs/%s/%s" % (host, run_id), status.st_mtime_ns, status.st_size
        finally:
            os.close(folder)


def _names(folder: bytes | int) -> list[bytes]:
    """List a folder, given by its path or a descriptor."""
    try:
        return [os.fsencode(name) for name in os.listdir(folder)]  # noqa: PTH208
    except OSError:
        return []


def _record_file(state: Path, folder: bytes) -> Path:
    return state / os.fsdecode(folder) / "record.json"


def _read(state: Path, file: File) -> _Entry | None:
    """Read and check a record; None where it has just been deleted."""
    from provisioner.runs.record import parse  # noqa: PLC0415 - slow, and needed only where there is something new

    try:
        checked, record = parse(read(_record_file(state, file[0]), bounds.JSON_FILE, follow=True).decode())
        started = checked.started_at
        # Without a zone it is UTC, as the schema says; some times are in no year of that calendar.
        started = started.astimezone(UTC) if started.tzinfo else started.replace(tzinfo=UTC)
        return _Entry(file, _marked(record, state / os.fsdecode(file[0])), started.timestamp())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        return _Entry(file, broken=" ".join(" ".join(str(error).splitlines()[:3]).split()))


def _marked(record: RecordData, folder: Path) -> RecordData:
    """Return a record with `unverified` where there is no evidence to judge it by, whatever it says itself."""
    kept = record.copy()
    kept.pop(UNVERIFIED, None)
    if not any((folder / name).is_file() for name in EVIDENCE):
        kept[UNVERIFIED] = True
    return kept


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    with connection:  # commits, or rolls back where it fails
        yield


def _put(connection: sqlite3.Connection, entry: _Entry) -> None:
    record = entry.record
    connection.execute("DELETE FROM runs WHERE folder = ?", [entry.file[0]])
    if record is None:
        connection.execute(
            "INSERT INTO runs (folder, modified, size, broken, refused_by) VALUES (?, ?, ?, ?, ?)",
            [*entry.file, entry.broken, __version__],
        )
        return
    run = connection.execute(
        "INSERT INTO runs (folder, modified, size, run_id, host, started) VALUES (?, ?, ?, ?, ?, ?)",
        [*entry.file, record["run_id"], record["host"], entry.started],
    ).lastrowid
    connection.execute("INSERT INTO records VALUES (?, ?)", [run, json.dumps(record)])
    connection.executemany(
        "INSERT INTO fields VALUES (?, ?, ?)", [(path, run, json.dumps(value)) for path, value in _fields(record)]
    )


def _fields(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each field under its name, and what a field holds of lists and objects apart, as FIELD.NAME.

    So `audit` is the verdict without its checks, `compile` the figures without each object's. A name with a dot in
    it is left out: it is in the whole record.
    """
    for name, value in record.items():
        if "." in name:
            continue
        parts = value if isinstance(value, dict) else {}
        apart = [part for part in parts if isinstance(parts[part], dict | list) and "." not in part]
        yield name, {part: parts[part] for part in parts if part not in apart} if apart else value
        yield from ((f"{name}.{part}", parts[part]) for part in apart)
