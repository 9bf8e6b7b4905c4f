"""Asks the index; one connection for each question, so nothing is held open between them."""

import gc
import glob
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from provisioner.errors import Exit, ProvisionerError
from provisioner.runs import challenge
from provisioner.runs.record_data import RecordData
from provisioner.store import database, reading
from provisioner.store.index import bring_up_to_date
from provisioner.store.reading import Text
from provisioner.store.run import Run
from provisioner.store.selection import EVERYTHING, Selection
from provisioner.text import names
from provisioner.text.suggestions import did_you_mean

__all__ = ["Store"]

Answer = TypeVar("Answer")


@dataclass
class Store:
    """The runs below a state directory, which need not exist.

    After each question `warnings` has a line for each record that could not be read, which is left alone and not
    counted, and what was wrong with the index itself.
    """

    state: Path
    warnings: list[str] = field(default_factory=list)

    def list(self, which: Selection = EVERYTHING, fields: Collection[str] | None = None) -> list[Run]:
        """Return the runs that are meant, newest first.

        `fields` names what of their records is wanted, as FIELD or FIELD.NAME; a record then has these, null where
        it does not know them, and always `run_id` and `host`. It is quick where whole records are not. Raises
        ProvisionerError (code 2) where a newer version wrote the index.
        """

        def read(connection: sqlite3.Connection) -> list[Run]:
            places = reading.places(connection)
            return [
                Run(record, self.state / place.folder, place.started)
                for place, record in zip(places, reading.records(connection, fields), strict=True)
            ]

        return self._ask(which, read)

    def records(self, which: Selection = EVERYTHING, fields: Collection[str] | None = None) -> Sequence[RecordData]:
        """Return the records that list() would, without what is around them."""
        return self._ask(which, lambda connection: reading.records(connection, fields))

    def texts(self, which: Selection = EVERYTHING) -> Sequence[Text]:
        """Return the records that are meant as text, newest first: a third of the memory that they take as objects.

        Raises as list() does.
        """
        return self._ask(which, reading.texts)

    def get(self, run_id: str) -> Run:
        """Return the run whose id is, or uniquely begins with, `run_id`; raise ProvisionerError (code 2)."""
        ids = tuple(dict.fromkeys(self._ask(EVERYTHING, lambda connection: reading.ids_beginning(connection, run_id))))
        if len(ids) > 1:
            raise ProvisionerError(
                f"{run_id!r} begins more than one run's id: {', '.join(ids[:5])}", "give more of it", Exit.BAD_INPUT
            )
        runs = self.list(Selection(run_ids=ids))
        if len(runs) > 1:  # no two runs have one id, so somebody copied it
            folders = " and ".join(str(run.folder) for run in runs)
            raise ProvisionerError(f"{run_id!r} is there more than once, as {folders}", "move one away", Exit.BAD_INPUT)
        for run in runs:
            return run
        meant = did_you_mean(run_id, (record["run_id"] for record in self.records(fields=())))
        raise ProvisionerError(f"no run {run_id!r}", meant or "`provisioner facts` lists them", Exit.BAD_INPUT)

    def find(self, host: str, run_id: str) -> Run | None:
        """Return the run of a host; None where there is none."""
        return next(iter(self.list(Selection(hosts=(glob.escape(host),), run_ids=(run_id,)))), None)

    def add(self, record: RecordData, evidence: Mapping[str, bytes]) -> Run:
        """Keep a run: its record, and its evidence as files by name. Raise ProvisionerError.

        All of it is there at once, by a rename. Where the store has the run already, that one is given back as it is.
        """
        self._folder(record)  # before anything is made
        return self.add_all([(record, evidence)])[0]

    def add_all(
        self, runs: Iterable[tuple[RecordData, Mapping[str, bytes]]], over: Collection[Run] = ()
    ) -> Sequence[Run]:
        """Keep runs as add() does, all of them or none; those of `over` are replaced. Raise ProvisionerError."""
        from provisioner.store import folders  # noqa: PLC0415 - those who only ask need none of it

        wanted: dict[Path, tuple[str, str]] = {}
        replaced = {run.folder for run in over}

        def new() -> Iterator[tuple[Path, Mapping[str, bytes]]]:
            for record, evidence in runs:
                folder = self._folder(record)
                is_here = folder in wanted or ((folder / "record.json").exists() and folder not in replaced)
                wanted[folder] = record["host"], record["run_id"]
                if not is_here:
                    yield folder, {**evidence, "record.json": f"{json.dumps(record, indent=2)}\n".encode()}

        folders.make(self.state, new(), replaced)
        kept = []
        for folder, names_of_run in wanted.items():
            run = self.find(*names_of_run)
            if run is None:
                raise ProvisionerError(f"{folder} exists and is not a run", "move it away", Exit.BAD_INPUT)
            kept.append(run)
        return kept

    def _folder(self, record: RecordData) -> Path:
        """Return the folder of a run. Raise ProvisionerError (code 2) where its names are none."""
        try:
            names.host(record["host"]), names.run_id(record["run_id"])
            return names.inside(self.state / "runs", f"{record['host']}/{record['run_id']}")
        except ValueError as error:
            raise ProvisionerError(f"{error}, and cannot name its folder", "mend the record", Exit.BAD_INPUT) from error

    def delete(self, run: Run) -> None:
        """Remove a run's record and evidence from this machine, and its challenge. Raise ProvisionerError.

        It is gone at once, by a rename; what a kill leaves of it after that goes with the next one that is deleted.
        """
        from provisioner.store import folders  # noqa: PLC0415 - as above

        folders.remove(self.state, run.folder)
        challenge.forget(self.state, run.host, run.run_id)

    def check(self) -> None:
        """Raise ProvisionerError (code 2) where the index is of a newer version: better now than after an hour."""
        self._ask(Selection(last=1), lambda _connection: None)

    # --- the connection ---

    def _ask(self, which: Selection, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Answer a question about the runs that are meant.

        From the index; where that is corrupt from a new one, where there can be none from one in memory.
        """

        def answer(connection: sqlite3.Connection) -> Answer:
            reading.choose(connection, which)
            return question(connection)

        self.warnings = []
        path = self.state / "store.db"
        if not path.exists() and not (self.state / "runs").is_dir():
            return self._answer(database.open_memory, answer)  # reading creates no file
        try:
            return self._from_file(path, answer)
        except (sqlite3.DatabaseError, OSError) as error:
            self.warnings = [
                f"the index {path} cannot be used ({error}); the records are read from their files, which is slower"
            ]
            return self._answer(database.open_memory, answer)

    def _from_file(self, path: Path, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        before = database.inode(path)
        try:
            return self._answer(lambda: database.open_file(path), question)
        except (sqlite3.DatabaseError, ValueError) as error:
            if not database.is_corrupt(error):
                raise
            kept = database.keep_aside(path, before)
            if kept:
                self.warnings = [f"the index {path} was corrupt; it is kept as {kept.name}, and a new one was made"]
            return self._answer(lambda: database.open_file(path), question)

    def _answer(
        self, connect: Callable[[], sqlite3.Connection], question: Callable[[sqlite3.Connection], Answer]
    ) -> Answer:
        with closing(connect()) as connection, _nothing_collected():
            bring_up_to_date(connection, self.state)
            connection.execute("BEGIN")  # what is read is of one moment
            answer = question(connection)
            broken = connection.execute("SELECT folder, broken FROM runs WHERE broken IS NOT NULL ORDER BY folder")
            self.warnings += [
                f"{self.state / os.fsdecode(folder) / 'record.json'} is not a record and is left out: {why}"
                for folder, why in broken
            ]
        return answer


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Keep Python from looking for cycles: records have none, and so many new objects would set it off all the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
