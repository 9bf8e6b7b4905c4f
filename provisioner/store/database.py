"""The SQLite file of the index: opened, brought up to date, and kept aside where it is corrupt.

All that is in it can be made anew from the record files, so losing it loses nothing but a moment.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError
from provisioner.system import files

__all__ = ["MIGRATIONS", "inode", "is_corrupt", "keep_aside", "open_file", "open_memory"]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # One row for each record file. `modified` (ns) and `size` tell whether it is still the one that was read.
        # If it is not a record, `broken` says why, `refused_by` by which version of provisioner, and the rest is null.
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            folder BLOB NOT NULL UNIQUE,
            modified INTEGER NOT NULL,
            size INTEGER NOT NULL,
            broken TEXT,
            refused_by TEXT,
            run_id TEXT,
            host TEXT,
            started REAL
        )""",
        "CREATE INDEX runs_newest_first ON runs (started DESC, run_id DESC)",
        "CREATE INDEX runs_by_id ON runs (run_id)",
        "CREATE INDEX runs_by_host ON runs (host)",
        # The whole record, as JSON.
        """CREATE TABLE records (
            run INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
            value TEXT NOT NULL
        )""",
        # Its fields, as JSON each, so that a query over many runs reads only those that it names.
        """CREATE TABLE fields (
            path TEXT NOT NULL,
            run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            value TEXT NOT NULL,
            PRIMARY KEY (path, run)
        ) WITHOUT ROWID""",
        "CREATE INDEX fields_by_run ON fields (run)",
    ),
    # What came without evidence is marked as it is read, so all is read again.
    ("DELETE FROM runs",),
)
"""What brings the schema from each version to the next; SQLite's user_version counts those that were done."""

PATIENCE = 30.0
"""Seconds to wait for another process that writes."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open the index at `path`, made or brought to this version's schema where it is not there yet.

    Raise ProvisionerError (code 2) where a newer version wrote it, and sqlite3.DatabaseError.
    """
    connection = _connect(str(path))
    try:
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last entries, never the file
        if _version(connection, path) < len(MIGRATIONS):
            with _alone(path):
                connection.execute("PRAGMA journal_mode = WAL")  # readers and a writer do not wait for each other
                _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_memory() -> sqlite3.Connection:
    """Return an index that lasts as long as the connection, for where no file can be written."""
    connection = _connect(":memory:")
    _migrate(connection, Path(":memory:"))
    return connection


def is_corrupt(error: Exception) -> bool:
    """Return whether an error means that the file is damaged, or no index: what SQLite says, or JSON that is none."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code is in the lowest byte
    damage = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
    return code in damage or isinstance(error, ValueError)


def inode(path: Path) -> int | None:
    """Return what tells the file at `path` from another that takes its name; None where there is none."""
    return path.stat().st_ino if path.exists() else None


def keep_aside(path: Path, corrupt: int | None) -> Path | None:
    """Rename the file whose inode is `corrupt`, so that it is there to look at; None where another process did so."""
    with _alone(path):
        if inode(path) != corrupt:
            return None
        kept = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{corrupt}")
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(kept.with_name(kept.name + suffix))
        return kept


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time set up the file; SQLite's own locks do not wait for one another in that."""
    with files.lock(path.with_suffix(".lock")):
        yield


def _connect(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=PATIENCE, isolation_level=None)  # transactions begin where we say so
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Asked again: another process may have been here while this one waited.
        for number in range(_version(connection, path), len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ProvisionerError(
            f"a newer version of provisioner wrote {path} (schema {version}; this version knows {len(MIGRATIONS)})",
            "use that version, or name another folder with --state-dir",
            Exit.BAD_INPUT,
        )
    return int(version)
